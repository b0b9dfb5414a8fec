"""The triage queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from dashboard.components.assets import bundle


def queue(sections: Sequence[dict[str, Any]], *, chosen: str | None, empty: str, key: str) -> None:
    """Draws the sections (`dashboard.triage.sections`)."""
    mount = st.components.v2.component(
        "spyhop_queue",
        html=bundle("queue/queue.html"),
        css=bundle("queue/queue.css"),
        js=bundle("dom.js", "queue/queue.js"),
    )
    mount(
        data={"sections": list(sections), "chosen": chosen, "empty": empty},
        key=key,
        on_chosen_change=_nothing,  # makes `chosen` an attribute of its state
    )


def picked_in(key: str) -> str | None:
    """The id of a row just chosen in the queue of that key, known before it is drawn again; else None."""
    picked = getattr(st.session_state.get(key), "chosen", None)
    return picked if isinstance(picked, str) else None


def _nothing() -> None: ...
