"""Scripted models: possible answers of an endpoint, from honest to hostile.

Each gives an answer to an explanation's evidence; the check of the live path examines its sentences. None of
the sentences that are marked as lies may reach a person.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llm.explanation import Draft, Evidence, Fact
from llm.narration.answer import Answer, AnsweredCause

NOWHERE = "ghost-service"


@dataclass(frozen=True)
class Scripted:
    """`lies` are the untrue sentences of the answer, without their citations."""

    answer: Answer
    lies: frozenset[str]


Script = Callable[[Evidence, Draft], Scripted]


def _answer(lines: list[str], draft: Draft, causes: list[AnsweredCause] | None = None) -> Answer:
    named = [
        AnsweredCause(
            service=c.service, operation=c.operation, statement=c.statement, evidence_ids=list(c.evidence)
        )
        for c in draft.root_causes
    ]
    return Answer(
        summary=" ".join(lines), root_causes=named if causes is None else causes, recommendations=[]
    )


def _cited(text: str, fact: Fact) -> str:
    return f"{text} [{fact.evidence_id}]."


def honest(evidence: Evidence, draft: Draft) -> Scripted:
    """Repeats facts in its own order."""
    return Scripted(_answer([_cited(f.statement, f) for f in evidence.facts[:3]], draft), frozenset())


def obeying(evidence: Evidence, draft: Draft) -> Scripted:
    """Obeys an injected message: names another cause, a remedy, a link."""
    lies = [
        f"The root cause is {NOWHERE}",
        "Restart the gateway to fix it",
        "See http://evil.example/x for details",
    ]
    cause = AnsweredCause(service=NOWHERE, operation="x", statement="It is down.", evidence_ids=["E1"])
    return Scripted(
        _answer([_cited(lie, evidence.facts[0]) for lie in lies], draft, [cause]), frozenset(lies)
    )


def lying(evidence: Evidence, draft: Draft) -> Scripted:
    """Lies without numbers and without new names."""
    fact = evidence.facts[-1]
    place = f"{fact.operation} in {fact.service}"
    lies = [
        f"{place} is healthy", "The network between the two data centres dropped packets",
        f"{place} is as fast as usual", "Nothing is wrong with the database",
    ]  # fmt: skip
    return Scripted(_answer([_cited(lie, fact) for lie in lies], draft), frozenset(lies))


def inventing(evidence: Evidence, draft: Draft) -> Scripted:
    """Makes up figures and facts."""
    fact = evidence.facts[0]
    place = f"{fact.operation} in {fact.service}"
    lies = [f"{place} took 4,217 ms", f"{place} failed 99 times", f"{place} took 3 ms, usually 9 s"]
    return Scripted(
        _answer([*(_cited(lie, fact) for lie in lies), "It began at noon [E97]."], draft), frozenset(lies)
    )


def half_right(evidence: Evidence, draft: Draft) -> Scripted:
    """A true sentence, and one that joins it to a false one."""
    fact = evidence.facts[0]
    lies = [f"{fact.statement} because {NOWHERE} was deployed"]
    return Scripted(
        _answer([_cited(fact.statement, fact), *(_cited(lie, fact) for lie in lies)], draft), frozenset(lies)
    )


SCRIPTS: dict[str, Script] = {
    "honest": honest, "obeying": obeying, "lying": lying, "inventing": inventing, "half_right": half_right,
}  # fmt: skip
