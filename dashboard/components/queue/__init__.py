"""The triage queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from dashboard.components.assets import bundle


def queue(sections: Sequence[dict[str, Any]], *, chosen: str | None, empty: str, key: str) -> str | None:
    """Draws the sections (`dashboard.triage.sections`) and returns the id of a row just chosen, else None."""
    mount = st.components.v2.component(
        "spyhop_queue",
        html=bundle("queue/queue.html"),
        css=bundle("queue/queue.css"),
        js=bundle("dom.js", "queue/queue.js"),
    )
    result = mount(
        data={"sections": list(sections), "chosen": chosen, "empty": empty},
        key=key,
        on_chosen_change=_nothing,  # makes `chosen` an attribute of every result
    )
    picked = result.chosen
    return picked if isinstance(picked, str) else None


def _nothing() -> None: ...
