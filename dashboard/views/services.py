"""Services and map: who calls whom with rate, errors and duration; one service with its operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import polars as pl
import streamlit as st

from dashboard import data
from dashboard import format as fmt
from dashboard.charts import hours
from dashboard.charts import map as service_map
from dashboard.components import map as service_boxes
from dashboard.condition import degrades, judge
from dashboard.data.services import operation_series, operations, topology, usual_hours, versions
from dashboard.deploys import deploys
from dashboard.markup import Safe, join, page, table, tag
from dashboard.searching import quoted
from dashboard.theme import BAD
from dashboard.triage import plural
from dashboard.views import frame, operation_course, status
from dashboard.views.bar import trouble_since_ns
from dashboard.views.status import to

MAP_REFRESH_S = 10.0
DEPLOYS_SHOWN = 12
SLOW_FACTOR = 1.5  # of the usual p99


def render() -> None:
    service = st.query_params.get("service")
    if service:
        _service(service, st.query_params.get("operation"), st.query_params.get("kind") or "")
    else:
        frame.region("map", "The map", _read_map, _draw_map, MAP_REFRESH_S)


def _read_map() -> dict[str, Any]:
    url = frame.api_url()
    incidents = data.incidents(url)
    rows = data.service_red(url, frame.now_ns(), trouble_since_ns(incidents))
    open_ones = [row for row in incidents if row.get("state") != "resolved" and degrades(row)]
    return {
        "topology": topology(url, frame.window().length_s),
        "rows": rows,
        "troubled": {name for row in open_ones for name in row.get("services") or []},
        "text": frame.window().text,
        "versions": versions(url, None, frame.window().since_ns, frame.window().until_ns),
    }


def _draw_map(found: dict[str, Any]) -> None:
    told = found["topology"]
    if not told["services"] and not found["rows"]:
        st.html(page(tag("div", f"No span in the {found['text']}.", css="title"), css="panel"))
        return
    red = {row["service_name"]: row for row in found["rows"]}
    abnormal = {name for name, row in red.items() if judge(row).abnormal}
    if told["edges"]:
        shown = service_map.picture(
            told,
            red,
            abnormal,
            found["troubled"],
            lambda name: frame.link_of(*frame.href("services", service=name)),
        )
        service_boxes.draw(shown, key="map")
        legend = (
            f"In a box: the last minute. On an edge, and in the calls below: the {found['text']}. "
            "Red: abnormal in the last minute; orange: in an open incident."
        )
        st.html(page(tag("div", legend, css="muted")))
    st.html(status.service_table(found["rows"], pl.DataFrame(), found["troubled"]))
    st.html(deploys_line(found["versions"], found["text"]))
    if told["edges"]:
        st.html(edge_table(told))


def deploys_line(rows: Sequence[Mapping[str, Any]], text: str) -> str:
    """What was deployed in the time range, newest first, each with the way to the traces around it. Pure."""
    found = deploys(rows)
    if not found:
        why = "" if rows else "; no span says a service.version or deployment.id"
        return page(tag("div", f"No deploy in the {text}{why}.", css="muted"))
    items = [
        tag(
            "div",
            to(fmt.plain(deploy.service, 80), "services", service=deploy.service),
            f" {fmt.plain(deploy.before, 40)} → ",
            tag("strong", fmt.plain(deploy.version, 40)),
            f" at {fmt.clock_of(fmt.from_nano(deploy.at_ms * 1_000_000))}  ",
            to(
                "traces around it →",
                "traces",
                q=f"{{ resource.service.name = {quoted(deploy.service)} }}",
                range="5m",
                **frame.around(fmt.from_nano(deploy.at_ms * 1_000_000), timedelta(minutes=2)),
            ),
            style="line-height:26px",
        )
        for deploy in found[:DEPLOYS_SHOWN]
    ]
    return page(tag("div", f"Deploys in the {text}", css="muted"), *items)


def versions_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Versions of one service with their calls; empty without any. Pure."""
    if not rows:
        return ""
    lines = [
        (
            fmt.plain(row["version"], 60),
            fmt.clock_of(fmt.from_nano(row["first_ms"] * 1_000_000)),
            fmt.clock_of(fmt.from_nano(row["last_ms"] * 1_000_000)),
            fmt.count(row["call_count"]),
            fmt.percent(row["error_count"] / row["call_count"]),
        )
        for row in rows
    ]
    head = [("Version", "l"), ("First seen", "l"), ("Last seen", "l"), ("Calls", ""), ("Errors", "")]
    return page(table(head, lines))


def edge_table(told: Mapping[str, Any]) -> str:
    """Who calls whom, the most calls first. Pure."""
    lines = [
        (
            join(
                [
                    to(edge["caller"], "services", service=edge["caller"]),
                    " → ",
                    to(edge["callee"], "services", service=edge["callee"]),
                ]
            ),
            fmt.rate(service_map.calls_per_s(edge)),
            fmt.percent(edge["errors"] / edge["count"] if edge["count"] else None),
            fmt.duration(edge["p50_ns"]),
            fmt.duration(edge["p95_ns"]),
            to("traces →", "traces", q=_edge_search(edge)),
        )
        for edge in sorted(told["edges"], key=lambda edge: -edge["count"])[:200]
    ]
    head = [("Calls", "l"), ("Rate", ""), ("Errors", ""), ("p50", ""), ("p95", ""), ("Traces", "l")]
    return page(table(head, lines))


