"""The detectors' ranking of an incident → causes with statements that their facts support."""

from __future__ import annotations

import re
from collections.abc import Mapping

from detectors.localise.attribution.everywhere import EVERYWHERE, SATURATED
from detectors.localise.evidence.errors import UNANSWERED
from detectors.localise.rank import LOW
from detectors.model.anomaly import Anomaly
from llm.analysis.case import Case, Extent, Incident
from llm.analysis.facts import (
    FactBook,
    asset,
    cause_kind,
    error_kind,
    error_statement,
    place,
    time_confidence,
)
from llm.analysis.traced import TracedSpan
from llm.analysis.units import clock, counted, percent, quantity
from llm.explanation import Cause, CauseKind, Fact
from llm.redaction.redact import quoted_name, quoted_text, redact_name, redact_text

MAX_INCIDENT_CAUSES = 5
MIN_SEPARATE_TRACES = 3  # one or two may be chance
MAX_SHARED_TRACES = 0.1  # of a separate cause's traces: both faults hit some requests
_TOLD_IN_WORDS = frozenset({"structure", "count"})  # evidence without a figure
_BY_TIME = frozenset({"self_time", "edge_time"})  # kinds of causes whose share is one of the lost time
LOW_CONFIDENCE = 0.25  # at most, of a cause that the detectors name only because nothing else stands out
# At least, of the first cause otherwise: it is right in 37 of 45 incidents of Nezha, however little of the
# lost time it took itself. A starved service holds up others.
FIRST_CONFIDENCE = 0.5
_POOL = re.compile(r"pool|client\.connections?|connections?\.(?:usage|active|used|pending)", re.IGNORECASE)
_LOAD = re.compile(r"cpu|\bload|utili[sz]ation|queue|backlog|lag|threads?\.active|saturation", re.IGNORECASE)
MAX_EVIDENCE_PER_INCIDENT_CAUSE = 3
# What all operations share is the cause: no place is sure enough to be named (`deterministic.STANDS_OUT`).
SHARED_CONFIDENCE = 0.1
_OWN_EVERYWHERE = re.compile(
    r"\d+ of \d+ operations in \d+ services take [\d.]+ times their usual own time, and none stands out"
)


def add_incident_causes(book: FactBook, case: Case, traced: list[Cause]) -> list[Cause]:
    """The detectors' ranking over all traces of the incident, joined with the exemplar trace's facts.

    The detectors rank services and name the worst operation of each; the exemplar's facts on any
    operation of that service support it.
    """
    incident = case.incident
    assert incident is not None
    causes: list[Cause] = []
    shared = _is_shared(incident)
    for ranked in incident.root_causes[:MAX_INCIDENT_CAUSES]:
        if causes and not shared and ranked.get("confidence") == LOW:
            continue  # that something went as usual misleads the reader
        service, operation = (redact_name(str(ranked.get(key) or "")) for key in ("service", "operation"))
        listed = _add_localisation(book, case, ranked)
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
                confidence=SHARED_CONFIDENCE
                if shared
                else _localised_confidence(case, incident, ranked, exact),
                evidence=(told.evidence_id, *(f.evidence_id for f in facts if f is not told)),
            )
        )
    return causes


def _is_shared(incident: Incident) -> bool:
    """Whether everything is slower, so that no single place is the cause."""
    evidence = incident.root_causes[0].get("evidence") if incident.root_causes else None
    return isinstance(evidence, list) and any(item.get("kind") == EVERYWHERE for item in evidence)


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


