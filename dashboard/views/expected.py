"""An engineer's decision that an incident's level is normal now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from collector.errors import SpyhopError
from dashboard import data
from dashboard.views import frame

_OUTCOME = "expected_outcome"


def show(incident: Mapping[str, Any]) -> None:
    """The button, which asks once more, since a baseline that has moved does not move back by itself."""
    incident_id = str(incident["incident_id"])
    if incident.get("state") != "resolved":
        with st.popover("Normal now", icon=":material/trending_flat:"):
            st.markdown(
                "How slow and how often failing its operations are now becomes what is usual for them, "
                "and the incident is resolved. There is no undo."
            )
            st.button(
                "Yes, this is normal now",
                key=f"expected-{incident_id}",
                type="primary",
                on_click=_adopt,
                args=(incident_id,),
            )


def show_outcome(incident_id: str) -> None:
    """What became of the word that was just given."""
    outcome = st.session_state.get(_OUTCOME)
    if outcome and outcome["incident_id"] == incident_id:
        (st.error if outcome["failed"] else st.success)(outcome["text"])


def _adopt(incident_id: str) -> None:
    try:
        adopted = data.expect(frame.api_url(), incident_id, frame.reader())
        text = "\n".join(f"- {line}" for line in adopted) or (
            "Resolved. Nothing had to be adopted: what it broke is learned by itself."
        )
        outcome = {"incident_id": incident_id, "failed": False, "text": text}
    except SpyhopError as error:
        outcome = {"incident_id": incident_id, "failed": True, "text": f"Nothing was adopted. {error}"}
    st.session_state[_OUTCOME] = outcome
