"""Checks times of day in sentences: each must be the begin or the end of a period in a fact."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from llm.checks.vocabulary import words

Part = Literal["begin", "end"]
CLOCK = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?: ?UTC|Z)?|\b\d\d:\d\d(?::\d\d)?(?: ?UTC|Z)?")
_STATED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC")
_FIRST_MARK = 0xE200  # one character of the private use area for each time of a sentence
CLOCK_MARKS = re.compile("[\ue200-\ue2ff]")
_BEGIN_VERBS = words("start starts started starting begin begins began begun beginning")
_END_VERBS = words("end ends ended ending finish finishes finished stop stops stopped")
_BEGIN = _BEGIN_VERBS | words("from between since")
_END = _END_VERBS | words("to until till through")
_RANGE = words("and to until till through")
_DASHES = frozenset("-–—")
_WORD = re.compile(r"[a-z]+|[-–—]")


@dataclass(frozen=True)
class Clock:
    """A time as written; `part` is None where its sentence says neither begin nor end."""

    text: str
    part: Part | None


def stated_clocks(statement: str) -> frozenset[Clock]:
    """The times that a fact states, in all forms in which a sentence may write them.

    >>> Clock("12:00", "end") in stated_clocks("The incident has 1 trace at 2026-11-03 12:00:00 UTC")
    True
    """
    found = _STATED.findall(statement)
    if not found:
        return frozenset()
    parts: tuple[tuple[str, Part], ...] = ((found[0], "begin"), (found[-1], "end"))
    return frozenset(Clock(form, part) for text, part in parts for form in _forms(text))


def mark_clocks(text: str) -> tuple[str, list[Clock]]:
    """`text` with a mark of one character for each time, and the times in order.

    >>> [clock.part for clock in mark_clocks("It began at 12:00 and ended at 12:40; later 12:50")[1]]
    ['begin', 'end', None]
    """
    clocks: list[Clock] = []
    matches = list(CLOCK.finditer(text))[:256]
    for index, match in enumerate(matches):
        since = matches[index - 1].end() if index else 0
        said = _WORD.findall(text[since : match.start()].lower())
        is_range = len(said) == 1 and (said[0] in _RANGE or said[0] in _DASHES)
        if index and is_range:
            part: Part | None = "end" if clocks[-1].part == "begin" else None
        else:
            part = _part(said)
        clocks.append(Clock(match.group(), part))
    if matches and set(_WORD.findall(text[matches[-1].end() :].lower())) & (_BEGIN_VERBS | _END_VERBS):
        clocks[-1] = Clock(clocks[-1].text, None)  # "until 12:40 it began": begin or end is unclear
    marks = iter(range(_FIRST_MARK, _FIRST_MARK + len(matches)))
    return CLOCK.sub(lambda match: f" {chr(next(marks))} ", text, count=len(matches)), clocks


def marked(clause: str, clocks: list[Clock]) -> list[Clock]:
    """The times whose marks are in `clause`."""
    return [clocks[ord(mark) - _FIRST_MARK] for mark in CLOCK_MARKS.findall(clause)]


def _part(said: list[str]) -> Part | None:
    """Begin or end, by the nearest word that names it; a verb of the other part makes it unclear."""
    nearest = next((word for word in reversed(said) if word in _BEGIN | _END), None)
    if nearest is None:
        return None
    is_begin = nearest in _BEGIN
    if set(said) & (_END_VERBS if is_begin else _BEGIN_VERBS):
        return None
    return "begin" if is_begin else "end"


def _forms(clock: str) -> tuple[str, ...]:
    """`2026-11-03 12:00:00 UTC` and its shorter forms."""
    return clock, clock[:-4], clock[11:], clock[11:-4], clock[11:16]
