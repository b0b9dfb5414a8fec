"""The parts of the page Now as markup. Pure: the API's answers in, HTML out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from dashboard import format as fmt
from dashboard import hit
from dashboard.charts.sparkline import sparkline
from dashboard.condition import OVER, Judged, Phase, judge, phase
from dashboard.markup import Safe, join, link, page, severity_chip, table, tag
from dashboard.theme import BAD, MUTED, SEVERITIES, service_colours, severity
from dashboard.triage import anomaly_title, plural
from dashboard.views.frame import href

ENDED_SHOWN = 4
WHALES_SHOWN = 4
_PHASE_COLOURS = {"ONGOING": "#FF7B72", "RECOVERING": "#FF9F43", OVER: "#9DA7B3"}


def to(label: object, page_path: str, **query: object) -> Safe:
    path, full = href(page_path, **query)
    return link(label, path, **full)


def phase_chip(stage: Phase) -> Safe:
    return tag(
        "span",
        stage.name,
        css="chip",
        style=f"background:{_PHASE_COLOURS[stage.name]}",
    )


def incident_card(
    row: Mapping[str, Any], stage: Phase, now: datetime, lines: Sequence[tuple[str, object]]
) -> str:
    """Severity, state and since when; then the lines (name, text) in the order in which they are asked."""
    began = fmt.parse_time(row.get("first_span_time"))
    since = f"since {fmt.clock_of(began)} ({fmt.span_of(began, now)})" if began else ""
    head = tag(
        "div",
        severity_chip(row.get("severity")),
        " ",
        phase_chip(stage),
        " ",
        tag("span", to(row.get("title") or "incident", "incident", id=row["incident_id"]), css="title"),
        tag("div", f"{since} · {stage.text} · {decided(row, now)}", css="muted"),
    )
    rows = [
        tag("div", tag("span", name, css="k"), tag("span", text, css="t"), css="line")
        for name, text in lines
        if text
    ]
    colour = severity(row.get("severity")).colour
    return page(head, *rows, css="panel", style=f"border-left:4px solid {colour}")


def decided(row: Mapping[str, Any], now: datetime) -> str:
    """Whether somebody has it: `acknowledged by anna at 18:02:11 UTC (3 min ago)`."""
    state = str(row.get("state") or "open")
    last = row.get("decided") or {}
    word = "not acknowledged" if state == "open" else state
    if last.get("state") == state:
        if state == "open":
            word = "opened again"
        return f"{word} {_by(last)} ({fmt.age(last.get('said_at'), now)})"
    # Detection closes an incident by itself: who had it before is worth knowing.
    return f"{word}, {last['state']} {_by(last)} before" if last.get("state") else word


def _by(decision: Mapping[str, Any]) -> str:
    name = fmt.plain(decision.get("said_by") or "somebody", 40)
    return f"by {name} at {fmt.clock(decision.get('said_at'))}"


def history(row: Mapping[str, Any]) -> str:
    """What was decided before the last word, newest first; empty where there was one word or none."""
    earlier = (row.get("decisions") or [])[1:5]
    return " · ".join(f"{decision['state']} {_by(decision)}" for decision in earlier)


def incident_line(row: Mapping[str, Any], stage: Phase) -> Safe:
    """A further incident in one line."""
    return tag(
        "div",
        severity_chip(row.get("severity")),
        " ",
        phase_chip(stage),
        " ",
        to(row.get("title") or "incident", "incident", id=row["incident_id"]),
        tag("span", f"  {stage.text}", css="muted"),
        style="margin-top:4px",
    )


def no_incident(ended: Sequence[Mapping[str, Any]], singles: int, now: datetime) -> str:
    """Nothing goes on; what ended last, and how many anomalies stand alone."""
    lines = [incident_line(row, phase(row, now)) for row in ended[:ENDED_SHOWN]]
    alone = (
        to(f"{plural(singles, 'operation')} with single anomalies to look at", "incident", state="active")
        if singles
        else ""
    )
    hint = "Slow or failing operations appear here, with their likely start." if not lines else "Ended last:"
    return page(
        tag("div", "✓ No open incident", css="title"),
        tag("div", alone) if alone else "",
        tag("div", hint, css="muted"),
        *lines,
        css="panel",
    )


def whale_strip(whales: Sequence[Mapping[str, Any]], accounts: Mapping[str, str], now: datetime) -> str:
    """Unusually large amounts in a line of their own, with the account by trace: news, not an outage."""
    if not whales:
        return ""
    items = []
    for whale in whales[:WHALES_SHOWN]:
        account = accounts.get(str(whale.get("trace_id")))
        items.append(
            tag(
                "span",
                to(anomaly_title(whale).removeprefix("Whale: "), "incident", anomaly=whale["anomaly_id"]),
                tag(
                    "span",
                    f" {fmt.times(whale.get('observed'), whale.get('expected'))} usual"
                    f"{', account ' + fmt.plain(account, 24) if account else ''}"
                    f", {fmt.age(whale.get('detected_at'), now)}",
                    css="muted",
                ),
                style="display:inline-block;margin-right:22px",
            )
        )
    return page(
        tag("strong", "Whales  ", style="color:#FFF3A0"),
        *items,
        css="panel",
        style="padding:6px 14px;line-height:24px",
    )


def service_table(rows: Sequence[Mapping[str, Any]], series: pl.DataFrame, troubled: set[str]) -> str:
    """RED of each service with what is usual; abnormal ones first, silent ones stay. Red means abnormal."""
    colours = service_colours([row["service_name"] for row in rows])
    rates = _rates(series)
    ordered = sorted(map(judge, rows), key=lambda judged: (not judged.abnormal, judged.row["service_name"]))
    lines = [_service_line(judged, colours, rates, troubled) for judged in ordered]
    head = [
        ("Service", "l"),
        ("State", "l"),
        ("Requests", ""),
        ("Over time", ""),
        ("Errors", ""),
        ("p50", ""),
        ("p95", ""),
        ("usual p95", ""),
        ("p99", ""),
    ]
    return page(
        tag(
            "div",
            "Services, last minute against the hour before (before the incident, while one is open)",
            css="muted",
        ),
        table(head, lines),
    )


def _service_line(
    judged: Judged, colours: Mapping[str, str], rates: Mapping[str, list[float]], troubled: set[str]
) -> tuple[object, ...]:
    row = judged.row
    name = row["service_name"]
    dot = tag("span", "■ ", style=f"color:{colours[name]}")
    usual_errors = fmt.percent(row["usual_error_share"]) if row["usual_minutes"] else fmt.DASH
    return (
        join([dot, to(name, "services", service=name)]),
        _state_of(judged, name in troubled),
        _red(fmt.rate((row["request_count"] or 0) / 60), judged.silent),
        sparkline(rates.get(name, []), colours[name], "requests a second over time"),
        join(
            [
                _red(fmt.percent(judged.error_share), judged.fails),
                tag("span", f" / {usual_errors}", css="muted"),
            ]
        ),
        fmt.duration(row["p50_ns"]),
        _red(fmt.duration(row["p95_ns"]), judged.slow),
        tag("span", fmt.duration(row["usual_p95_ns"]), css="muted"),
        fmt.duration(row["p99_ns"]),
    )


def _state_of(judged: Judged, troubled: bool) -> Safe:
    words = [
        word
        for word, met in (("failing", judged.fails), ("slow", judged.slow), ("silent", judged.silent))
        if met
    ]
    if words:
        return tag("span", f"▲ {', '.join(words)}", style=f"color:{BAD}")
    if troubled:
        return tag("span", "◆ in an incident", style="color:#FF9F43")
    known = int(judged.row["usual_minutes"] or 0) >= 5
    return tag("span", "✓ as usual" if known else "◷ learning", style=f"color:{MUTED}")


def _red(text: str, abnormal: bool) -> Safe:
    return tag("span", text, style=f"color:{BAD};font-weight:600" if abnormal else "")


def severity_tiles(counts: Mapping[int, int]) -> str:
    """Unresolved anomalies by severity; each opens the queue with that severity."""
    tiles = [
        tag(
            "span",
            severity_chip(level),
            " ",
            to(fmt.count(counts.get(level, 0)), "incident", severity=f"SEV{level}"),
            css="counted",
        )
        for level in SEVERITIES
    ]
    return page(tag("span", "Unresolved anomalies  ", css="muted"), *tiles)


def lag_line(detection: Mapping[str, Any], checks: Mapping[str, Any]) -> str:
    """How far landing and detection are behind; said only where it matters to the reader."""
    lag_s = float((checks.get("landing") or {}).get("lag_s") or 0.0)
    behind = int(detection.get("lag_batches") or 0)
    late = lag_s > 5 or behind > 50
    detecting = f"detection {plural(behind, 'batch', 'batches')} behind"
    text = f"Landing {lag_s:.1f} s behind what was received, {detecting}"
    mark = "▲ " if late else ""
    return page(
        tag("span", mark + text, css="" if late else "muted", style="color:#FF9F43" if late else ""),
        " ",
        to("health →", "health"),
    )


def _rates(series: pl.DataFrame) -> dict[str, list[float]]:
    if series.is_empty():
        return {}
    grouped = series.group_by("service_name", maintain_order=True).agg(pl.col("rate_per_s"))
    return dict(zip(grouped["service_name"].to_list(), grouped["rate_per_s"].to_list(), strict=True))


def chart_title(title: str) -> str:
    return page(tag("div", title, css="muted"))


def chart_legend(services: Sequence[str]) -> str:
    entries = [
        tag(
            "span",
            tag("span", "■ ", style=f"color:{colour}"),
            to(name, "services", service=name),
            style="margin-right:16px",
        )
        for name, colour in service_colours(list(services)).items()
    ]
    return page(tag("div", *entries))


def counts(row: Mapping[str, Any]) -> str:
    """`5 anomalies in 2 traces`."""
    anomalies = plural(row.get("anomaly_count"), "anomaly", "anomalies")
    return f"{anomalies} in {plural(row.get('trace_count'), 'trace')}"


def card_lines(
    row: Mapping[str, Any],
    *,
    harm: str,
    path: Sequence[str],
    trend: str,
    others: Sequence[Mapping[str, Any]],
) -> list[tuple[str, object]]:
    """What the person on call asks of an incident, in order."""
    counted = counts(row)
    return [
        ("Users", harm),
        ("Path", " → ".join(path)),
        ("Likely start", hit.likely_start(row)),
        ("Trend", f"{trend} ({counted} in all)"),
        ("Second fault?", hit.second_fault(row, others)),
    ]
