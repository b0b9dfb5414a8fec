"""Clicks in charts that lead to another page, each handled once."""

from __future__ import annotations

from typing import Any

import altair as alt
import streamlit as st

from dashboard.charts.click import picked

_TIMES = "spyhop_clicks"


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
