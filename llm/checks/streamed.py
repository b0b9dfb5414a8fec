"""A model's answer while it is written: each complete, checked sentence is passed on at once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection

from llm.checks.grounding import MAX_SENTENCES, SentenceChecker, quotations, sentences
from llm.explanation import Draft, Evidence

_SUMMARY = re.compile(r'"summary"\s*:\s*"((?:[^"\\]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+)("?)')
_MAY_END = re.compile(r"[.!?\]\"]")  # only such a piece can complete a sentence


class StreamedAnswer:
    """Receives the pieces of an answer; calls `on_line` with each sentence that may be shown.

    The sentences are those that `grounding.ground` shows of the same summary.
    """

    def __init__(self, evidence: Evidence, draft: Draft, on_line: Callable[[str], None]) -> None:
        self._evidence = evidence
        self._draft = draft
        self._quotations = quotations(evidence)
        self._on_line = on_line
        self.begin()

    def begin(self) -> None:
        """Start another answer after one of the wrong form. The shown sentences stay."""
        self._text = ""
        self._taken = 0
        self._checker = SentenceChecker(self._evidence, self._draft)

    def piece(self, text: str) -> None:
        self._text += text
        if not _MAY_END.search(text):
            return
        found = complete_sentences(*partial_summary(self._text), self._quotations)
        for sentence in found[self._taken : MAX_SENTENCES]:
            self._taken += 1
            if line := self._checker.take(sentence).shown:
                self._on_line(line)


def partial_summary(text: str) -> tuple[str, bool]:
    """The part of the summary received so far, and whether it is complete.

    >>> partial_summary('{"summary": "A took 2 ms [E1]. B f')
    ('A took 2 ms [E1]. B f', False)
    >>> partial_summary('{"summary": "A took 2 ms [E1].", "root')
    ('A took 2 ms [E1].', True)
    """
    match = _SUMMARY.search(text)
    if match is None:
        return "", False
    return json.loads(f'"{match[1]}"', strict=False), bool(match[2])


def complete_sentences(summary: str, is_complete: bool, quoted: Collection[str] = ()) -> list[str]:
    """The sentences that no further text can change: another sentence, not a citation, follows each.

    >>> complete_sentences("A took 2 ms [E1]. B took 3 ms. [E2", False)
    ['A took 2 ms [E1].']
    >>> complete_sentences('A failed [E1]. B logged "no route. to', False)
    ['A failed [E1].']
    """
    if is_complete:
        return sentences(summary, quoted)
    is_open = summary.count('"') % 2 == 1  # a quotation whose end has not come
    found = sentences(summary[: summary.rindex('"')] if is_open else summary, quoted)
    is_citation = bool(found) and found[-1].startswith("[")
    return found[:-2] if is_citation else found[:-1]
