"""The map of the services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard.components.assets import bundle


def draw(picture: Mapping[str, Any], *, key: str) -> None:
    """Draws `dashboard.charts.map.picture`; each box is a link."""
    mount = st.components.v2.component(
        "spyhop_map",
        html=bundle("map/map.html"),
        css=bundle("map/map.css"),
        js=bundle("dom.js", "map/map.js"),
    )
    mount(data=dict(picture), key=key)
