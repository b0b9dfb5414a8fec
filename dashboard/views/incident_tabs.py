"""The tabs below the verdict: course, attributes, anomalies, logs, similar incidents, all evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import streamlit as st

from dashboard import data
from dashboard import format as fmt
from dashboard.data.services import operation_series
from dashboard.markup import outlined as outline
from dashboard.markup import page, prose, severity_chip, table, tag
from dashboard.triage import Subject, anomaly_title, group_row, plural
from dashboard.views import differences, frame, logs, operation_course
from dashboard.views.status import to

COURSE_AROUND = timedelta(minutes=10)
SIMILAR_SHOWN = 10
GROUPS_SHOWN = 100


def show(
    subject: Subject,
    row: Mapping[str, Any],
    explained: Mapping[str, Any] | None,
    trace: Mapping[str, Any] | None,
) -> None:
    """Only the open tab reads."""
    titles = ["Course", "Attributes", "Anomalies", "Logs", "Similar incidents", "All evidence"]
    if "incident_id" not in row or "anomaly_id" in row:
        titles = ["Course", "Logs", "All evidence"]
    tabs = st.tabs(titles, key=f"tabs-{subject}", on_change="rerun")
    bodies = {
        "Course": lambda: _course(subject, row),
        "Attributes": lambda: _attributes(row),
        "Anomalies": lambda: _anomalies(subject, row),
        "Logs": lambda: _logs(subject, row, trace),
        "Similar incidents": lambda: _similar(subject, row),
        "All evidence": lambda: _evidence(explained),
    }
    for title, tab in zip(titles, tabs, strict=True):
        if tab.open:
            with tab:
                bodies[title]()


def _place(row: Mapping[str, Any]) -> tuple[str, str] | None:
    """The operation whose course is shown: the likely start, else the anomaly's own."""
    for cause in row.get("root_causes") or []:
        if cause.get("service") and cause.get("operation"):
            return str(cause["service"]), str(cause["operation"])
    if row.get("service_name") and row.get("operation"):
        return str(row["service_name"]), str(row["operation"])
    return None


def _course(subject: Subject, row: Mapping[str, Any]) -> None:
    place = _place(row)
    first = fmt.parse_time(row.get("first_span_time") or row.get("span_start_time"))
    last = fmt.parse_time(row.get("last_span_time") or row.get("span_start_time"))
    if place is None or first is None or last is None:
        st.caption("No operation stands out whose course could be drawn.")
        return
    since, until = first - COURSE_AROUND, min(frame.now(), last + COURSE_AROUND)
    seconds = max(60, int((until - since).total_seconds()))
    bucket_s = next((size for size in (5, 10, 30, 60, 300, 1800) if seconds / size <= 200), 3600)

    def read() -> Any:
        since_ns, until_ns = (int(moment.timestamp()) * 1_000_000_000 for moment in (since, until))
        return operation_series(frame.api_url(), *place, since_ns, until_ns, bucket_s)

    def draw(series: Any) -> None:
        st.html(
            page(
                tag(
                    "div",
                    f"{fmt.plain(place[1], 120)} in {fmt.plain(place[0], 80)}; the incident is marked",
                    css="muted",
                )
            )
        )
        if series.is_empty():
            st.caption("No call of it is stored for that time.")
            return
        operation_course.show(place, series, bucket_s, (first, last))

    frame.region(f"course-{subject}", "The course", read, draw, 10.0, show_age=False)


def _attributes(row: Mapping[str, Any]) -> None:
    rows = row.get("differences") or []
    if rows:
        st.html(differences.differences(rows))
    else:
        st.caption(
            "No attribute sets its traces apart from usual ones: whatever is wrong is wrong for everybody."
        )


def _anomalies(subject: Subject, row: Mapping[str, Any]) -> None:
    def read() -> dict[str, Any]:
        return data.anomaly_groups(frame.api_url(), incident_id=str(row["incident_id"]), limit=GROUPS_SHOWN)

    frame.region(
        f"groups-{subject}",
        "The anomalies",
        read,
        lambda found: st.html(groups_table(found)),
        5.0,
        show_age=False,
    )


def groups_table(found: Mapping[str, Any]) -> str:
    """Anomalies by operation: count, worst, usual, σ, from when to when. Pure."""
    lines = [_group_line(group) for group in found["groups"]]
    head = [
        ("Severity", "l"), ("Operation", "l wrap"), ("Service", "l"), ("Found by", "l"), ("Anomalies", ""),
        ("Median", ""), ("Worst", "l wrap"), ("Usually", ""), ("σ", ""), ("From", ""), ("To", ""),
        ("State", "l"),
    ]  # fmt: skip
    more = found["total"] - len(lines)
    rest = tag("div", f"and {plural(more, 'more operation')}", css="muted") if more > 0 else ""
    total = (
        f"{plural(found['anomaly_total'], 'anomaly', 'anomalies')} of {plural(found['total'], 'operation')}"
    )
    return page(tag("div", total, css="muted"), table(head, lines), rest)


