"""The head and the figures of an incident or anomaly, as markup. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dashboard import format as fmt
from dashboard import hit
from dashboard.condition import Phase, degrades
from dashboard.markup import Safe, facts, join, outlined, page, severity_chip, tag
from dashboard.theme import STATE_ICONS
from dashboard.triage import anomaly_title, is_whale, plural
from dashboard.views.status import counts, decided, history, phase_chip, to
from detectors.model.amounts import CALL_KINDS


def incident_head(row: Mapping[str, Any], stage: Phase, now: datetime) -> str:
    """Severity, phase, title; then since when, how much, where and whether somebody has it."""
    state = str(row.get("state") or "open")
    began = fmt.parse_time(row.get("first_span_time"))
    last = fmt.parse_time(row.get("last_span_time"))
    lasted = fmt.span_of(began, last) if began and last else fmt.DASH
    services = ", ".join(fmt.plain(name, 60) for name in row.get("services") or [])
    counted = counts(row)
    parts: list[object] = [
        severity_chip(row.get("severity")),
        " ",
        phase_chip(stage),
        " ",
        tag("span", row.get("title") or "incident", css="title"),
        " ",
        outlined(f"{STATE_ICONS.get(state, '●')} {state}"),
    ]
    since = f"since {fmt.stamp(row.get('first_span_time'))}, over {lasted}; {stage.text}"
    return page(
        tag("div", *parts),
        tag("div", f"{since} · {counted} · {services}", css="muted"),
        tag("div", tag("strong", f"{decided(row, now)}"), tag("span", _before(row), css="muted")),
        tag("div", "Likely start: ", tag("strong", hit.likely_start(row))) if degrades(row) else "",
    )


def _before(row: Mapping[str, Any]) -> str:
    said = history(row)
    return f" · before: {said}" if said else ""


def anomaly_head(row: Mapping[str, Any], now: datetime) -> str:
    """Severity, what was seen, its state; where and when; and its figures in one line."""
    state = str(row.get("state") or "open")
    parts: list[object] = [
        severity_chip(row.get("severity")),
        " ",
        tag("span", anomaly_title(row), css="title"),
        " ",
        outlined(f"{STATE_ICONS.get(state, '●')} {state}"),
    ]
    return page(tag("div", *parts), tag("div", _context(row, now), css="muted"), anomaly_facts(row))


def _context(row: Mapping[str, Any], now: datetime) -> Safe:
    parts: list[object] = [
        f"{row.get('service_name')} · {row.get('operation')}",
        f" · detected {fmt.stamp(row.get('detected_at'))} ({fmt.age(row.get('detected_at'), now)})",
    ]
    incident = row.get("incident") or {}
    if incident.get("incident_id") or row.get("incident_id"):
        identifier = incident.get("incident_id") or row["incident_id"]
        parts += [" · part of ", to(incident.get("title") or "an incident", "incident", id=identifier)]
    return join(parts)


def anomaly_facts(row: Mapping[str, Any]) -> Safe:
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
        if details.get("kind") in CALL_KINDS:
            pairs.append(("Model", fmt.plain(details.get("asset") or fmt.DASH, 60), "Model that was called"))
        else:
            pairs.append(("Side", fmt.plain(details.get("side") or fmt.DASH, 20), "Side of the order"))
    return facts(pairs)


def trace_head(trace: Mapping[str, Any], exemplar: bool) -> str:
    what = "Example trace " if exemplar else "Trace "
    spans = plural(trace.get("span_count") or len(trace["spans"]), "span")
    services = plural(len(trace.get("services") or []), "service")
    return page(
        tag("strong", what),
        to(trace["trace_id"], "trace", id=trace["trace_id"]),
        tag("span", f"  {fmt.duration(trace.get('duration_ns'))}, {spans} in {services}", css="muted"),
    )
