"""The bar of every page: state, box, age; above it the controls of range, zone and live refresh."""

from __future__ import annotations

import re
from typing import Any

import streamlit as st

from collector.errors import Busy, SpyhopError, Timeout
from dashboard import data
from dashboard import format as fmt
from dashboard.components.bar import Asked, asked_of, bar
from dashboard.condition import RESOLVE_S, Condition, condition, degrades
from dashboard.data.presence import Present, present
from dashboard.views import frame

_TRACE_ID = re.compile(r"^[0-9a-fA-F]{32}$")
_ANOMALY_OR_INCIDENT = re.compile(r"^[0-9a-f]{24}$")
SHORTCUTS = {
    "n": "", "i": "incident", "t": "traces", "l": "logs", "m": "metrics", "s": "services",
    "k": "market", "x": "exchange", "q": "sql", "r": "review", "h": "health",
}  # fmt: skip
KEYS: list[dict[str, Any]] = [
    {
        "title": "Everywhere",
        "keys": [
            ["/", "to the box: a trace id, or a search of traces"],
            ["g n", "now"], ["g i", "incidents"], ["g t", "traces"], ["g l", "logs"], ["g m", "metrics"],
            ["g s", "services and map"], ["g k", "market"], ["g x", "exchange"],
            ["g q", "SQL"], ["g r", "review"], ["g h", "health"],
            ["?", "this list"],
        ],
    },
    {"title": "Queue", "keys": [["↑ ↓", "move"], ["Enter", "open"]]},
    {
        "title": "Trace",
        "keys": [
            ["↑ ↓", "move"], ["← →", "collapse, expand"], ["Enter", "details"], ["/", "search in the trace"],
            ["n N", "next, previous match"], ["e E", "next, previous error"], ["[ ]", "collapse, expand all"],
            ["a d + - 0", "pan, zoom, whole trace"], ["Esc", "close"],
        ],
    },
]  # fmt: skip


def controls(title: str) -> None:
    """Title, time range, zone and live switch in one line."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"#### {title}")
        st.space("stretch")
        if "at" in st.query_params:
            st.button(f"{frame.window().text}: back to now", icon=":material/close:", on_click=_back_to_now)
        st.selectbox(
            "Time range",
            list(frame.RANGES_S),
            index=list(frame.RANGES_S).index(frame.default_range()),
            key="range",
            bind="query-params",
            label_visibility="collapsed",
            width=110,
        )
        st.segmented_control(
            "Times in",
            ["UTC", "local"],
            default="UTC",
            required=True,
            key="zone",
            bind="query-params",
            label_visibility="collapsed",
        )
        st.toggle("Live", value=True, key="live", bind="query-params", help="Refresh by itself")
    frame.use_zone()


def presence() -> Present:
    """Which pages have something to show."""
    return present(frame.api_url(), frame.exchange().url)


def render(paths: list[str], drawn: Present) -> None:
    """The bar itself; refreshes by itself, and the navigation with it when what there is has changed.

    Args:
        drawn: what the navigation of this page was made from.
    """

    def body() -> None:
        _follow(asked_of("bar"))  # before anything is read: the page that is left needs no new state
        _bar(paths)  # first: a run that starts anew forgets the click that it was started for
        if presence() != drawn:
            frame.rerun()

    frame.every(body, frame.frame_interval_s())


def _back_to_now() -> None:
    if "at" in st.query_params:
        del st.query_params["at"]


def resolve_s(health: dict[str, Any]) -> float:
    """How long an incident stays open without news, as the server has it."""
    return float((health.get("detection") or {}).get("incident_resolve_s") or RESOLVE_S)


def trouble_since_ns(incidents: list[dict[str, Any]]) -> int | None:
    """When the oldest incident that degrades a service and has not ended began."""
    begun = [
        int(moment.timestamp() * 1e9)
        for row in incidents
        if row.get("state") != "resolved"
        and degrades(row)
        and (moment := fmt.parse_time(row.get("first_span_time")))
    ]
    return min(begun) if begun else None


def _state() -> Condition:
    url = frame.api_url()
    health = data.health(url)
    incidents = data.incidents(url)
    since_ns = trouble_since_ns(incidents)
    services = data.service_red(url, frame.now_ns(), since_ns)
    users = data.user_red(url, frame.now_ns(), since_ns)
    return condition(health, incidents, services, users, frame.now(), resolve_s(health))


def _bar(paths: list[str]) -> None:
    at = frame.now()
    try:
        said = _state()
        st.session_state["spyhop_bar"] = (said, at)
    except SpyhopError as error:
        before, at = st.session_state.get("spyhop_bar", (None, at))
        busy = "The server is busy: " if isinstance(error, Busy | Timeout) else ""
        said = Condition("warn", "▲", f"{busy}{error.message}. Tried again by itself." + _before(before))
    path, query = frame.href("incident", id=said.incident_id) if said.incident_id else frame.href("")
    bar(
        {
            "tone": said.tone,
            "icon": said.icon,
            "text": said.text,
            "href": str(frame.link_of(path, query)),
            "at_ms": int(at.timestamp() * 1000),
            "late_s": max(10, round(frame.LATE_AFTER * frame.frame_interval_s())) if frame.live() else 0,
            "word": "updated" if frame.live() else "read",
            "paths": paths,
            "shortcuts": SHORTCUTS,
            "keys": KEYS,
        },
        key="bar",
    )


def _follow(asked: Asked) -> None:
    if asked.go:
        frame.go(asked.go)
    if asked.find:
        frame.go(found(asked.find))


def _before(said: Condition | None) -> str:
    return f" Before: {said.text}" if said else ""


def found(text: str) -> str:
    """The page for what was typed: a trace by its id, an incident or anomaly by its, else a search.

    >>> found(" 5A5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a ")
    '/trace?id=5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a'
    >>> found("duration > 1s")
    '/traces?q=duration+%3E+1s'
    """
    trimmed = text.strip()
    if _TRACE_ID.match(trimmed):
        return frame.link_of("trace", {"id": trimmed.lower()})
    if _ANOMALY_OR_INCIDENT.match(trimmed):
        return frame.link_of("incident", {"id": trimmed})
    return frame.link_of("traces", {"q": trimmed})