def _group_line(group: Mapping[str, Any]) -> tuple[object, ...]:
    worst = group["worst"]
    row = group_row(group)
    return (
        severity_chip(group["severity"]),
        fmt.plain(group["operation"], 120),
        to(fmt.plain(group["service_name"], 80), "services", service=group["service_name"]),
        group["detector"],
        fmt.count(group["anomaly_count"]),
        fmt.quantity(group["median_observed"], worst["unit"]),
        to(
            anomaly_title(row).removeprefix(f"{fmt.plain(group['operation'], 120)} "),
            "incident",
            anomaly=worst["anomaly_id"],
        ),
        fmt.quantity(worst["expected"], worst["unit"]),
        fmt.sigma(group["sigma"]),
        fmt.nano_clock(group["first_span_unix_nano"])[:8],
        fmt.nano_clock(group["last_span_unix_nano"])[:8],
        ", ".join(group["states"]),
    )


def _logs(subject: Subject, row: Mapping[str, Any], trace: Mapping[str, Any] | None) -> None:
    trace_id = row.get("exemplar_trace_id") or row.get("trace_id")
    if not trace_id:
        st.caption("Without a trace there are no log lines to show here.")
        return

    def read() -> Sequence[Mapping[str, Any]]:
        return data.trace_logs(frame.api_url(), str(trace_id))

    def draw(lines: Sequence[Mapping[str, Any]]) -> None:
        if lines:
            st.html(logs.lines_markup(lines, with_trace=False))
        else:
            st.caption("No log line carries this trace's id.")
        first = fmt.parse_time(row.get("last_span_time") or row.get("span_start_time"))
        services = row.get("services") or [row.get("service_name")]
        st.html(
            page(
                "Logs of that time: ",
                *(
                    tag(
                        "span",
                        to(name, "logs", service=name, **frame.around(first)),
                        style="margin-right:12px",
                    )
                    for name in services[:8]
                ),
            )
        )

    del trace
    frame.region(f"logs-{subject}", "The logs", read, draw, 10.0, show_age=False)


def _similar(subject: Subject, row: Mapping[str, Any]) -> None:
    def read() -> list[dict[str, Any]]:
        return data.incidents(frame.api_url())

    frame.region(
        f"similar-{subject}",
        "Similar incidents",
        read,
        lambda found: st.html(similar_table(row, found)),
        10.0,
        show_age=False,
    )


def likeness(row: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """0 to 1: the same likely operation counts half, then kind, service and the services that were hit."""
    mine, theirs = _first_cause(row), _first_cause(other)
    score = 0.5 if mine and mine == theirs else 0.25 if mine and theirs and mine[0] == theirs[0] else 0.0
    score += 0.2 if row.get("kind") == other.get("kind") else 0.0
    hit, also = set(row.get("services") or []), set(other.get("services") or [])
    return score + (0.3 * len(hit & also) / len(hit | also) if hit | also else 0.0)


def _first_cause(row: Mapping[str, Any]) -> tuple[str, str] | None:
    causes = row.get("root_causes") or []
    return (str(causes[0].get("service")), str(causes[0].get("operation"))) if causes else None


def similar_table(row: Mapping[str, Any], incidents: Sequence[Mapping[str, Any]]) -> str:
    """Other incidents, the most alike first. Pure."""
    others = [other for other in incidents if other["incident_id"] != row.get("incident_id")]
    ranked = sorted(((likeness(row, other), other) for other in others), key=lambda pair: -pair[0])
    lines = [
        (
            fmt.percent(round(score, 2)),
            severity_chip(other.get("severity")),
            to(other.get("title") or "incident", "incident", id=other["incident_id"]),
            fmt.stamp(other.get("opened_at")),
            fmt.count(other.get("anomaly_count")),
            other.get("state") or "",
        )
        for score, other in ranked[:SIMILAR_SHOWN]
        if score >= 0.3
    ]
    if not lines:
        return page(tag("div", "No other incident had the same operation, kind or services.", css="muted"))
    head = [
        ("Alike", ""),
        ("Severity", "l"),
        ("Incident", "l wrap"),
        ("Opened", ""),
        ("Anomalies", ""),
        ("State", "l"),
    ]
    return page(table(head, lines))


def _evidence(explained: Mapping[str, Any] | None) -> None:
    items = (explained or {}).get("evidence") or []
    if not items:
        st.caption("No evidence was gathered.")
        return
    st.html(
        page(*(tag("div", outline(item["evidence_id"]), " ", prose(item.get("statement"))) for item in items))
    )
