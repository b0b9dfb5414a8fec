"""Metrics: any metric as a chart, its exemplars as the way to traces, and what was found unusual in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard import data
from dashboard import format as fmt
from dashboard.charts import metric
from dashboard.data.telemetry import metric_exemplars
from dashboard.markup import page, table, tag
from dashboard.views import clicks, frame
from dashboard.views.incident_tabs import groups_table
from dashboard.views.status import to

EXEMPLARS_SHOWN = 15
NAMES_REFRESH_S = 10.0
_KINDS = {
    "gauge": "mean of the gauge",
    "sum": "increase of the sum",
    "histogram": "mean of what was recorded",
    "exponential_histogram": "mean of what was recorded",
    "summary": "mean of what was recorded",
}


def render() -> None:
    name = st.query_params.get("metric")
    if name:
        _one(name)
    else:
        frame.region("metrics", "The metrics", _names, _draw_names, NAMES_REFRESH_S)


def _names() -> dict[str, Any]:
    span = frame.window()
    # In whole minutes, so that the list is not read anew each second.
    minute_ns = 60 * 10**9
    until = (span.until_ns // minute_ns + 1) * minute_ns
    return {
        "rows": data.metric_names(frame.api_url(), until - span.length_s * 10**9, until),
        "text": span.text,
    }


def _draw_names(found: dict[str, Any]) -> None:
    find = st.text_input("Find", key="find_metric", placeholder="part of a name", width=300) or ""
    rows = [row for row in found["rows"] if find.lower() in row["metric_name"].lower()]
    if not rows:
        what = "matches" if found["rows"] else f"has landed in the {found['text']}"
        st.html(
            page(
                tag("div", f"No metric {what}.", css="title"),
                tag("div", "Send OTLP metrics, or choose a longer time range.", css="muted"),
                css="panel",
            )
        )
        return
    st.html(names_table(rows))


def names_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Metrics with kind, unit and senders; each opens its chart. Pure."""
    lines = [
        (
            to(fmt.plain(row["metric_name"], 120), "metrics", metric=row["metric_name"]),
            row["metric_kind"].replace("_", " "),
            fmt.plain(row["metric_unit"], 20),
            fmt.plain(", ".join(row["services"]), 120),
            fmt.count(row["point_count"]),
            fmt.plain(row["metric_description"], 160),
        )
        for row in rows
    ]
    head = [
        ("Metric", "l wrap"),
        ("Kind", "l"),
        ("Unit", "l"),
        ("Services", "l wrap"),
        ("Points", ""),
        ("Meaning", "l wrap"),
    ]
    return page(table(head, lines))


def _one(name: str) -> None:
    st.html(page(to("← all metrics", "metrics"), "   ", tag("span", fmt.plain(name, 200), css="title")))
    service = st.query_params.get("service")

    def read() -> dict[str, Any]:
        span = frame.window()
        url = frame.api_url()
        known = {row["metric_name"]: row for row in _names()["rows"]}
        bounds = (span.since_ns, span.until_ns)
        return {
            "points": data.metric_points(url, name, service, *bounds, max(10, span.bucket_s())),
            "exemplars": metric_exemplars(url, name, service, *bounds),
            "about": known.get(name),
            "found": data.anomaly_groups(url, detector="metric", text=name, limit=50),
            "text": span.text,
        }

    frame.region(f"metric-{name}-{service}", "The metric", read, lambda found: _draw_one(name, found), 5.0)


def _draw_one(name: str, found: dict[str, Any]) -> None:
    about = found["about"] or {}
    kind = _KINDS.get(about.get("metric_kind", ""), "")
    services = about.get("services") or []
    told = [
        fmt.plain(about.get("metric_description", ""), 300),
        kind,
        fmt.plain(about.get("metric_unit", ""), 20),
    ]
    st.html(page(tag("div", " · ".join(word for word in told if word), css="muted")))
    if len(services) > 1:
        st.html(
            page(
                *(
                    tag("span", to(each, "metrics", metric=name, service=each), style="margin-right:12px")
                    for each in services[:20]
                )
            )
        )
    points = metric.named(found["points"]) if not found["points"].is_empty() else found["points"]
    if points.is_empty():
        st.html(page(tag("div", f"No figure of it in the {found['text']}.", css="muted"), css="panel"))
    else:
        clicks.leads_to(
            metric.chart(points, about.get("metric_unit", "")),
            f"metric-{name}",
            f"{fmt.label(name)} over time",
            lambda point: _traces_of(frame.api_url(), str(point.get("service_name"))),
        )
        series = found["points"].select("service_name", "series").n_unique()
        if series > metric.LINES_MAX:
            st.caption(f"The {metric.LINES_MAX} largest of {series} series are drawn.")
    if found["exemplars"]:
        st.html(exemplars_table(found["exemplars"]))
    if found["found"]["groups"]:
        st.html(groups_table(found["found"]))


def _traces_of(url: str, service: str) -> tuple[str, dict[str, str]]:
    """The traces of a service; of all where it sends none, as a host's agent."""
    sends_spans = any(row["service_name"] == service for row in data.health(url)["services"])
    return clicks.traces_of(service) if sends_spans else ("traces", {})


def exemplars_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The largest exemplars, each with its trace. Pure."""
    lines = [
        (
            fmt.nano_clock(int(row["time_ms"]) * 1_000_000),
            fmt.significant(float(row["figure"])),
            fmt.plain(row["service_name"], 60),
            to(f"{row['trace_id'][:8]} →", "trace", id=row["trace_id"], span=row["span_id"] or ""),
        )
        for row in rows[:EXEMPLARS_SHOWN]
    ]
    head = [("Time", "l"), ("Value", ""), ("Service", "l"), ("Trace", "l")]
    return page(tag("strong", "Largest exemplars"), table(head, lines))
