"""A word of a clause with its neighbours, and the lists of words that several rules use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from llm.checks.claims import Claim
from llm.checks.roles import RoleNumber
from llm.checks.vocabulary import FAMILIES, words

ENTITY_MARK = "\ue100"  # first character of the placeholder of a name
FAILURES = words("error errors exception exceptions failure failures failed")
FAILED = FAILURES | words(
    "fail fails failed failing errored unsuccessful unsuccessfully broke threw thrown raised"
)
TAKES = FAMILIES["time"] - words("after only ms")
# Words that assert a cause, and words that grade it. From this confidence on the first need no grading word.
CERTAIN = 0.9
BE = words("is are was were be been being")
FINITE_VERBS = (
    frozenset(verb for verb in TAKES if not verb.endswith("ing"))
    | FAILED
    | BE
    | words("has had have carried reached arrived waited holds held rose fell slowed dropped")
)
# Verbs that make a clause of a text; nouns of the same form are left out.
PREDICATES = FINITE_VERBS - words(
    "time times duration durations latency latencies response execution work"
) - words("error errors exception exceptions failure failures") | words(
    "amounts accounts contributes comes came represents covers comprises includes began exceeds"
)


@dataclass(frozen=True)
class Word:
    """A word of a clause in lower case, with its neighbours."""

    text: str
    index: int
    clause: list[str]
    numbers: list[RoleNumber]
    claim: Claim

    @property
    def behind(self) -> list[str]:
        return self.clause[self.index + 1 : self.index + 3]

    @property
    def before(self) -> list[str]:
        return self.clause[max(0, self.index - 4) : self.index]

    def has(self, *roles: str) -> bool:
        return any(number.role in roles for number in self.numbers)


def measures(items: list[str]) -> Iterator[bool]:
    return (item[0].isdigit() for item in items)
