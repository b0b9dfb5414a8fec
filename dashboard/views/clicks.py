"""Clicks in charts that lead to another page or time, each handled once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import altair as alt
import streamlit as st

from dashboard.charts.click import picked
from dashboard.searching import quoted
from dashboard.views import frame

_TIMES = "spyhop_clicks"
_RANGE, _HALF = "5m", timedelta(seconds=150)  # what is opened lies around the click

# (fields of what was clicked) → the page and its query
Place = Callable[[Mapping[str, Any]], tuple[str, Mapping[str, str]]]


def clicked(chart: alt.Chart | alt.LayerChart, key: str, spoken: str) -> dict[str, Any] | None:
    """Draws `chart` and returns the fields of what was clicked; None while nothing was.

    The choice is cleared, because the click opens another page.
    """
    times: dict[str, int] = st.session_state.setdefault(_TIMES, {})
    event = st.altair_chart(chart, key=f"{key}-{times.get(key, 0)}", on_select="rerun", alt=spoken)
    found = picked(event["selection"] if event else None)
    if found is not None:
        times[key] = times.get(key, 0) + 1
    return found


def leads_to(chart: alt.Chart | alt.LayerChart, key: str, spoken: str, place: Place) -> None:
    """Draws a chart over time; a click opens `place` at the five minutes around it."""
    chosen = clicked(chart, key, f"{spoken}; a click opens its traces")
    around = _around(chosen)
    if chosen is not None and around:
        path, query = place(chosen)
        frame.go(frame.link_of(*frame.href(path, **query, **around, range=_RANGE)))


def narrows(chart: alt.Chart | alt.LayerChart, key: str, spoken: str) -> None:
    """Draws a chart over time; a click turns this page to the five minutes around it."""
    around = _around(clicked(chart, key, f"{spoken}; a click shows that time"))
    if around:
        frame.turn_to(_RANGE, **around)


def _around(chosen: Mapping[str, Any] | None) -> dict[str, str]:
    """The query parameters of the time of what was clicked; none without one."""
    time_ms = (chosen or {}).get("time")
    if not isinstance(time_ms, int | float):
        return {}
    return frame.around(datetime.fromtimestamp(time_ms / 1000, UTC), _HALF)


def traces_of(service: str, *conditions: str) -> tuple[str, dict[str, str]]:
    """The page of traces, searched by service and further conditions.

    >>> traces_of("shop", "status = error")
    ('traces', {'q': '{ resource.service.name = "shop" && status = error }'})
    """
    return "traces", {
        "q": "{ " + " && ".join((f"resource.service.name = {quoted(service)}", *conditions)) + " }"
    }
