"""Anomalies: the queue on the left, everything about the chosen incident or anomaly on the right."""

from __future__ import annotations

from typing import Any

import streamlit as st

from collector.errors import SpyhopError
from dashboard import data
from dashboard import format as fmt
from dashboard.components.queue import queue
from dashboard.theme import SEVERITIES
from dashboard.triage import DETECTORS, STATES, Filters, Subject, sections, standing_for
from dashboard.views import detail, frame


def render() -> None:
    filters = _filters()
    left, right = st.columns([4, 8], gap="medium")
    with left:
        # First, because without a choice the most urgent row is chosen here.
        _choose_most_urgent(filters)
        frame.every(lambda: _queue(filters), frame.settings().dashboard_refresh_s)
    with right:
        chosen = _chosen()
        if chosen is None:
            st.html(detail.nothing_chosen())
        else:
            detail.show(chosen)


def _filters() -> Filters:
    """The filter row; every filter is in the address, so a view can be sent to a colleague."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        severities = st.pills(
            "Severity",
            list(SEVERITIES),
            selection_mode="multi",
            format_func=lambda level: f"{SEVERITIES[level].icon} {SEVERITIES[level].label}",
            key="severity",
            bind="query-params",
        )
        state = st.selectbox("State", STATES, key="state", bind="query-params", width=140)
        detector = st.selectbox(
            "Detector",
            DETECTORS,
            index=None,
            placeholder="all",
            key="detector",
            bind="query-params",
            width=130,
        )
        service = st.selectbox(
            "Service",
            _services(),
            index=None,
            placeholder="all",
            format_func=fmt.plain,
            key="service",
            bind="query-params",
            width=190,
        )
        text = st.text_input("Find", key="q", bind="query-params", placeholder="operation, trace id, whale…")
    return Filters(
        severities=tuple(severities),
        service=service,
        detector=detector,
        state=state or "active",
        text=text or "",
    )


def _services() -> list[str]:
    """Services to filter by; the one in the address stays, even when it has gone quiet."""
    names: set[str] = {st.query_params["service"]} if "service" in st.query_params else set()
    try:
        names |= {row["service_name"] for row in data.health(frame.api_url())["services"]}
    except SpyhopError:
        return sorted(names)  # the queue below says what is wrong
    return sorted(names)


def _read(filters: Filters) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The queue's sections, and the anomalies behind them."""
    url = frame.api_url()
    rows = data.anomalies(
        url,
        severities=filters.severities,
        service=filters.service,
        detector=filters.detector,
        states=filters.states(),
        order="severity",
        limit=frame.settings().dashboard_queue_rows,
    )
    return sections(data.incidents(url), rows, filters, frame.now()), rows


def _choose_most_urgent(filters: Filters) -> None:
    """Pins the first row in the address when nothing is chosen, so that a refresh does not move it."""
    if _chosen() is not None:
        return
    with frame.guarded("The queue"):
        items = [item for section in _read(filters)[0] for item in section["items"]]
        if items:
            _choose(Subject.parse(items[0]["id"]))


def _queue(filters: Filters) -> None:
    with frame.guarded("The queue"):
        chosen = _chosen()
        shown, anomalies = _read(filters)
        picked = queue(
            shown,
            chosen=str(standing_for(chosen, anomalies)) if chosen else None,
            empty="Nothing matches. Widen the filters, or enjoy the quiet.",
            key="queue",
        )
        if picked and picked != str(chosen):
            _choose(Subject.parse(picked))
            st.rerun(scope="app")
        st.caption(frame.updated(None))


def _chosen() -> Subject | None:
    """What the address names, e.g. `?anomaly=…`."""
    for kind in ("anomaly", "incident"):
        if st.query_params.get(kind):
            return Subject(kind, st.query_params[kind])
    return None


def _choose(subject: Subject) -> None:
    for kind in ("anomaly", "incident"):
        if kind != subject.kind and kind in st.query_params:
            del st.query_params[kind]
    st.query_params[subject.kind] = subject.subject_id
