"""Rules for one clause whose words are each licensed by a fact, but wrong together.

Each rule is a name, which the stored report shows, and a function that is true when the clause breaks it.
"""

from __future__ import annotations

from llm.checks.claims import Claim
from llm.checks.clause_words import ENTITY_MARK, TAKES, Word
from llm.checks.figure_rules import FIGURE_RULES
from llm.checks.relation_rules import RELATION_RULES
from llm.checks.roles import RoleNumber
from llm.checks.vocabulary import words

_RULES = (*FIGURE_RULES, *RELATION_RULES)
# Words that make a time a message's time; and words for work that is neither a message nor a call.
_OF_A_MESSAGE = words(
    "message messages reach reached reaches reaching arrive arrived arrives arriving wait waits waited"
    " waiting gap deliver delivered delivery transit travelled queue queued receives received receive"
)
_OWN_WORK = words(
    "processing ran runs running execution executing executed work working busy finished finishes finishing"
    " completed completes completing responded responds response answered answers answering answer"
    " consumed consumes consuming clocked"
)


def phrasing_rule(clause: list[str], numbers: list[RoleNumber], claim: Claim) -> str:
    """The first rule that the clause breaks; empty when there is none."""
    for index, text in enumerate(clause):
        word = Word(text, index, clause, numbers, claim)
        for rule, breaks in _RULES:
            if breaks(word):
                return rule
    return ""


def names_relation(clause: list[str], claim: Claim) -> bool:
    """Whether the clause names the relation of its time: a message, or the way of a call."""
    said = set(clause)
    if "message" in claim.families:
        return bool(said & _OF_A_MESSAGE) or "from" in said
    return "called" in said and bool(said & words("outside way"))


def is_self_time(clause: list[str], numbers: list[RoleNumber], claim: Claim, *, is_told: bool) -> bool:
    """Whether the clause gives the time of a relation as the place's own: "took 640 ms", spent outside.

    Args:
        is_told: an earlier clause named the relation, so that "usually 3 ms" may follow alone.
    """
    if not claim.is_relation:
        return False
    roles = {number.role for number in numbers}
    has_time = bool(roles & {"observed", "expected", "excess", "ratio"})
    if set(clause) & _OWN_WORK:
        return True
    takes = any(number.role == "observed" for number in numbers) and set(clause) & TAKES
    has_subject = any(word.startswith(ENTITY_MARK) for word in clause)  # "A was late by 2.4 s", "71% is in A"
    has_time = has_time or (has_subject and "share" in roles)
    return has_time and not names_relation(clause, claim) and (not is_told or bool(takes) or has_subject)
