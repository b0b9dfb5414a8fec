"""One incident or anomaly: observation, causes, place in its trace, and the reader's verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from collector.errors import NotFound, SpyhopError
from dashboard import data, hit
from dashboard.components.waterfall import waterfall
from dashboard.condition import RESOLVE_S, phase
from dashboard.markup import page, tag
from dashboard.triage import Subject
from dashboard.views import (
    actions,
    expected,
    explanation,
    feedback,
    frame,
    incident_tabs,
    summary,
)
from dashboard.views.bar import resolve_s
from dashboard.views.span_extras import read_extras

DETAIL_INTERVAL_S = 5.0


def show(subject: Subject) -> None:
    """Head, verdict and exemplar trace above the fold; the rest in tabs below."""
    row = _load(subject)
    expected.show_outcome(subject.subject_id)
    if row is None:
        frame.region(
            f"head-{subject}", f"This {subject.kind}", lambda: _read(subject), lambda _: frame.rerun()
        )
        return
    frame.region(
        f"head-{subject}", f"This {subject.kind}", lambda: _read(subject), lambda found: _head(subject, found)
    )
    said = st.container()
    verdict, picture = said.columns([4, 8], gap="small")
    with picture:
        trace_place = st.container()
    tabs_place = st.container()
    with verdict:
        explained = _explain(subject)
    trace_id = (explained or {}).get("trace_id") or _trace_of(row)
    with trace_place:
        trace = _trace(subject, row, trace_id)
    if explained:
        with verdict:
            _feedback(subject, explained, trace)
    with tabs_place:
        incident_tabs.show(subject, row, explained, trace)


def _feedback(subject: Subject, explained: dict[str, Any], trace: dict[str, Any] | None) -> None:
    """A part of its own, so that a form that opens or closes does not draw the page again."""

    def body() -> None:
        frame.use_zone()
        feedback.show(subject, explained, trace)

    st.fragment(body)()


def _read(subject: Subject) -> dict[str, Any]:
    url = frame.api_url()
    if subject.kind == "incident":
        try:
            row = data.incident(url, subject.subject_id)
        except NotFound:
            # Ids of incidents and anomalies look alike, so this one may be an anomaly's.
            return {"row": data.anomaly(url, subject.subject_id), "kind": "anomaly", "closing_s": RESOLVE_S}
        return {"row": row, "kind": "incident", "closing_s": resolve_s(data.health(url))}
    return {"row": data.anomaly(url, subject.subject_id), "kind": "anomaly", "closing_s": RESOLVE_S}


def _load(subject: Subject) -> dict[str, Any] | None:
    """The row, or None where the region above says what is wrong and tries again."""
    try:
        found = _read(subject)
    except SpyhopError:
        return None
    row: dict[str, Any] = found["row"]
    return row


def _trace_of(row: Mapping[str, Any]) -> str | None:
    return row.get("exemplar_trace_id") or row.get("trace_id")


def _head(subject: Subject, found: Mapping[str, Any]) -> None:
    row, kind, now = found["row"], found["kind"], frame.now()
    subject = Subject(kind, row[f"{kind}_id"])
    if kind == "incident":
        stage = phase(row, now, found["closing_s"])
        st.html(summary.incident_head(row, stage, now))
    else:
        st.html(summary.anomaly_head(row, now))
    with st.container(horizontal=True, vertical_alignment="center"):
        actions.show(subject, row)
        group = st.session_state.get("queue_groups", {}).get(subject.subject_id)
        if kind == "anomaly" and group and group["anomaly_count"] > 1:
            actions.show_group(group)
        if kind == "incident":
            expected.show(row)


def _explain(subject: Subject) -> dict[str, Any] | None:
    """The explanation; it is drawn again as the incident grows."""
    url, timeout_s = frame.api_url(), frame.settings().dashboard_analyze_timeout_s

    def read() -> dict[str, Any]:
        return data.explanation(url, subject.kind, subject.subject_id, timeout_s)

    def draw(found: dict[str, Any]) -> None:
        explanation.show(subject, found)

    frame.region(f"explained-{subject}", "The explanation", read, draw, DETAIL_INTERVAL_S)
    kept = frame.kept(f"explained-{subject}")
    return kept if isinstance(kept, dict) else None


def _trace(subject: Subject, row: Mapping[str, Any], trace_id: str | None) -> dict[str, Any] | None:
    if not trace_id:
        return None

    def read() -> dict[str, Any]:
        return data.trace(frame.api_url(), trace_id)

    def draw(trace: dict[str, Any]) -> None:
        asked = st.query_params.get("span")
        guilty = hit.guilty_span(trace, row.get("root_causes") or [])
        cited = (
            [asked]
            if asked
            else [guilty["span_id"]]
            if guilty
            else [row["span_id"]]
            if row.get("span_id")
            else []
        )
        st.html(summary.trace_head(trace, subject.kind == "incident"))
        waterfall(
            trace, highlight=cited, key=f"waterfall-{subject}", rows=18, more=lambda: read_extras(trace)
        )

    # Spans of a trace may still arrive; a trace that stands does not have to be drawn every two seconds.
    frame.region(f"trace-{subject}-{trace_id}", "The trace", read, draw, 15.0, show_age=False)
    kept = frame.kept(f"trace-{subject}-{trace_id}")
    return kept if isinstance(kept, dict) else None


def nothing_chosen(narrowed: bool) -> str:
    return page(
        tag("div", "Nothing matches the filters" if narrowed else "Nothing to triage", css="title"),
        tag(
            "div",
            "Widen the filters on the left."
            if narrowed
            else "Incidents and anomalies appear in the queue as they are detected. An operation with few "
            "samples is still being learned and not judged; the page Now shows which services are learning.",
            css="muted",
        ),
        css="panel",
    )
