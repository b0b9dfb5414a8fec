"""The detectors' texts in an explanation: words that are ours stay, everything else is quoted."""

from __future__ import annotations

import re

from llm.analysis.units import cell_text
from llm.redaction.redact import quoted_text

_OWN_TEXT = re.compile(
    r"[\d,.]+ of [\d,.]+ calls (?:failed|answered \d{3}(?: [A-Z][A-Za-z ]{2,40})?) in \d+ s,"
    r" usually [<>]?[\d.]+%"
    r"|[\d,.]+ spans in \d+ s, usually [\d,.]+|a message waited [\d.]+ [a-zµ]+, usually [\d.]+ [a-zµ]+"
    r"|\d+ of \d+ operations in \d+ services take [\d.]+ times their usual own time, and none stands out"
)

_OWN_CELL = re.compile(
    r"all hours|whole service|recent|(?:[A-Z][a-z]{2} )?\d\d:00–\d\d:00 UTC(?:, every day)?"
    r"|[a-z_]{1,16}(?: · [A-Z0-9/_-]{1,16}){1,3}"
)


def own_cell(cell: str) -> str:
    """The hour or kind of a baseline. An asset or a side comes from the sender and may be any text."""
    text = cell_text(cell)
    return text if _OWN_CELL.fullmatch(text) else quoted_text(text)


def own_or_quoted(text: str) -> str:
    """A detector's text. It is quoted unless all its words are ours, since it may repeat the sender's
    words.
    """
    if not text or _OWN_TEXT.fullmatch(text):
        return text
    return quoted_text(text)
