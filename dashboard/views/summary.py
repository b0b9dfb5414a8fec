"""The head and the figures of an incident or anomaly, as markup. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dashboard import format as fmt
from dashboard.markup import Safe, facts, join, outlined, page, severity_chip, table, tag
from dashboard.theme import STATE_ICONS
from dashboard.triage import anomaly_title, is_whale, likely_cause, plural
from dashboard.views.status import to

ANOMALIES_SHOWN = 20


def headline(kind: str, row: Mapping[str, Any], now: datetime) -> str:
    state = str(row.get("state") or "open")
    parts: list[object] = [
        severity_chip(row.get("severity")),
        " ",
        tag("span", row.get("title") if kind == "incident" else anomaly_title(row), css="title"),
        " ",
        outlined(f"{STATE_ICONS.get(state, '●')} {state}"),
    ]
    return page(tag("div", *parts), tag("div", _context(kind, row, now), css="muted"))


def _context(kind: str, row: Mapping[str, Any], now: datetime) -> Safe:
    if kind == "incident":
        return join(
            [f"incident, opened {fmt.stamp(row.get('opened_at'))} ({fmt.age(row.get('opened_at'), now)})"]
        )
    parts: list[object] = [
        f"{row.get('service_name')} · {row.get('operation')}",
        f" · detected {fmt.stamp(row.get('detected_at'))} ({fmt.age(row.get('detected_at'), now)})",
    ]
    incident = row.get("incident") or {}
    if incident.get("incident_id") or row.get("incident_id"):
        identifier = incident.get("incident_id") or row["incident_id"]
        parts += [" · part of ", to(incident.get("title") or "an incident", "anomalies", incident=identifier)]
    return join(parts)


def anomaly_facts(row: Mapping[str, Any]) -> str:
    """Observed against expected, and how sure that comparison is."""
    unit = row.get("unit")
    observed, expected = row.get("observed"), row.get("expected")
    pairs = [
        ("Observed", fmt.quantity(observed, unit), "What this span or amount was"),
        ("Expected", fmt.quantity(expected, unit), "Median of its own history"),
        ("Times expected", fmt.times(observed, expected), "Observed divided by expected"),
        ("Deviation", fmt.sigma(row.get("sigma")), "Calibrated: 3σ means 0.135% of its own history"),
        ("Compared with", fmt.cell(row.get("cell")), "The part of its history that it was compared with"),
        ("Samples", fmt.count(row.get("sample_count")), "Observations behind the comparison"),
    ]
    if is_whale(row):
        details = row.get("details") or {}
        pairs.append(("Side", fmt.plain(details.get("side") or fmt.DASH, 20), "Side of the order"))
    return page(facts(pairs), css="panel")


def incident_facts(row: Mapping[str, Any], now: datetime) -> str:
    first, last = fmt.parse_time(row.get("first_span_time")), fmt.parse_time(row.get("last_span_time"))
    lasted = fmt.span_of(first, last) if first and last else fmt.DASH
    services = [fmt.plain(name, 60) for name in row.get("services") or []]
    pairs = [
        ("Likely cause", likely_cause(row) or "none stands out", "First of the ranked causes"),
        ("First affected", fmt.clock(row.get("first_span_time")), "Start of its first anomalous span"),
        ("Lasted", lasted, "From its first to its last anomalous span"),
        ("Last seen", fmt.age(row.get("last_seen_at"), now), "When the last anomaly joined it"),
        ("Anomalies", fmt.count(row.get("anomaly_count")), "Anomalous spans in it"),
        ("Traces", fmt.count(row.get("trace_count")), "Traces that it touched"),
        ("Services", ", ".join(services) or fmt.DASH, "Services with anomalous spans"),
    ]
    return page(facts(pairs), css="panel")


def trace_head(trace: Mapping[str, Any], exemplar: bool) -> str:
    what = "Example trace" if exemplar else "Trace"
    spans = plural(trace.get("span_count") or len(trace["spans"]), "span")
    services = plural(len(trace.get("services") or []), "service")
    keys = "↑ ↓ move, ← → collapse, Enter details, / find, e next error"
    return page(
        tag("strong", what),
        " ",
        tag("code", trace["trace_id"]),
        tag("span", f"  {fmt.duration(trace.get('duration_ns'))}, {spans} in {services}", css="muted"),
        tag("div", f"Keys: {keys}", css="muted"),
    )


def incident_anomalies(rows: Sequence[Mapping[str, Any]]) -> str:
    """The anomalies that an incident stands for, worst first as the server sends them."""
    if not rows:
        return ""
    lines = [
        (
            severity_chip(row.get("severity")),
            to(anomaly_title(row), "anomalies", anomaly=row["anomaly_id"]),
            row.get("service_name") or "",
            fmt.quantity(row.get("expected"), row.get("unit")),
            fmt.sigma(row.get("sigma")),
            fmt.clock(row.get("span_start_time")),
            row.get("state") or "",
        )
        for row in rows[:ANOMALIES_SHOWN]
    ]
    head = [
        ("Severity", "l"),
        ("Anomaly", "l wrap"),
        ("Service", "l"),
        ("Usually", ""),
        ("σ", ""),
        ("Started", ""),
        ("State", "l"),
    ]
    more = len(rows) - ANOMALIES_SHOWN
    rest = tag("div", f"and {more} more", css="muted") if more > 0 else ""
    return page(tag("strong", "Anomalies of this incident"), table(head, lines), rest)
