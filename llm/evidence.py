"""A case → numbered facts and ranked candidate causes. Pure: nothing is read, nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from llm.case import Anomaly, Case, Incident
from llm.explanation import Cause, CauseKind, Evidence, Fact
from llm.facts import (
    FactBook,
    add_error_facts,
    add_path_fact,
    add_time_facts,
    asset,
    cause_kind,
    error_statement,
    place,
    time_confidence,
)
from llm.redact import allowed_attributes, redact_name, redact_text
from llm.traced import TracedSpan
from llm.units import cell_text, counted, duration, quantity, significant

MAX_CAUSES = 5
MAX_EVIDENCE_PER_INCIDENT_CAUSE = 3
MAX_WHALES = 3
_SIDE = re.compile(r"[A-Za-z_]{1,12}")


def gather(case: Case) -> Evidence:
    """All facts about `case` with references, and the causes that they support, best first."""
    book = FactBook()
    amounts = [anomaly for anomaly in case.anomalies if anomaly.detector == "amount"]
    is_amount = bool(amounts) and len(amounts) == len(case.anomalies)
    causes: list[Cause] = []
    for anomaly in case.anomalies[: MAX_WHALES if is_amount else 1]:
        causes += _add_anomaly(book, case, anomaly)
    if case.incident and case.incident.anomaly_count > 1 and case.anomalies:
        _add_extent(book, _span_of(case, case.anomalies[0]), case.incident)
    symptom = book.facts[0].evidence_id if book.facts else ""
    if not is_amount:
        traced = add_time_facts(book, case.trace)
        traced += add_error_facts(book, case.trace, symptom_is_time=case.subject.kind != "trace")
        localised = _add_incident_causes(book, case, traced) if case.incident else []
        causes += localised or traced
    path = () if is_amount else add_path_fact(book, case.trace)
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
    )


def _add_anomaly(book: FactBook, case: Case, anomaly: Anomaly) -> list[Cause]:
    span = _span_of(case, anomaly)
    if anomaly.detector != "amount":
        said = redact_text(str(anomaly.details.get("text") or ""))
        took = (
            f"took {quantity(anomaly.observed, asset(anomaly.unit))}, usually"
            f" {quantity(anomaly.expected, asset(anomaly.unit))}"
        )
        statement = (
            f"{place(span)}{f': {said}' if said else f' {took}'} ({significant(anomaly.sigma)}σ,"
            f" SEV{anomaly.severity}, n = {anomaly.sample_count:,}, {redact_text(cell_text(anomaly.cell))})"
        )
        _add_observation(book, span, anomaly, "anomaly", statement)
        return []
    side = str(anomaly.details.get("side") or "")
    side = side if _SIDE.fullmatch(side) else ""
    observed = quantity(anomaly.observed, asset(anomaly.unit))
    times = f", {significant(anomaly.observed / anomaly.expected)}× as much" if anomaly.expected > 0 else ""
    statement = (
        f"{place(span)} carried {f'a {side} of ' if side else ''}{observed},"
        f" usually {quantity(anomaly.expected, asset(anomaly.unit))}{times}"
        f" ({significant(anomaly.sigma)}σ, SEV{anomaly.severity}, n = {anomaly.sample_count:,})"
    )
    evidence = [_add_observation(book, span, anomaly, "amount", statement)]
    evidence += _add_order_facts(book, span)
    samples = anomaly.sample_count
    return [
        Cause(
            service=redact_name(anomaly.service),
            operation=redact_name(anomaly.operation),
            kind="amount",
            statement=f"The amount itself is the anomaly, not the system: {statement}",
            score=1.0,
            confidence=min(1.0, anomaly.sigma / 5) * samples / (samples + 30),
            evidence=tuple(evidence),
        )
    ]


def _add_extent(book: FactBook, span: TracedSpan, incident: Incident) -> None:
    first, last = _clock(incident.first_unix_nano), _clock(incident.last_unix_nano)
    when = f"at {first}" if first == last else f"between {first} and {last}"
    book.add(span, "extent", f"The incident has {_extent(incident)} {when}")


def _extent(incident: Incident) -> str:
    anomalies = counted(incident.anomaly_count, "anomaly", "anomalies")
    return f"{anomalies} in {counted(incident.trace_count, 'trace', 'traces')}"


def _add_observation(book: FactBook, span: TracedSpan, anomaly: Anomaly, kind: str, statement: str) -> str:
    return book.add(
        span, kind, statement, observed=anomaly.observed, expected=anomaly.expected,
        unit=asset(anomaly.unit), sample_count=anomaly.sample_count, sigma=anomaly.sigma,
    )  # fmt: skip


def _add_order_facts(book: FactBook, span: TracedSpan) -> list[str]:
    """What the order says of itself: side, price, status, value; and whether the system took it calmly."""
    known = allowed_attributes(span.attributes)
    found: list[str] = []
    amount, price, pair = known.get("order.quantity"), known.get("order.price"), known.get("order.pair")
    if isinstance(amount, int | float) and isinstance(price, int | float) and isinstance(pair, str):
        quote = asset(pair.replace("-", "/").partition("/")[2])
        statement = f"At its price of {quantity(price, quote)} it is worth {quantity(amount * price, quote)}"
        found.append(book.add(span, "amount_value", statement, observed=amount * price, unit=quote))
    said = [
        f'{key} = "{str(known[key]).replace(chr(34), "")}"'
        for key in ("order.side", "order.type", "order.status")
        if key in known
    ]
    if said:
        found.append(book.add(span, "order", f"The order says {', '.join(said)}"))
    if span.duration_ns > 0:
        statement = f"{place(span)} took {duration(span.duration_ns)} in all"
        book.add(span, "duration", statement, observed=span.duration_ns, unit="ns")
    return found


def _add_incident_causes(book: FactBook, case: Case, traced: list[Cause]) -> list[Cause]:
    """The detectors' ranking over all traces of the incident, joined with the exemplar trace's facts.

    The detectors rank services and name the worst operation of each; the exemplar's facts on any
    operation of that service support it.
    """
    incident = case.incident
    assert incident is not None
    causes: list[Cause] = []
    for ranked in incident.root_causes[:MAX_CAUSES]:
        service, operation = (redact_name(str(ranked.get(key) or "")) for key in ("service", "operation"))
        same = sorted(
            (cause for cause in traced if cause.service == service), key=lambda c: c.operation != operation
        )
        listed, statement = _add_localisation(book, case, ranked)
        evidence = [evidence_id for cause in same for evidence_id in cause.evidence] + listed
        if not evidence:
            continue
        exact = [cause for cause in same if cause.operation == operation]
        share = _number(ranked.get("share"))
        causes.append(
            Cause(
                service=service,
                operation=operation,
                kind=exact[0].kind if exact else _kind_of(case, ranked, operation),
                statement=exact[0].statement if exact else statement or same[0].statement,
                score=1 / (1 + len(causes)),  # the detectors' order stands
                confidence=_localised_confidence(case, incident, share, same),
                evidence=tuple(dict.fromkeys(evidence)),
            )
        )
    return causes


def _add_localisation(book: FactBook, case: Case, ranked: Mapping[str, object]) -> tuple[list[str], str]:
    """Facts from the evidence of one ranked cause, as far as their spans are stored; the first one's text."""
    listed = ranked.get("evidence")
    added: list[str] = []
    first = ""
    for item in listed[:MAX_EVIDENCE_PER_INCIDENT_CAUSE] if isinstance(listed, list) else ():
        place_of = str(item.get("trace_id") or ""), str(item.get("span_id") or "")
        kind = redact_text(item.get("kind") or "localisation")
        span = case.span(*place_of)
        if span is None and kind == "metric":  # a service may send metrics alone: its anomaly stands for it
            known = (a for a in case.anomalies if (a.trace_id, a.span_id) == place_of)
            span = next((_span_of(case, anomaly) for anomaly in known), None)
        if span is None:
            continue
        if any(fact.span_id == span.span_id and fact.kind == kind for fact in book.facts):
            continue  # the exemplar trace already says so, with more figures
        statement = _localised_statement(span, kind, item)
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
        first = first or statement
    return added, first


