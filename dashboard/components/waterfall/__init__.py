"""The waterfall of a trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.components.assets import bundle
from dashboard.components.waterfall.model import payload

_PARTS = ("layout", "row", "minimap", "drawer", "waterfall")


def _mount() -> Any:
    """Registers with the running Streamlit; the same name and text again is the same component."""
    return st.components.v2.component(
        "spyhop_waterfall",
        html=bundle("waterfall/waterfall.html"),
        css=bundle("waterfall/waterfall.css"),
        js=bundle("dom.js", *(f"waterfall/{part}.js" for part in _PARTS)),
    )


def waterfall(trace: Mapping[str, Any], *, highlight: Sequence[str] = (), key: str) -> None:
    """Draws `trace` (the API's shape) and marks the spans in `highlight`."""
    _mount()(data=payload(trace, highlight), key=key)
