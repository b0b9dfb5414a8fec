"""The waterfall of a trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import streamlit as st

from dashboard.components.assets import bundle
from dashboard.components.waterfall.model import payload
from dashboard.components.waterfall.span_details import Extras, details

_PARTS = ("rows", "layout", "row", "minimap", "drawer", "waterfall")


def waterfall(
    trace: Mapping[str, Any],
    *,
    highlight: Sequence[str] = (),
    key: str,
    rows: int = 22,
    more: Callable[[], Extras] = Extras,
) -> None:
    """Draws `trace` (the API's shape) and marks the spans in `highlight`.

    The picture is sent first, what the drawer shows after it: the reader does not wait for the larger part.

    Args:
        rows: most rows in sight; further ones scroll.
        more: reads what else the drawer shows, once the picture is on its way.
    """
    # As bytes: Streamlit writes a mapping to JSON twice, at a tenth of the speed.
    with st.container(gap=None):
        _picture()(data=msgspec.json.encode(payload(trace, highlight) | {"row_count": rows}), key=key)
        sent = details(trace, more())
        _details()(data=msgspec.json.encode(sent), key=f"{key}-details")


def _picture() -> Any:
    """Registers with the running Streamlit; the same name and text again is the same component."""
    return st.components.v2.component(
        "spyhop_waterfall",
        html=bundle("waterfall/waterfall.html"),
        css=bundle("waterfall/waterfall.css"),
        js=bundle("dom.js", *(f"waterfall/{part}.js" for part in _PARTS)),
    )


def _details() -> Any:
    return st.components.v2.component(
        "spyhop_waterfall_details",
        html="<span hidden></span>",
        js=bundle("waterfall/rows.js", "waterfall/details.js"),
    )