def _localised_statement(span: TracedSpan, kind: str, item: Mapping[str, object]) -> str:
    """Our own words around the figures. What the sender wrote stands in quotation marks."""
    if kind == "error":
        return error_statement(span)
    observed, expected = _number(item.get("observed")), _number(item.get("expected"))
    unit = asset(item.get("unit") or "")
    if kind == "metric":  # of the service, the span only stands for the time
        return f'{redact_name(span.service)}: "{redact_text(item.get("text") or "").replace(chr(34), "")}"'
    if observed is None or expected is None:
        return f'{place(span)}: "{redact_text(item.get("text") or "").replace(chr(34), "")}"'
    verbs = {"exclusive_time": "took {} of its own", "edge_time": "spent {} outside the service it called"}
    did = verbs.get(kind, "had {}").format(quantity(observed, unit))
    return f"{place(span)} {did}, usually {quantity(expected, unit)}"


def _localised_confidence(case: Case, incident: Incident, share: float | None, same: list[Cause]) -> float:
    samples = max((anomaly.sample_count for anomaly in case.anomalies), default=0)
    best = share if share is not None else max((cause.score for cause in same), default=0.5)
    return time_confidence(min(max(best, 0.0), 1.0), samples, incident.trace_count)


def _kind_of(case: Case, ranked: Mapping[str, object], operation: str) -> CauseKind:
    kinds: dict[object, CauseKind] = {"error": "error", "amount": "amount", "edge_time": "remote_call"}
    kinds["metric"] = "resource"
    if ranked.get("kind") in kinds:
        return kinds[ranked["kind"]]
    for span in (*case.trace.spans, *case.cited.values()):
        if redact_name(span.operation) == operation:
            return cause_kind(span)
    return "own_code"


