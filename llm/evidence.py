"""A case → numbered facts and ranked candidate causes. Pure: nothing is read, nothing is guessed."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from llm.case import Anomaly, Case, Incident
from llm.explanation import Cause, Evidence, Fact
from llm.facts import (
    FactBook,
    add_duration_fact,
    add_error_facts,
    add_path_fact,
    add_time_facts,
    asset,
    place,
)
from llm.incident_causes import add_incident_causes, span_of
from llm.redact import allowed_attributes, quoted_text, redact_name, redact_text
from llm.traced import TracedSpan
from llm.units import cell_text, counted, duration, quantity, significant

MAX_CAUSES = 5
MAX_WHALES = 3
_OWN_TEXT = re.compile(
    r"[\d,.]+ of [\d,.]+ calls (?:failed|answered \d{3}(?: [A-Z][A-Za-z ]{2,40})?) in \d+ s,"
    r" usually [<>]?[\d.]+%"
    r"|[\d,.]+ spans in \d+ s, usually [\d,.]+|a message waited [\d.]+ [a-zµ]+, usually [\d.]+ [a-zµ]+"
)
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
        _add_extent(book, span_of(case, case.anomalies[0]), case.incident)
    symptom = book.facts[0].evidence_id if book.facts else ""
    if not is_amount:
        is_failing = _is_failing(case)
        traced = [] if is_failing else add_time_facts(book, case.trace)
        traced += add_error_facts(book, case.trace, symptom_is_time=not is_failing)
        traced += add_time_facts(book, case.trace) if is_failing else []
        localised = add_incident_causes(book, case, traced) if case.incident else []
        causes += localised or traced
        if localised and is_failing:  # a ranking by time does not silence the failure itself
            causes += [cause for cause in traced if cause.kind == "error"]
    path = () if is_amount else add_path_fact(book, case.trace)
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
    )


def _is_failing(case: Case) -> bool:
    """Whether what is to be explained is a failure: an anomaly of errors, or a trace whose root failed."""
    if case.anomalies:
        return case.anomalies[0].detector == "error"
    return case.trace.root is not None and case.trace.root.status_code == "ERROR"


def _add_anomaly(book: FactBook, case: Case, anomaly: Anomaly) -> list[Cause]:
    span = span_of(case, anomaly)
    if anomaly.detector != "amount":
        said = own_or_quoted(str(anomaly.details.get("text") or ""))
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


def own_or_quoted(text: str) -> str:
    """A detector's text as it is where all of its words are ours; else quoted: it repeats the sender's."""
    if not text or _OWN_TEXT.fullmatch(text):
        return text
    return quoted_text(text)


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
        f"{key} = {quoted_text(known[key])}"
        for key in ("order.side", "order.type", "order.status")
        if key in known
    ]
    if said:
        found.append(book.add(span, "order", f"The order says {', '.join(said)}"))
    if span.duration_ns > 0:
        statement = f"{place(span)} took {duration(span.duration_ns)} in all"
        book.add(span, "duration", statement, observed=span.duration_ns, unit="ns")
    return found


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
    """The allowed attributes of a span of the best cause's own operation; without a cause, of the symptom's.

    Advice takes them: those of another operation would send somebody to the wrong table.
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
