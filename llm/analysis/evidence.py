"""A case → numbered facts and ranked candidate causes. Pure: it reads nothing and guesses nothing."""

from __future__ import annotations

from detectors.model.anomaly import Anomaly
from llm.analysis.case import Case, Incident
from llm.analysis.event_facts import EVENTS, add_event, add_observation
from llm.analysis.facts import (
    FactBook,
    add_duration_fact,
    add_error_facts,
    add_path_fact,
    add_time_facts,
    asset,
    place,
)
from llm.analysis.incident_causes import add_incident_causes, add_version_fact, mark_separate
from llm.analysis.localised_facts import span_of
from llm.analysis.own_text import own_cell, own_or_quoted
from llm.analysis.traced import TracedSpan
from llm.analysis.units import clock, counted, duration, quantity, significant
from llm.explanation import Cause, Evidence, Fact
from llm.redaction.redact import allowed_attributes, redact_text

MAX_CAUSES = 5
MAX_WHALES = 3
FAILURES = ("error", "failed_call", "unanswered")


def gather(case: Case) -> Evidence:
    """All facts about `case` with references, and the causes that they support, best first."""
    book = FactBook()
    is_event = bool(case.anomalies) and all(anomaly.detector in EVENTS for anomaly in case.anomalies)
    causes: list[Cause] = []
    for anomaly in case.anomalies[: MAX_WHALES if is_event else 1]:
        causes += _add_anomaly(book, case, anomaly)
    if case.incident and case.incident.anomaly_count > 1 and case.anomalies:
        _add_extent(book, span_of(case, case.anomalies[0]), case.incident)
    symptom = book.facts[0].evidence_id if book.facts else ""
    if not is_event:
        is_failing = _is_failing(case)
        traced = [] if is_failing else _time_causes(book, case)
        traced += add_error_facts(book, case.trace, symptom_is_time=not is_failing)
        traced += _time_causes(book, case) if is_failing else []
        localised = add_incident_causes(book, case, traced) if case.incident else []
        causes += localised or traced
        if localised and is_failing and localised[0].kind not in FAILURES:
            # A ranking by time must not hide the failure itself.
            causes += [cause for cause in traced if cause.kind in FAILURES]
        causes = mark_separate(book, case, causes)
    deployed = add_version_fact(book, case)
    path = () if is_event else add_path_fact(book, case.trace)
    if not any(fact.kind in ("anomaly", "amount", "extent", "critical_path") for fact in book.facts):
        add_duration_fact(book, case.trace)
    ranked = _merge(sorted(causes, key=lambda cause: -cause.score))[:MAX_CAUSES]
    return Evidence(
        subject=case.subject,
        group_id=case.group_id,
        subject_size=case.size,
        trace_id=case.trace.spans[0].trace_id if case.trace.spans else None,
        headline=_headline(case),
        symptom=symptom,
        facts=tuple(book.facts),
        causes=tuple(ranked),
        path=path,
        window=_window(case),
        attributes=_attributes(case, ranked, book.facts),
        deployed=deployed,
    )


def _time_causes(book: FactBook, case: Case) -> list[Cause]:
    """Where a usual trace spent its time is a fact; that it is the cause of something would be a claim."""
    causes = add_time_facts(book, case.trace)
    return [cause for cause in causes if cause.kind == "message_wait"] if case.is_usual else causes


def _is_failing(case: Case) -> bool:
    """Whether the subject is a failure: an anomaly of errors, or a trace whose root failed."""
    if case.anomalies:
        return case.anomalies[0].detector == "error"
    return case.trace.root is not None and case.trace.root.status_code == "ERROR"


def _add_anomaly(book: FactBook, case: Case, anomaly: Anomaly) -> list[Cause]:
    span = span_of(case, anomaly)
    if anomaly.detector in EVENTS:
        return add_event(book, span, anomaly)
    said = own_or_quoted(str(anomaly.details.get("text") or ""))
    unit = asset(anomaly.unit) if anomaly.unit else None
    verb = "took" if unit == "ns" else "had"
    took = f"{verb} {quantity(anomaly.observed, unit)}, usually {quantity(anomaly.expected, unit)}"
    statement = (
        f"{place(span)}{f': {said}' if said else f' {took}'} ({significant(anomaly.sigma)}σ,"
        f" SEV{anomaly.severity}, n = {anomaly.sample_count:,}, {own_cell(anomaly.cell)})"
    )
    add_observation(book, span, anomaly, "anomaly", statement)
    return []


def _add_extent(book: FactBook, span: TracedSpan, incident: Incident) -> None:
    first, last = clock(incident.first_unix_nano), clock(incident.last_unix_nano)
    when = f"at {first}" if first == last else f"between {first} and {last}"
    book.add(span, "extent", f"The incident has {_extent(incident)} {when}")


def _extent(incident: Incident) -> str:
    anomalies = counted(incident.anomaly_count, "anomaly", "anomalies")
    return f"{anomalies} in {counted(incident.trace_count, 'trace', 'traces')}"


def _merge(causes: list[Cause]) -> list[Cause]:
    """One cause for each place: later causes pass their evidence to the first."""
    merged: dict[tuple[str, str], Cause] = {}
    for cause in causes:
        key = (cause.service, cause.operation)
        first = merged.get(key)
        if first is None:
            merged[key] = cause
        else:
            evidence = tuple(dict.fromkeys(first.evidence + cause.evidence))
            merged[key] = first.model_copy(update={"evidence": evidence})
    return list(merged.values())


def _headline(case: Case) -> str:
    if case.incident:
        return f"{redact_text(case.incident.title)} ({_extent(case.incident)})"
    root = case.trace.root
    return f"{place(root)} took {duration(root.duration_ns)}" if root else ""


def _window(case: Case) -> tuple[str, str] | None:
    if case.incident:
        return clock(case.incident.first_unix_nano), clock(case.incident.last_unix_nano)
    if root := case.trace.root:
        return clock(root.start_unix_nano), clock(root.start_unix_nano + root.duration_ns)
    return None


def _attributes(case: Case, causes: list[Cause], facts: list[Fact]) -> dict[str, str | int | float | bool]:
    """The allowed attributes of a span of the best cause's operation; without a cause, of the symptom's.

    Advice uses them: attributes of another operation would send a person to the wrong table.
    """
    if causes:
        place_of = causes[0].service, causes[0].operation
        cited = set(causes[0].evidence)
        facts = [f for f in facts if f.evidence_id in cited and (f.service, f.operation) == place_of]
    for fact in facts[: None if causes else 1]:
        span = case.span(fact.trace_id, fact.span_id)
        if span is not None and span.attributes:
            return allowed_attributes(span.attributes)
    return {}
