"""Rules for how the clauses of a sentence are joined: one statement a clause, each about its own place.

Clauses are texts in which each name is a placeholder (`clauses.ENTITY`).
"""

from __future__ import annotations

import re
from itertools import pairwise

from llm.checks.clause_words import BE, ENTITY_MARK, FAILED, PREDICATES
from llm.checks.clauses import APPOSITION, ENTITY, TOKEN
from llm.checks.vocabulary import words

_BEFORE_NOUNS = words("with of by in at for from")
_OPENS_SENTENCE = frozenset({"The", "A", "An", "It", "This", "There", "Its"})
_SUBJECTS = words("message incident order account")
_RUN_ON = "two statements without a joint"
_RELATION = "a relation that no fact states"


def is_fragment(clause: str) -> bool:
    """ "In 64 anomalies", "usually 8 ms": without a place and a verb it is about the clause beside it."""
    return ENTITY_MARK not in clause and not set(re.findall(r"[a-z]+", clause.lower())) & PREDICATES


def joint_rule(joint: str, clause: str, before: str) -> str:
    """The rule that the clause breaks beside the one before it; empty if none."""
    if joint in APPOSITION and _leads_with_figure(clause, before):
        return _RELATION
    written = [token for token in TOKEN.findall(clause) if token.isalnum() or ENTITY.match(token)]
    if _lacks_subject([token.lower() for token in written], clause, before):
        return _RELATION
    return _RUN_ON if _OPENS_SENTENCE & set(written[1:]) or _runs_on(written) else ""


def _leads_with_figure(clause: str, before: str) -> bool:
    """ "A took 3.1 s, 91% of the slowdown B took 2.6 s": the figure is read as A's."""
    figure = re.search(r"\d", clause.partition(ENTITY_MARK)[0])
    place, known = ENTITY.search(clause), ENTITY.findall(before)
    return bool(figure and place and known and place[1] not in known)


def _lacks_subject(tokens: list[str], clause: str, before: str) -> bool:
    """ "A took 152 ms, is part of B"; "Is part of B, A took 152 ms": it relates A to B."""
    others = set(ENTITY.findall(clause)) - set(ENTITY.findall(before))
    is_joined = bool(before) or (bool(tokens) and tokens[0] in BE)
    return bool(others) and is_joined and bool(set(tokens[:1]) & PREDICATES)


def _runs_on(written: list[str]) -> bool:
    """ "A took 152 ms B is slow", "with took 152 ms", "call A A took 152 ms"."""
    has_verb = False
    named: set[str] = set()
    for word, behind in pairwise([item.lower() for item in written]):
        is_verb, is_name = behind in PREDICATES, bool(ENTITY.match(word))
        if (is_name and word == behind) or (word in _BEFORE_NOUNS and is_verb and behind not in FAILED):
            return True
        if has_verb and ((is_verb and (is_name or word in _SUBJECTS)) or (behind in named and word != "in")):
            return True
        named |= {word} if is_name else set()
        # "It took 2.4 s until the message reached …": what follows has a verb of its own.
        has_verb = (has_verb or is_verb or word in PREDICATES) and behind != "until"
    return False
