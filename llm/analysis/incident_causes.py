"""The detectors' ranking of an incident → causes with statements that their facts support."""

from __future__ import annotations

import re
from collections.abc import Mapping

from detectors.localise.evidence.errors import UNANSWERED
from detectors.localise.rank import LOW
from llm.analysis.case import Case, Extent, Incident
from llm.analysis.facts import (
    FactBook,
    cause_kind,
    error_kind,
    place,
    time_confidence,
)
from llm.analysis.localised_facts import add_localisation, number
from llm.analysis.traced import TracedSpan
from llm.analysis.units import clock, counted, percent
from llm.explanation import Cause, CauseKind, Fact
from llm.redaction.redact import quoted_text, redact_name

MAX_INCIDENT_CAUSES = 5
MIN_SEPARATE_TRACES = 3  # one or two may be chance
MAX_SHARED_TRACES = 0.1  # of a separate cause's traces: both faults hit some requests
_TOLD_IN_WORDS = frozenset({"structure", "count"})  # evidence without a figure
_BY_TIME = frozenset({"self_time", "edge_time"})  # kinds of causes whose share is one of the lost time
LOW_CONFIDENCE = 0.25  # at most, of a cause that the detectors name only because nothing else stands out
# At least, of the first cause otherwise, however little of the lost time it took itself: a starved service
# holds up others. It was right in 20 of 28 cases when four systems were looked at for the first time (mesh,
# regions, stream and internal of tests/datasets/evaluate/further.py), before anything was mended for them.
FIRST_CONFIDENCE = 0.7
_POOL = re.compile(r"pool|client\.connections?|connections?\.(?:usage|active|used|pending)", re.IGNORECASE)
_LOAD = re.compile(r"cpu|\bload|utili[sz]ation|queue|backlog|lag|threads?\.active|saturation", re.IGNORECASE)


def add_incident_causes(book: FactBook, case: Case, traced: list[Cause]) -> list[Cause]:
    """The detectors' ranking over all traces of the incident, joined with the exemplar trace's facts.

    The detectors rank services and name the worst operation of each; the exemplar's facts on any
    operation of that service support it.
    """
    incident = case.incident
    assert incident is not None
    causes: list[Cause] = []
    for ranked in incident.root_causes[:MAX_INCIDENT_CAUSES]:
        if causes and ranked.get("confidence") == LOW:
            continue  # that something went as usual misleads the reader
        service, operation = (redact_name(str(ranked.get(key) or "")) for key in ("service", "operation"))
        listed = add_localisation(book, case, ranked)
        exact = [c for c in traced if (c.service, c.operation) == (service, operation)]
        if not listed and not exact:  # the place itself has no facts: use those of its service
            exact = [c for c in traced if c.service == service][:1]
            operation = exact[0].operation if exact else operation
        cited = [i for c in exact for i in c.evidence] + listed
        known = [fact for i in dict.fromkeys(cited) if (fact := book.fact(i))]
        if not known:
            continue
        # Where the ranked operation has no fact of its own, name the service's strongest one.
        is_failing = ranked.get("kind") == "error"
        own = [fact for fact in known if fact.operation == operation] or known
        # State the evidence that ranked it; a slower or faster self time beside it may be an effect.
        ranking = [fact for fact in own if fact.kind == ranked.get("kind") and fact.kind in _TOLD_IN_WORDS]
        told = ranking[0] if ranking else _most_telling(own, is_failing=is_failing)
        unanswered = told.kind == UNANSWERED  # the facts are its callers'
        operation = operation if unanswered else told.operation
        facts = known if unanswered else [fact for fact in known if fact.operation == operation]
        causes.append(
            Cause(
                service=service,
                operation=operation,
                kind=_kind_of(case, ranked, told, operation),
                statement=told.statement,
                score=1 / (1 + len(causes)),  # keeps the detectors' order
                confidence=_localised_confidence(case, incident, ranked, exact),
                evidence=(told.evidence_id, *(f.evidence_id for f in facts if f is not told)),
            )
        )
    return causes


