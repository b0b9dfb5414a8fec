"""Facts → explanation, without a model: the text that always stands."""

from __future__ import annotations

from llm.explanation import Cause, Draft, Evidence, RootCause
from llm.templates import render

WORTH_SAYING = 0.1  # share of the slowdown below which an operation is left to the evidence list
STANDS_OUT = 0.25  # confidence below which a cause is not named as the first


def explain(evidence: Evidence) -> Draft:
    """The explanation of `evidence` in fixed words; every sentence about the system cites its facts.

    Where no candidate stands out, it says so instead of naming the least bad one.
    """
    if not evidence.facts:
        return Draft(
            summary="Nothing is stored that could explain this: none of its spans has landed.",
            root_causes=(),
            recommendations=tuple(recommendations(evidence, None)),
            confidence=0.0,
        )
    causes = evidence.causes if evidence.causes and evidence.causes[0].confidence >= STANDS_OUT else ()
    first = causes[0] if causes else None
    return Draft(
        summary=" ".join(_sentences(evidence, causes)),
        root_causes=tuple(root_cause(rank, cause) for rank, cause in enumerate(causes, start=1)),
        recommendations=tuple(recommendations(evidence, first)),
        confidence=round(first.confidence, 2) if first else 0.0,
    )


def root_cause(rank: int, cause: Cause) -> RootCause:
    return RootCause(
        rank=rank,
        service=cause.service,
        operation=cause.operation,
        statement=cause.statement,
        confidence=round(cause.confidence, 2),
        evidence=cause.evidence,
    )


def recommendations(evidence: Evidence, cause: Cause | None) -> list[str]:
    """What to do next, one step a line, by the kind of the first cause."""
    values = {
        "service": cause.service if cause else "",
        "operation": cause.operation if cause else "",
        "attributes": evidence.attributes,
        "when": _when(evidence.window),
    }
    lines = render(f"advice/{cause.kind if cause else 'none'}", **values).splitlines()
    return [line.strip() for line in lines if line.strip()]


def _when(window: tuple[str, str] | None) -> str:
    if window is None:
        return ""
    first, last = window
    return f"at {first}" if first == last else f"between {first} and {last}"


def _sentences(evidence: Evidence, causes: tuple[Cause, ...]) -> list[str]:
    symptom = evidence.fact(evidence.symptom)
    said: set[str] = set()
    sentences: list[str] = []
    if causes:
        sentences.append(_cite(causes[0].statement, causes[0].evidence))
        said.update(causes[0].evidence)
    elif symptom is not None and symptom.kind in ("anomaly", "amount"):
        sentences.append(_cite(symptom.statement, [symptom.evidence_id]))
        said.add(symptom.evidence_id)
    if not causes:
        sentences.append("No cause stands out in the trace.")
    if causes and symptom is not None and symptom.evidence_id not in said and symptom.kind == "anomaly":
        sentences.append(_cite(f"It shows as: {symptom.statement}", [symptom.evidence_id]))
    for cause in causes[1:2]:
        sentences.append(_cite(f"Next: {cause.statement}", cause.evidence))
        said.update(cause.evidence)
    also = [
        fact
        for fact in evidence.facts
        if causes
        and fact.kind == "exclusive_time"
        and fact.evidence_id not in said
        and (fact.share or 0) >= WORTH_SAYING
    ]
    sentences += [_cite(f"Also: {fact.statement}", [fact.evidence_id]) for fact in also[:2]]
    return sentences + [
        _cite(fact.statement, [fact.evidence_id])
        for fact in evidence.facts
        if fact.kind in ("extent", "critical_path", "duration", "amount_value")
    ]


def _cite(statement: str, evidence: tuple[str, ...] | list[str]) -> str:
    return f"{statement} [{', '.join(evidence[:3])}]."
