"""The overview's parts as markup. Pure: the API's answers in, HTML out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from dashboard import format as fmt
from dashboard.charts.sparkline import sparkline
from dashboard.markup import Safe, join, link, outlined, page, severity_chip, table, tag
from dashboard.theme import BAD, GOOD, SEVERITIES, service_colours, severity
from dashboard.triage import anomaly_title, by_urgency, likely_cause, plural
from dashboard.views.frame import href

INCIDENTS_SHOWN = 4
ENDED_SHOWN = 4
_STATUS = {
    "ok": ("✓", GOOD, "All services are within their baselines"),
    "degraded": ("▲", "#FF9F43", "Something is not as usual"),
    # Not "ok": a dead exporter looks like this too.
    "silent": (
        "▲",
        "#FF9F43",
        "No span has arrived in the last minute: check the senders and their exporters",
    ),
    "learning": (
        "◷",
        "#58A6FF",
        "Learning what is usual; operations are judged once they have enough samples",
    ),
}


def to(label: object, page_path: str, **query: object) -> Safe:
    path, full = href(page_path, **query)
    return link(label, path, **full)


def is_open(incident: Mapping[str, Any]) -> bool:
    return incident.get("state") in ("open", "acknowledged")


def headline(health: Mapping[str, Any], incidents: Sequence[Mapping[str, Any]], updated: str) -> str:
    """One line: how it stands, in numbers."""
    services = health["services"]
    state = str(health["status"]) if services else "silent"
    icon, colour, meaning = _STATUS.get(state, ("?", "#9DA7B3", ""))
    spans_per_s = sum(service.get("rate_per_s") or 0.0 for service in services)
    open_count = sum(1 for incident in incidents if is_open(incident))
    counted = f"{plural(open_count, 'open incident')} · {plural(len(services), 'service')}"
    figures = f"{counted} · {fmt.count(spans_per_s)} spans/s"
    return page(
        tag(
            "div",
            tag(
                "span",
                f"{icon} {state.capitalize()}",
                style=f"color:{colour};font-weight:600",
            ),
            f"  {meaning}. " if meaning else " ",
            tag("span", figures),
            tag("span", f"  {updated}", css="muted", style="float:right"),
        )
    )


def incident_cards(incidents: Sequence[dict[str, Any]], now: datetime) -> str:
    """The open incidents, the most urgent first."""
    shown = by_urgency([incident for incident in incidents if is_open(incident)])
    if not shown:
        return _no_incident(incidents, now)
    cards = [_incident_card(incident, now) for incident in shown[:INCIDENTS_SHOWN]]
    more = len(shown) - INCIDENTS_SHOWN
    if more > 0:
        cards.append(tag("div", to(f"{plural(more, 'more open incident')} in the queue →", "anomalies")))
    return page(tag("div", *cards, style="display:grid;gap:8px"))


def _no_incident(incidents: Sequence[dict[str, Any]], now: datetime) -> str:
    """All is well; and what ended last, for whoever comes late."""
    newest = sorted(incidents, key=lambda row: row.get("last_seen_at") or "", reverse=True)[:ENDED_SHOWN]
    ended = [
        tag(
            "div",
            severity_chip(row.get("severity")),
            " ",
            to(row.get("title") or "incident", "anomalies", incident=row["incident_id"]),
            tag("span", f"  last seen {fmt.age(row.get('last_seen_at'), now)}", css="muted"),
            style="margin-top:4px",
        )
        for row in newest
    ]
    hint = "Slow or unusually large operations appear here, with their likely cause."
    return page(
        tag("div", "✓ No open incident", css="title"),
        tag("div", "Ended last:" if ended else hint, css="muted"),
        *ended,
        css="panel",
    )


def _incident_card(incident: Mapping[str, Any], now: datetime) -> Safe:
    opened = fmt.parse_time(incident.get("opened_at"))
    since = f"since {fmt.clock(incident.get('opened_at'))} ({fmt.span_of(opened, now)})" if opened else ""
    cause = likely_cause(incident)
    counted = f"{plural(incident.get('anomaly_count') or 0, 'anomaly', 'anomalies')} in " + plural(
        incident.get("trace_count") or 0, "trace"
    )
    return tag(
        "div",
        tag(
            "div",
            severity_chip(incident.get("severity")),
            " ",
            tag("span", incident.get("title") or "incident", css="title"),
            " ",
            outlined(incident.get("state")) if incident.get("state") != "open" else "",
            tag(
                "span",
                to("Investigate →", "anomalies", incident=incident["incident_id"]),
                style="float:right",
            ),
        ),
        tag("div", "Likely cause: ", tag("strong", cause or "none stands out"), style="margin-top:3px"),
        tag(
            "div",
            f"{since} · last seen {fmt.age(incident.get('last_seen_at'), now)} · {counted}",
            css="muted",
        ),
        css="panel",
        style=f"border-left:4px solid {severity(incident.get('severity')).colour}",
    )


def whale_banner(whale: Mapping[str, Any], now: datetime) -> str:
    usual = fmt.quantity(whale.get("expected"), whale.get("unit"))
    return page(
        tag("span", "WHALE ", style="font-weight:700;color:#FFF3A0;letter-spacing:.06em"),
        tag("strong", anomaly_title(whale).removeprefix("Whale: ")),
        f", {fmt.times(whale.get('observed'), whale.get('expected'))} the usual {usual} "
        f"({fmt.sigma(whale.get('sigma'))}), {fmt.age(whale.get('detected_at'), now)}  ",
        to("Investigate →", "anomalies", anomaly=whale["anomaly_id"]),
        css="panel",
    )


def severity_tiles(counts: Mapping[int, int]) -> str:
    """Unresolved anomalies by severity; each tile opens the queue with that severity."""
    tiles = [
        tag(
            "div",
            severity_chip(level),
            tag("div", to(fmt.count(counts.get(level, 0)), "anomalies", severity=level), css="title"),
            style="text-align:center",
        )
        for level in SEVERITIES
    ]
    return page(
        tag("div", "Unresolved anomalies", css="muted"),
        tag("div", *tiles, style="display:grid;grid-template-columns:repeat(5,1fr);gap:6px;margin-top:5px"),
        css="panel",
    )


def whale_list(whales: Sequence[Mapping[str, Any]], now: datetime) -> str:
    if not whales:
        return page(
            tag("div", "Whales", css="muted"),
            tag("div", "No unusually large order or transfer yet."),
            css="panel",
        )
    rows = [
        (
            severity_chip(whale.get("severity")),
            to(anomaly_title(whale).removeprefix("Whale: "), "anomalies", anomaly=whale["anomaly_id"]),
            fmt.sigma(whale.get("sigma")),
            fmt.age(whale.get("detected_at"), now),
        )
        for whale in whales
    ]
    return page(
        tag("div", "Whales", css="muted"),
        table([("Severity", "l"), ("Amount", "l"), ("σ", ""), ("Seen", "")], rows),
        css="panel",
    )


def service_table(services: Sequence[Mapping[str, Any]], series: pl.DataFrame, window_s: int) -> str:
    """RED of each service, worst first; names and anomaly counts lead to the queue."""
    colours = service_colours([service["service_name"] for service in services])
    rates = _rates(series)
    ordered = sorted(
        services, key=lambda service: (-(service.get("open_anomalies") or 0), service["service_name"])
    )
    rows = []
    for service in ordered:
        name = service["service_name"]
        dot = tag("span", "■ ", style=f"color:{colours[name]}")
        rows.append(
            (
                join([dot, to(name, "anomalies", service=name)]),
                _status_text(service.get("status")),
                fmt.rate(service.get("rate_per_s")),
                sparkline(rates.get(name, []), colours[name], "requests a second over time"),
                _errors(service.get("error_rate")),
                fmt.duration(service.get("p50_ns")),
                fmt.duration(service.get("p95_ns")),
                fmt.duration(service.get("p99_ns")),
                _open_anomalies(service),
            )
        )
    head = [
        ("Service", "l"),
        ("Status", "l"),
        ("Spans", ""),
        ("Requests over time", ""),
        ("Errors", ""),
        ("p50", ""),
        ("p95", ""),
        ("p99", ""),
        ("Open anomalies", ""),
    ]
    return page(tag("div", f"Services, last {window_s} s", css="muted"), table(head, rows))


def _status_text(status: object) -> Safe:
    icon, colour, _ = _STATUS.get(str(status), ("?", "#9DA7B3", ""))
    return tag("span", f"{icon} {status}", style=f"color:{colour}")


def _errors(error_rate: float | None) -> Safe:
    return tag("span", fmt.percent(error_rate), style=f"color:{BAD};font-weight:600" if error_rate else "")


def _open_anomalies(service: Mapping[str, Any]) -> Safe:
    number = service.get("open_anomalies") or 0
    return to(fmt.count(number), "anomalies", service=service["service_name"]) if number else tag("span", "0")


def _rates(series: pl.DataFrame) -> dict[str, list[float]]:
    if series.is_empty():
        return {}
    grouped = series.group_by("service_name", maintain_order=True).agg(pl.col("rate_per_s"))
    return dict(zip(grouped["service_name"].to_list(), grouped["rate_per_s"].to_list(), strict=True))


def chart_title(title: str) -> str:
    return page(tag("div", title, css="muted"))


def chart_legend(services: Sequence[str]) -> str:
    entries = [
        tag("span", tag("span", "■ ", style=f"color:{colour}"), name, style="margin-right:16px")
        for name, colour in service_colours(list(services)).items()
    ]
    return page(tag("div", *entries))
