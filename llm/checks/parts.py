"""Parts of a whole, as in "60 of 61 calls failed": only the part failed."""

from __future__ import annotations

import re
from dataclasses import dataclass

PART_OF = re.compile(r"\b(\d[\d,]*) of (?:the |its )?(\d[\d,]*)(?:\s+(\w+))?")
_SYNONYMS = {"requests": "calls"}


@dataclass(frozen=True)
class PartOf:
    """`noun` is the word after the whole; empty if there is none."""

    part: int
    whole: int
    noun: str

    @property
    def fraction(self) -> float:
        return self.part / self.whole

    def bears_out(self, other: PartOf) -> bool:
        """The same part of the same whole; a sentence may leave out the noun."""
        return (self.part, self.whole) == (other.part, other.whole) and other.noun in ("", self.noun)


def parts_of(text: str) -> list[PartOf]:
    """
    >>> parts_of("60 of its 61 requests failed")
    [PartOf(part=60, whole=61, noun='calls')]
    """
    return [PartOf(_number(part), _number(whole), thing(noun)) for part, whole, noun in PART_OF.findall(text)]


def part_of(statement: str) -> PartOf | None:
    """The part of a whole that a fact states."""
    return next((found for found in parts_of(statement) if found.whole), None)


def thing(noun: str) -> str:
    """One word for one thing: requests are calls."""
    return _SYNONYMS.get(noun, noun)


def _number(digits: str) -> int:
    return int(digits.replace(",", ""))
