"""Incidents: a slim queue on the left, everything about the chosen incident or anomaly on the right."""

from __future__ import annotations

import math
import re
from typing import Any

import streamlit as st

from collector.errors import SpyhopError
from dashboard import data
from dashboard import format as fmt
from dashboard.components.queue import picked_in, queue
from dashboard.markup import page
from dashboard.triage import DETECTORS, STATES, Filters, Subject, group_row, sections
from dashboard.views import detail, frame
from dashboard.views.bar import resolve_s
from dashboard.views.status import to

SEVERITY_NAMES = tuple(f"SEV{level}" for level in range(1, 6))
GROUPS_A_PAGE = 30
_TRACE_ID = re.compile(r"^\s*[0-9a-fA-F]{32}\s*$")


def render() -> None:
    left, right = st.columns([3, 9], gap="small")
    with left:
        filters = _filters()
        first = _first_groups(filters)
        page_number = _page_number(first)
        known = _known(filters, page_number, first)
        _settle_choice(filters, _ids(known))
        frame.region(
            f"queue-{filters}-{page_number}",
            "The queue",
            lambda: _follow_or_read(filters, page_number, known),
            lambda found: _queue(found, filters),
        )
    with right:
        chosen = _chosen()
        if chosen is None:
            st.html(detail.nothing_chosen(filters.narrows()))
        else:
            detail.show(chosen)


def _filters() -> Filters:
    """The filters are all in the address, so that a view can be sent to a colleague."""
    text = st.text_input(
        "Find",
        key="find",
        bind="query-params",
        placeholder="operation, service, trace id, whale",
        label_visibility="collapsed",
        icon=":material/search:",
    )
    if text and _TRACE_ID.match(text):
        st.html(page(to("Open this trace →", "trace", id=text.strip().lower())))
    with st.popover("Filters", icon=":material/filter_list:", width="stretch"):
        severities = st.pills(
            "Severity", SEVERITY_NAMES, selection_mode="multi", key="severity", bind="query-params"
        )
        state = st.selectbox("State", STATES, key="state", bind="query-params")
        detector = st.selectbox(
            "Detector", DETECTORS, index=None, placeholder="all", key="detector", bind="query-params"
        )
        service = st.selectbox(
            "Service",
            _services(),
            index=None,
            placeholder="all",
            format_func=fmt.plain,
            key="of",
            bind="query-params",
        )
    filters = Filters(
        severities=tuple(SEVERITY_NAMES.index(name) + 1 for name in severities),
        service=service,
        detector=detector,
        state=state or "active",
        text=text or "",
    )
    if filters.narrows():
        said = [*severities, service, detector, state if state != "active" else None, text or None]
        st.caption("Shown: " + fmt.label(", ".join(str(word) for word in said if word)))
    return filters


def _services() -> list[str]:
    """Services to filter by; the one in the address stays, even when it has gone quiet."""
    names: set[str] = {st.query_params["of"]} if "of" in st.query_params else set()
    try:
        names |= {row["service_name"] for row in data.health(frame.api_url())["services"]}
    except SpyhopError:
        return sorted(names)  # the queue below says what is wrong
    return sorted(names)


def _groups(filters: Filters, page_number: int) -> dict[str, Any]:
    return data.anomaly_groups(
        frame.api_url(),
        severities=filters.severities,
        service=filters.service,
        detector=filters.detector,
        states=filters.states(),
        text=filters.text,
        alone=True,
        limit=GROUPS_A_PAGE,
        offset=(page_number - 1) * GROUPS_A_PAGE,
    )


def _first_groups(filters: Filters) -> dict[str, Any] | None:
    try:
        return _groups(filters, 1)
    except SpyhopError:
        return None  # the queue below says what is wrong


def _page_number(first: dict[str, Any] | None) -> int:
    """Which page of single anomalies; the pages appear when there are several."""
    pages = math.ceil(first["total"] / GROUPS_A_PAGE) if first else 1
    return st.pagination(pages, key="queue_page", max_visible_pages=5) if pages > 1 else 1


def _read(filters: Filters, groups: dict[str, Any]) -> dict[str, Any]:
    """The queue's sections, and the groups behind the single anomalies."""
    url = frame.api_url()
    closing_s = resolve_s(data.health(url))
    return {
        "sections": sections(data.incidents(url), groups, filters, frame.now(), closing_s),
        "groups": groups,
    }


def _known(filters: Filters, page_number: int, first: dict[str, Any] | None) -> list[dict[str, Any]]:
    """What the queue shows first, read once for the choice and the queue; empty when it cannot be read."""
    if first is None:
        return []
    try:
        return [_read(filters, first if page_number == 1 else _groups(filters, page_number))]
    except SpyhopError:
        return []


def _follow_or_read(filters: Filters, page_number: int, known: list[dict[str, Any]]) -> dict[str, Any]:
    """The queue, unless a row of it was chosen: the page at that row reads it anew."""
    picked, chosen = picked_in("queue"), _chosen()
    if picked and picked != str(chosen):
        choose(Subject.parse(picked))
        frame.rerun()
    return known.pop() if known else _read(filters, _groups(filters, page_number))


def _ids(known: list[dict[str, Any]]) -> list[str] | None:
    """The ids in the queue; None when it cannot be read."""
    if not known:
        return None
    return [item["id"] for section in known[0]["sections"] for item in section["items"]]


def _settle_choice(filters: Filters, items: list[str] | None) -> None:
    """Pins the first row in the address when nothing is chosen, so that a refresh does not move it; and
    moves to the first row when the filters have hidden the chosen one."""
    chosen = _chosen()
    if items is None or (chosen is not None and not filters.narrows()):
        return
    if chosen is not None and (str(chosen) in items or st.session_state.get("queue_kept") == str(filters)):
        st.session_state["queue_kept"] = str(filters)  # a link to a row that the filters hide is followed
        return
    st.session_state["queue_kept"] = str(filters)
    if items:
        choose(Subject.parse(items[0]))
    else:
        _clear()


def _queue(found: dict[str, Any], filters: Filters) -> None:
    chosen = _chosen()
    empty = "Nothing matches these filters." if filters.narrows() else "Nothing to triage: enjoy the quiet."
    queue(found["sections"], chosen=str(chosen) if chosen else None, empty=empty, key="queue")
    st.session_state["queue_groups"] = {
        group["worst"]["anomaly_id"]: group_row(group) for group in found["groups"]["groups"]
    }


def _chosen() -> Subject | None:
    """What the address names: `?id=…` an incident, `?anomaly=…` an anomaly."""
    params = st.query_params
    if params.get("anomaly"):
        return Subject("anomaly", params["anomaly"])
    for name in ("id", "incident"):
        if params.get(name):
            return Subject("incident", params[name])
    return None


def _clear() -> None:
    for name in ("anomaly", "incident", "id", "span"):
        if name in st.query_params:
            del st.query_params[name]


def choose(subject: Subject) -> None:
    """Puts a subject in the address."""
    _clear()
    st.query_params["anomaly" if subject.kind == "anomaly" else "id"] = subject.subject_id
