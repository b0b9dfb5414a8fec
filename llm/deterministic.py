"""Facts → explanation, without a model."""

from __future__ import annotations

from detectors.localise.evidence.everywhere import EVERYWHERE, SATURATED
from detectors.model.amounts import CALL_KINDS, unit_of
from llm.explanation import Cause, Draft, Evidence, Fact, RootCause
from llm.templates import render

OPENINGS = (
    "",
    "It shows as: ",
    "Next: ",
    "Another fault: ",
)  # before a fact's statement, in code's sentences
STANDS_OUT = 0.25  # confidence below which a cause is not named as the first
WORTH_NAMING = 0.1  # … and below which no other is named: a cause at 1% misleads the reader


def explain(evidence: Evidence) -> Draft:
    """The explanation of `evidence` in fixed words; every sentence about the system cites its facts.

    Where no candidate stands out, or all is slower at once, it says so instead of naming the least bad one.
    """
    if not evidence.facts:
        return Draft(
            summary="Nothing is stored that could explain this: its spans have not landed, or have expired.",
            root_causes=(),
            recommendations=tuple(recommendations(evidence, None)),
            confidence=0.0,
        )
    stands_out = bool(evidence.causes) and evidence.causes[0].confidence >= STANDS_OUT
    causes = evidence.causes if stands_out and not _shared(evidence) else ()
    causes = tuple(
        cause for cause in causes if cause is causes[0] or cause.separate or cause.confidence >= WORTH_NAMING
    )
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
    """The next steps, one a line, by the kind of the first cause."""
    symptom = evidence.fact(evidence.symptom)
    values = {
        "calls_model": symptom is not None and symptom.unit in {unit_of(kind, "") for kind in CALL_KINDS},
        "service": cause.service if cause else "",
        "operation": cause.operation if cause else "",
        "attributes": evidence.attributes,
        "when": _when(evidence.window),
    }
    shared = "everywhere" if _shared(evidence) else "none"
    lines = render(f"advice/{cause.kind if cause else shared}", **values).splitlines()
    deployed = evidence.fact(evidence.deployed)
    if deployed is not None:
        lines.append(f"Compare with the version before: {deployed.statement} [{deployed.evidence_id}].")
    return [line.strip() for line in lines if line.strip()]


def _when(window: tuple[str, str] | None) -> str:
    if window is None:
        return ""
    first, last = window
    if first[:10] == last[:10] and first != last:  # "2026-11-03 12:00:00 UTC": the day once
        return f"between {first[11:19]} and {last[11:19]} UTC on {first[:10]}"
    return f"at {first}" if first == last else f"between {first} and {last}"


def _sentences(evidence: Evidence, causes: tuple[Cause, ...]) -> list[str]:
    symptom = evidence.fact(evidence.symptom)
    # People read two or three sentences at night; the other facts stand in the list of evidence.
    if not causes:
        opening = [said(symptom)] if symptom is not None and symptom.kind in ("anomaly", "amount") else []
        closing = [
            said(fact) for fact in evidence.facts if fact.kind in ("extent", "critical_path", "duration")
        ]
        shared = _shared(evidence)
        standing = [said(fact) for fact in shared] or ["No cause stands out in the trace."]
        return [*standing, *opening, *closing] if shared else [*opening, *standing, *closing]
    sentences = [_cite(causes[0].statement, causes[0].evidence)]
    if symptom is not None and symptom.kind == "anomaly" and symptom.evidence_id not in causes[0].evidence:
        sentences.append(f"It shows as: {said(symptom)}")
    separate = [cause for cause in causes if cause.separate]
    if separate:  # two faults at once: each is named, with when it was
        sentences += _windows(evidence, causes[:1])
    for cause in separate:
        sentences += [
            _cite(f"Another fault: {cause.statement}", cause.evidence),
            *_windows(evidence, (cause,)),
        ]
    # The same failure in another trace is no second cause.
    first = (causes[0].service, causes[0].operation, causes[0].statement)
    others = [cause for cause in causes[1:] if not cause.separate]
    following = [cause for cause in others if (cause.service, cause.operation, cause.statement) != first]
    sentences += [_cite(f"Next: {cause.statement}", cause.evidence) for cause in following[:1]]
    return sentences + [said(fact) for fact in evidence.facts if fact.kind in ("extent", "amount_value")]


def _shared(evidence: Evidence) -> list[Fact]:
    """The facts that everything is slower at once, and which resource rose meanwhile."""
    return [fact for fact in evidence.facts if fact.kind in (EVERYWHERE, SATURATED)]


def _windows(evidence: Evidence, causes: tuple[Cause, ...]) -> list[str]:
    facts = (evidence.fact(evidence_id) for cause in causes for evidence_id in cause.evidence)
    return [said(fact) for fact in facts if fact is not None and fact.kind == "window"]


def said(fact: Fact) -> str:
    """Code's own sentence about a fact, with its citation."""
    return _cite(fact.statement, [fact.evidence_id])


def _cite(statement: str, evidence: tuple[str, ...] | list[str]) -> str:
    # The first fact is the one whose statement it is; the others stand in the list of evidence.
    return f"{statement} [{evidence[0]}]."