def _add_localisation(book: FactBook, case: Case, ranked: Mapping[str, object]) -> list[str]:
    """Facts from the evidence of one ranked cause whose spans are stored."""
    listed = ranked.get("evidence")
    added: list[str] = []
    for item in listed[:MAX_EVIDENCE_PER_INCIDENT_CAUSE] if isinstance(listed, list) else ():
        place_of = str(item.get("trace_id") or ""), str(item.get("span_id") or "")
        kind = redact_text(item.get("kind") or "localisation")
        span = case.span(*place_of)
        if span is None and kind in (
            "metric",
            SATURATED,
        ):  # a service that sends only metrics: its anomaly is the fact
            known = (a for a in case.anomalies if (a.trace_id, a.span_id) == place_of)
            span = next((span_of(case, anomaly) for anomaly in known), None)
        if span is None:
            continue
        if kind == "metric":  # a metric of the service; the span only gives the time
            span = span._replace(operation=str(ranked.get("operation") or span.operation))
        if any(fact.span_id == span.span_id and fact.kind == kind for fact in book.facts):
            continue  # the exemplar trace already says so, with more figures
        statement = _localised_statement(span, kind, item, str(ranked.get("service") or ""))
        observed, expected, unit = (
            _number(item.get("observed")),
            _number(item.get("expected")),
            item.get("unit"),
        )
        if kind == "error":  # a flag, not a figure
            observed, expected, unit = float(span.duration_ns), None, "ns"
        added.append(
            book.add(
                span, kind, statement, observed=observed, expected=expected,
                unit=asset(unit) if unit else None,
                sample_count=span.sample_count if unit == "ns" and expected is not None else None,
            )
        )  # fmt: skip
    return added


def _localised_statement(span: TracedSpan, kind: str, item: Mapping[str, object], service: str) -> str:
    """Our own words around the figures. The sender's words are in quotation marks."""
    observed, expected = _number(item.get("observed")), _number(item.get("expected"))
    if kind == "error":
        return error_statement(span)
    if kind == UNANSWERED and observed is not None:
        failed = f"{percent(observed)} of the calls to it failed without an answer"
        return f"{redact_name(service)} does not answer: {failed}, {place(span)} among them"
    told = quoted_text(item.get("text") or "")
    in_words = {
        EVERYWHERE: _everywhere(str(item.get("text") or "")),
        SATURATED: f"Meanwhile {told}",
        "metric": f"{quoted_name(span.service)}: {told}",  # of the service; the span only gives the time
    }
    if kind in in_words or observed is None or expected is None:
        return in_words.get(kind, f"{place(span)}: {told}")
    unit = asset(item.get("unit") or "")
    verbs = {"self_time": "took {} of its own", "edge_time": "spent {} outside the service it called"}
    did = verbs.get(kind, "took {}" if unit == "ns" else "had {}").format(quantity(observed, unit))
    return f"{place(span)} {did}, usually {quantity(expected, unit)}"


def _everywhere(text: str) -> str:
    """Figures alone, in the detectors' words."""
    return text if _OWN_EVERYWHERE.fullmatch(text) else quoted_text(text)


def _localised_confidence(
    case: Case, incident: Incident, ranked: Mapping[str, object], same: list[Cause]
) -> float:
    """How sure the ranking is: its share of the lost time or of all scores, whichever is more; of the scores
    alone where time is not what was lost.

    What comes after the first is as sure as it is strong beside that.
    """
    scores = [_number(each.get("score")) or 0.0 for each in incident.root_causes]
    score, total = _number(ranked.get("score")), sum(scores)
    share = _number(ranked.get("share"))
    if score is not None and total > 0:
        share = max(score / total, share or 0.0 if ranked.get("kind") in _BY_TIME else 0.0)
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


def span_of(case: Case, anomaly: Anomaly) -> TracedSpan:
    known = case.span(anomaly.trace_id, anomaly.span_id)
    if known is not None:
        return known
    return TracedSpan(
        anomaly.trace_id, anomaly.span_id, None, anomaly.service_name, anomaly.operation, anomaly.span_kind,
        anomaly.start_unix_nano, anomaly.span_duration_ns, anomaly.span_duration_ns,
    )  # fmt: skip


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _resource_kind(metric: str) -> CauseKind:
    """The kind of resource that a metric's name refers to."""
    if _POOL.search(metric):
        return "pool"
    return "saturation" if _LOAD.search(metric) else "resource"
