"""The role of a number in its sentence: observed, usual, difference, share or count."""

# ruff: noqa: E501 - lists of words
from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from llm.checks.figures import NUMBER, Number, as_number
from llm.checks.vocabulary import words

Role = Literal["observed", "expected", "excess", "ratio", "share", "sigma", "samples", "count", "price"]
_USUAL = words(
    "usual usually normal normally typical typically ordinary ordinarily expected baseline median standard against versus vs regular regularly average"
)
_TAKEN_AS_IT_IS = words("about around roughly nearly almost approximately some circa the a an its of is was")
_EXCESS_BEHIND = words(
    "more longer slower over above beyond extra additional late later higher less faster below under"
)
_COMPARATIVES = _EXCESS_BEHIND | words("quicker shorter smaller larger bigger greater lower fewer late early")
_EXCESS_BEFORE = words(
    "by extra additional added adds adding excess lost loses losing delay cost costs exceeds exceeded"
)
_NO_NOUNS = words(
    "to from instead rather where compared against and at while is was in"
)  # "rose from 6 to 40"
_COSTS = words("cost costs lost loses losing")  # also "cost the trace 152 ms"
_LOST_TIME = words("slowdown delay excess lost extra additional")
_COMPARED = words("than over above beyond exceeding")
_WORD = re.compile(r"[a-z]+|=", re.IGNORECASE)


@dataclass(frozen=True)
class RoleNumber:
    """A number with its role in its sentence; `noun` is the word after a plain count."""

    number: Number
    role: Role
    noun: str = ""
    at_least: bool = False  # "more than 150 ms" may name a round number below the observed one

    def with_role(self, role: str) -> RoleNumber:
        return replace(self, role=role)  # type: ignore[arg-type]  # one of the roles, from a table of ours

    def supported_by(self, other: RoleNumber) -> bool:
        """Whether the quantity and the role are the same. Counts must be of the same things."""
        if self.role == "count" and (self.noun != other.noun or other.role != "count"):
            return False
        if self.at_least and other.role == "observed" and self.number.unit == other.number.unit:
            return 0.8 * other.number.value <= self.number.value <= other.number.value
        return self.role == other.role and self.number.matches(other.number)


def given_by(number: RoleNumber, stated: Sequence[RoleNumber]) -> bool:
    """Whether one of the `stated` figures is this one, and no figure of another role is nearer.

    "Took 151 ms" is within the rounding of 152 ms; but if the difference is 151 ms, the number means that.
    """
    if not any(number.supported_by(own) for own in stated):
        return False
    if number.role == "count" or number.at_least:
        return True
    rivals = [own for own in stated if own.role != "count" and number.number.matches(own.number)]
    nearest = min(number.number.distance(own.number) for own in rivals)
    return any(own.role == number.role and number.number.distance(own.number) <= nearest for own in rivals)


def find_roles(text: str) -> list[RoleNumber]:
    """The numbers of a clause with their roles: observed, usual, difference, ratio, count.

    >>> [(n.role, n.number.value) for n in find_roles("took 152 ms instead of the usual 900 µs, 151 ms more")]
    [('observed', 152000000.0), ('expected', 900000.0), ('excess', 151000000.0)]
    """
    matches = list(NUMBER.finditer(text))
    found: list[RoleNumber] = []
    since = 0
    for index, match in enumerate(matches):
        until = matches[index + 1].start() if index + 1 < len(matches) else len(text)
        number = as_number(*match.groups())
        end = match.end(1) if match.group(2) and not number.unit else match.end()
        before, behind = _before(text[since : match.start()]), _behind(text[end:until])
        found.append(_with_role(number, before, behind))
        since = end  # not the end of the match: in "40 instead of 6" the next word is no unit
    return found


def _before(text: str) -> list[str]:
    """The words before a number, in its clause, nearest first."""
    clause = re.split(r"[,;:()\u2013\u2014]", text)[-1]
    return [word.lower() for word in reversed(_WORD.findall(clause))]


def _behind(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(re.split(r"[,;:()\u2013\u2014]", text)[0])]


def _with_role(number: Number, before: list[str], behind: list[str]) -> RoleNumber:  # noqa: PLR0911, PLR0912 - a line a part
    near = [word for word in before if word not in _TAKEN_AS_IT_IS]
    if number.unit == "σ":
        return RoleNumber(number, "sigma")
    if number.unit == "×":
        return RoleNumber(number, "ratio")
    if (before[:1] == ["="] and before[1:2] == ["n"]) or set(behind[:1]) & {"samples", "observations"}:
        return RoleNumber(number, "samples")
    if number.unit == "%" and ((behind[:1] and behind[0] in _COMPARATIVES) or before[:1] == ["by"]):
        return RoleNumber(number, "ratio")  # "84% slower", "slowed by 84%" are no shares
    if number.unit == "%" and "rate" in near[:4]:
        return RoleNumber(number, "expected" if _is_usual(near, behind) else "count", "rate")
    if number.unit == "%" and not _is_usual(near, behind):
        of_what = (
            [word for word in behind[1:6] if word not in _TAKEN_AS_IT_IS] if behind[:1] == ["of"] else []
        )
        # "93% of the 48 calls", "84% of POST /checkout": the name or number after it is no lost time.
        is_share = (
            behind[:1] != ["of"] or of_what[:1] in (["it"], ["that"], ["this"]) or set(of_what) & _LOST_TIME
        )
        return (
            RoleNumber(number, "share") if is_share else RoleNumber(number, "count", (of_what or ["of"])[0])
        )
    if (
        number.unit.isalpha()
        and number.unit != "ns"
        and (near[:1] == ["price"] or before[:1] == ["at"] or behind[:1] == ["each"])
    ):
        return RoleNumber(number, "price")
    if not number.unit and behind and behind[0] not in _USUAL | _NO_NOUNS:
        return RoleNumber(number, "count", behind[0])
    if near[:2] == ["of", "instead"] or before[:2] == ["of", "instead"] or "instead" in before[:3]:
        return RoleNumber(number, "expected")
    if before[1:2] == ["compared"] and before[0] in ("to", "with"):
        return RoleNumber(number, "expected")
    if behind[:1] and behind[0] in _EXCESS_BEHIND:
        return RoleNumber(number, "excess")
    is_extra_time = "time" in near[:3] and set(near[1:4]) & {
        "extra",
        "additional",
    }  # "the extra time in it is"
    if is_extra_time or (near[:1] and near[0] in _EXCESS_BEFORE) or set(near[:3]) & _COSTS:
        return RoleNumber(number, "excess")
    if near[:1] == ["than"] and len(near) > 1 and near[1] in ("more", "longer"):
        return RoleNumber(number, "observed", at_least=True)
    if _is_usual(near, behind):
        return RoleNumber(number, "expected")
    if near[:1] and near[0] in _COMPARED:
        return RoleNumber(number, "expected")
    return RoleNumber(number, "observed")


def _is_usual(near: list[str], behind: list[str]) -> bool:
    if behind[:1] and behind[0] in _USUAL - {"against", "versus", "vs"}:
        return True
    if behind[:1] and behind[0] in ("is", "was", "as", "would", "in") and set(behind[1:3]) & _USUAL:
        return True
    if near[:1] == ["from"]:
        return True
    words = near[:6]
    at = next((index for index, word in enumerate(words) if word in _USUAL), None)
    if at is None:
        return False
    # "slower than usual at 152 ms": the comparison is over before the number begins.
    return not (
        at > 0 and words[at + 1 : at + 2] and words[at + 1] in _COMPARED and words[0] in ("at", "with", "in")
    )