def _merge(causes: list[Cause]) -> list[Cause]:
    """One cause for each place: later ones give their evidence to the first."""
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


def _span_of(case: Case, anomaly: Anomaly) -> TracedSpan:
    known = case.span(anomaly.trace_id, anomaly.span_id)
    if known is not None:
        return known
    return TracedSpan(
        anomaly.trace_id, anomaly.span_id, None, anomaly.service, anomaly.operation, anomaly.span_kind,
        anomaly.start_unix_nano, anomaly.duration_ns, anomaly.duration_ns,
    )  # fmt: skip


def _headline(case: Case) -> str:
    if case.incident:
        return f"{redact_text(case.incident.title)} ({_extent(case.incident)})"
    root = case.trace.root
    return f"{place(root)} took {duration(root.duration_ns)}" if root else ""


def _window(case: Case) -> tuple[str, str] | None:
    if case.incident:
        return _clock(case.incident.first_unix_nano), _clock(case.incident.last_unix_nano)
    if root := case.trace.root:
        return _clock(root.start_unix_nano), _clock(root.start_unix_nano + root.duration_ns)
    return None


def _clock(unix_nano: int) -> str:
    return datetime.fromtimestamp(unix_nano // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _attributes(case: Case, causes: list[Cause], facts: list[Fact]) -> dict[str, str | int | float | bool]:
    """The allowed attributes of the span that the best cause rests on, else of the symptom."""
    wanted = causes[0].evidence[0] if causes else (facts[0].evidence_id if facts else "")
    for fact in facts:
        if fact.evidence_id == wanted and fact.span_id in case.trace.by_id:
            return allowed_attributes(case.trace.by_id[fact.span_id].attributes)
    return {}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
