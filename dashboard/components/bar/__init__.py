"""The bar at the top of every page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import streamlit as st

from dashboard.components.assets import bundle


class Asked(NamedTuple):
    """The reader's action: a followed link of the dashboard, or the sent text of the box."""

    go: str | None
    find: str | None


def bar(data: Mapping[str, Any], *, key: str) -> None:
    """Draws the bar; `data` holds tone, icon, text, href, at_ms, late_s, word, paths, shortcuts and keys."""
    mount = st.components.v2.component(
        "spyhop_bar",
        html=bundle("bar/bar.html"),
        css=bundle("bar/bar.css"),
        js=bundle("dom.js", "bar/bar.js"),
    )
    mount(data=dict(data), key=key, on_go_change=_nothing, on_find_change=_nothing)


def asked_of(key: str) -> Asked:
    """What the reader did with the bar of that key, known before it is drawn again."""
    state = st.session_state.get(key)
    go, find = (getattr(state, "go", None), getattr(state, "find", None)) if state else (None, None)
    return Asked(go if isinstance(go, str) else None, find if isinstance(find, str) else None)


def _nothing() -> None: ...