def _edge_search(edge: Mapping[str, Any]) -> str:
    caller, callee = quoted(edge["caller"]), quoted(edge["callee"])
    return f"{{ resource.service.name = {caller} }} > {{ resource.service.name = {callee} }}"


def _service(service: str, operation: str | None, kind: str) -> None:
    st.html(
        page(
            to("← all services", "services"),
            "   ",
            tag("span", fmt.plain(service, 120), css="title"),
            "   ",
            to("traces →", "traces", q=f"{{ resource.service.name = {quoted(service)} }}"),
            "   ",
            to("logs →", "logs", service=service),
            "   ",
            to("anomalies →", "incident", of=service),
        )
    )

    def read() -> dict[str, Any]:
        span = frame.window()
        bounds = (span.since_ns, span.until_ns)
        return {
            "operations": operations(frame.api_url(), service, *bounds),
            "versions": versions(frame.api_url(), service, *bounds),
        }

    def draw(found: dict[str, Any]) -> None:
        st.html(operations_table(service, found["operations"]))
        if told := versions_table(found["versions"]):
            st.html(told)

    frame.region(f"operations-{service}", "The operations", read, draw, 5.0)
    if operation:
        _operation(service, operation, kind)


def operations_table(service: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Operations by the time they take in all, against their baselines. Pure."""
    if not rows:
        return page(
            tag("div", "No span of this service in this time range: choose a longer one.", css="muted"),
            css="panel",
        )
    whole = sum(row["total_ns"] for row in rows) or 1.0
    lines = [_operation_line(service, row, whole) for row in rows]
    head = [
        ("Operation", "l wrap"), ("Kind", "l"), ("Calls", ""), ("Errors", ""), ("p50", ""), ("usual p50", ""),
        ("p95", ""), ("p99", ""), ("usual p99", ""), ("3σ from", ""), ("Samples", ""), ("Kept out", ""),
        ("Time", ""), ("Slowest", "l"),
    ]  # fmt: skip
    note = (
        "Usual values and thresholds: the baseline over all hours. “Kept out” are samples that were flagged."
    )
    return page(table(head, lines), tag("div", note, css="muted"))


def _operation_line(service: str, row: Mapping[str, Any], whole: float) -> tuple[object, ...]:
    slow = row["usual_p99_ns"] and row["p99_ns"] > SLOW_FACTOR * row["usual_p99_ns"]
    samples = fmt.count(row["sample_count"]) if row["sample_count"] else "learning"
    return (
        to(
            fmt.plain(row["operation"], 120),
            "services",
            service=service,
            operation=row["operation"],
            kind=row["span_kind"],
        ),
        row["span_kind"].lower(),
        fmt.count(row["call_count"]),
        fmt.percent(row["error_count"] / row["call_count"]),
        fmt.duration(row["p50_ns"]),
        _muted(fmt.duration(row["usual_p50_ns"])),
        fmt.duration(row["p95_ns"]),
        tag("span", fmt.duration(row["p99_ns"]), style=f"color:{BAD};font-weight:600" if slow else ""),
        _muted(fmt.duration(row["usual_p99_ns"])),
        _muted(fmt.duration(row["sigma3_ns"])),
        _muted(samples),
        _muted(fmt.count(row["flagged_count"])),
        fmt.percent(round(row["total_ns"] / whole, 3)),
        to("trace →", "trace", id=row["slowest_trace_id"]),
    )


def _muted(text: str) -> Safe:
    return tag("span", text, css="muted")


def _operation(service: str, operation: str, kind: str) -> None:
    """One operation: its course in the time range, and what is usual at each hour of the week."""
    st.html(page(tag("strong", f"{fmt.plain(operation, 120)} "), tag("span", kind.lower(), css="muted")))

    def read() -> dict[str, Any]:
        span = frame.window()
        url = frame.api_url()
        return {
            "series": operation_series(
                url, service, operation, span.since_ns, span.until_ns, span.bucket_s()
            ),
            "bucket_s": span.bucket_s(),
            "hours": usual_hours(url, service, operation, kind),
        }

    def draw(found: dict[str, Any]) -> None:
        series = found["series"]
        if series.is_empty():
            st.caption("No call of it in this time range.")
        else:
            operation_course.show((service, operation), series, found["bucket_s"])
        if found["hours"].is_empty():
            st.caption(
                "No hour of the week has enough samples of its own yet; it is judged by all hours together."
            )
        else:
            known = found["hours"].height
            st.html(
                page(
                    tag(
                        "div",
                        f"Usual duration by hour of the week, {plural(known, 'hour')} known",
                        css="muted",
                    )
                )
            )
            st.altair_chart(hours.chart(found["hours"]), alt="Median duration by day and hour")

    frame.region(f"operation-{service}-{operation}-{kind}", "The operation", read, draw, 10.0, show_age=False)