def mark_separate(book: FactBook, case: Case, causes: list[Cause]) -> list[Cause]:
    """`causes`, marked with their time window where their anomalies lie in other traces than the first one's.

    A fault and the calls that it slows share their traces; two faults at the same time do not.
    """
    first = case.extents.get((causes[0].service, causes[0].operation)) if causes else None
    if first is None:
        return causes
    found: list[Cause] = []
    seen = first.trace_ids
    for cause in causes:
        extent = case.extents.get((cause.service, cause.operation))
        is_own = (
            extent is not None
            and extent.trace_count >= MIN_SEPARATE_TRACES
            and bool(len(extent.trace_ids & seen) <= MAX_SHARED_TRACES * len(extent.trace_ids))
        )
        fact = book.fact(cause.evidence[0])
        if extent is not None and fact is not None and (is_own or cause is causes[0]):
            span = case.span(fact.trace_id, fact.span_id)
            evidence = cause.evidence + ((_add_window(book, span, extent),) if span else ())
            found.append(cause.model_copy(update={"separate": is_own, "evidence": evidence}))
        else:
            found.append(cause)
        if is_own and extent is not None:
            seen = seen | extent.trace_ids
    return found


def _add_window(book: FactBook, span: TracedSpan, extent: Extent) -> str:
    anomalies = counted(extent.anomaly_count, "anomaly", "anomalies")
    traces = counted(extent.trace_count, "trace", "traces")
    first, last = clock(extent.first_unix_nano), clock(extent.last_unix_nano)
    when = f"at {first}" if first == last else f"between {first} and {last}"
    return book.add(span, "window", f"{place(span)} has {anomalies} in {traces} {when}")


def add_version_fact(book: FactBook, case: Case) -> str:
    """The id of the fact about a version that sets the incident's traces apart; empty without one."""
    version = case.version
    span = case.span(version.trace_id, version.span_id) if version else None
    if version is None or span is None:
        return ""
    statement = (
        f"{quoted_text(f'{version.key} = {version.value}')} in {percent(version.share)} of the traces of the"
        f" incident, usually in {percent(version.usual_share)}"
    )
    return book.add(span, "deploy", statement)


def _most_telling(facts: list[Fact], *, is_failing: bool) -> Fact:
    """The fact whose statement names the cause: its error, else the fact farthest from the usual."""
    if is_failing or facts[0].kind == "error":
        return next((fact for fact in facts if fact.kind == "error"), facts[0])
    return max(
        facts, key=lambda fact: (fact.expected is not None, (fact.observed or 0) - (fact.expected or 0))
    )


def _localised_confidence(
    case: Case, incident: Incident, ranked: Mapping[str, object], same: list[Cause]
) -> float:
    """How sure the ranking is: its share of the lost time or of all scores, whichever is more; of the scores
    alone where time is not what was lost.

    What comes after the first is as sure as it is strong beside that.
    """
    scores = [number(each.get("score")) or 0.0 for each in incident.root_causes]
    score, total = number(ranked.get("score")), sum(scores)
    share = number(ranked.get("share"))
    if ranked.get("kind") not in _BY_TIME:
        share = None
    if score is not None and total > 0:
        share = max(share or 0.0, score / total)
    best = share if share is not None else max((cause.score for cause in same), default=0.5)
    if score is not None and scores[0] > 0:
        best *= min(score / scores[0], 1.0)
    samples = max((anomaly.sample_count for anomaly in case.anomalies), default=0)
    found = time_confidence(min(max(best, 0.0), 1.0), samples, incident.trace_count)
    if ranked.get("confidence") == LOW:
        return min(found, LOW_CONFIDENCE)
    return max(found, FIRST_CONFIDENCE) if ranked is incident.root_causes[0] and score else found


def _kind_of(case: Case, ranked: Mapping[str, object], told: Fact, operation: str) -> CauseKind:
    by_fact: dict[str, CauseKind] = {
        "error": "error", "amount": "amount", "edge_time": "remote_call", "message_wait": "message_wait",
        "metric": "resource", "structure": "call_structure", UNANSWERED: "unanswered",
    }  # fmt: skip
    if ranked.get("kind") == "count":
        failed = any(span.status_code == "ERROR" for span in case.trace.spans if span.operation == operation)
        return "retries" if failed else "repeated_calls"
    if told.kind == "error":
        span = case.span(told.trace_id, told.span_id)
        return error_kind(span, case.trace.spans) if span else "error"
    kind = by_fact.get(told.kind) or by_fact.get(str(ranked.get("kind")))
    if kind == "resource":
        return _resource_kind(operation)
    if kind:
        return kind
    for span in (*case.trace.spans, *case.cited.values()):
        if redact_name(span.operation) == operation:
            return cause_kind(span)
    return "own_code"


def _resource_kind(metric: str) -> CauseKind:
    """The kind of resource that a metric's name refers to."""
    if _POOL.search(metric):
        return "pool"
    return "saturation" if _LOAD.search(metric) else "resource"
