"""One incident or anomaly: what was seen, why, where in its trace, and what the reader thinks of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard import data
from dashboard.components.waterfall import waterfall
from dashboard.markup import page, tag
from dashboard.triage import Subject
from dashboard.views import actions, differences, expected, explanation, feedback, frame, summary


def show(subject: Subject) -> None:
    with frame.guarded(f"This {subject.kind}"):
        url = frame.api_url()
        if subject.kind == "incident":
            row = data.incident(url, subject.subject_id)
            trace_id = row.get("exemplar_trace_id")
        else:
            row = data.anomaly(url, subject.subject_id)
            trace_id = row.get("trace_id")
        _head(subject, row)
        explained = st.container()
        cited = _Cited()
        with explained:
            _explain(subject, cited)
        if subject.kind == "incident" and (apart := differences.differences(row.get("differences") or [])):
            st.html(apart)
        # The explanation's own trace, so that its citations are spans of the picture.
        _trace(subject, (cited.explanation or {}).get("trace_id") or trace_id, cited)
        if cited.explanation:
            feedback.show(subject, cited.explanation, cited.trace)
        if subject.kind == "incident":
            st.html(summary.incident_anomalies(row.get("anomalies") or []))


class _Cited:
    """What the explanation says about the trace, once it is there."""

    def __init__(self) -> None:
        self.explanation: dict[str, Any] | None = None
        self.span_ids: list[str] = []
        self.trace: dict[str, Any] | None = None


def _head(subject: Subject, row: Mapping[str, Any]) -> None:
    st.html(summary.headline(subject.kind, row, frame.now()))
    actions.show(subject, row)
    if subject.kind == "incident":
        expected.show(row)
    st.html(
        summary.incident_facts(row, frame.now()) if subject.kind == "incident" else summary.anomaly_facts(row)
    )


def _explain(subject: Subject, cited: _Cited) -> None:
    with frame.guarded("The explanation"):
        with st.skeleton(height=120):
            cited.explanation = data.explanation(
                frame.api_url(),
                subject.kind,
                subject.subject_id,
                frame.settings().dashboard_analyze_timeout_s,
            )
        cited.span_ids = explanation.show(subject, cited.explanation)


def _trace(subject: Subject, trace_id: str | None, cited: _Cited) -> None:
    if not trace_id:
        return
    with frame.guarded("The trace"):
        cited.trace = data.trace(frame.api_url(), trace_id)
        st.html(summary.trace_head(cited.trace, subject.kind == "incident"))
        waterfall(cited.trace, highlight=cited.span_ids, key=f"waterfall-{subject}")


def nothing_chosen() -> str:
    return page(
        tag("div", "Nothing to triage", css="title"),
        tag(
            "div",
            "Anomalies and incidents appear in the queue as they are detected. An operation with few samples "
            "is still being learned and not judged; the overview shows which services are learning.",
            css="muted",
        ),
        css="panel",
    )
