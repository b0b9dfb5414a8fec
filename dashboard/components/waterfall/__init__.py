"""The waterfall of a trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.components.assets import bundle
from dashboard.components.waterfall.model import extras, packed, payload

_PARTS = ("layout", "row", "minimap", "drawer", "waterfall")


def _mount() -> Any:
    """Registers with the running Streamlit; the same name and text again is the same component."""
    return st.components.v2.component(
        "spyhop_waterfall",
        html=bundle("waterfall/waterfall.html"),
        css=bundle("waterfall/waterfall.css"),
        js=bundle("dom.js", *(f"waterfall/{part}.js" for part in _PARTS)),
    )


def waterfall(
    trace: Mapping[str, Any],
    *,
    highlight: Sequence[str] = (),
    key: str,
    rows: int = 22,
    links: Sequence[Mapping[str, Any]] = (),
    logs: Sequence[Mapping[str, Any]] = (),
    calls: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Draws `trace` (the API's shape) and marks the spans in `highlight`.

    Args:
        rows: most rows in sight; further ones scroll.
        links: span_id, linked_trace_id, linked_span_id.
        logs: unix_nano, span_id, severity_text, body.
        calls: of language models, as `data.telemetry.genai_calls` reads them.
    """
    drawn = packed(payload(trace, highlight)) | {"row_count": rows, **extras(links, logs, calls)}
    _mount()(data=drawn, key=key)
