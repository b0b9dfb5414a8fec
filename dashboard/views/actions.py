"""Acknowledge, snooze, resolve, reopen; each can be undone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from collector.errors import SpyhopError
from dashboard import data
from dashboard.triage import Subject, plural
from dashboard.views import frame

_ACTIONS = (
    ("Acknowledge", "acknowledged", ":material/visibility:"),
    ("Snooze", "snoozed", ":material/snooze:"),
    ("Resolve", "resolved", ":material/check:"),
    ("Reopen", "open", ":material/undo:"),
)
_UNDO = "undo"
_FAILED = "state_failed"


def show(subject: Subject, row: Mapping[str, Any]) -> None:
    """The buttons for the states that the subject is not in."""
    members = affected(subject, row)
    state = row.get("state") or "open"
    with st.container(horizontal=True, vertical_alignment="center"):
        for title, target, icon in _ACTIONS:
            if target != state:
                pressed = st.button(title, icon=icon, key=f"{target}-{subject}", disabled=not members)
                if pressed:
                    # Each anomaly is moved on its own: hundreds take seconds, which should be seen.
                    with st.spinner(f"Setting {plural(len(members), 'anomaly', 'anomalies')} to {target} …"):
                        _move(str(subject), members, target)
                    st.rerun()
        undo = st.session_state.get(_UNDO)
        if undo and undo["subject"] == str(subject):
            moved = sum(len(ids) for ids in undo["previous"].values())
            st.markdown(f"{plural(moved, 'anomaly', 'anomalies')} set to {undo['state']}")
            st.button("Undo", key=f"undo-{subject}", type="tertiary", icon=":material/undo:", on_click=_undo)
    if st.session_state.get(_FAILED):
        st.error("The state was not changed. " + st.session_state.pop(_FAILED))


def affected(subject: Subject, row: Mapping[str, Any]) -> dict[str, str]:
    """Anomaly id → its present state: the anomaly itself, or those that the incident stands for."""
    if subject.kind == "anomaly":
        return {subject.subject_id: row.get("state") or "open"}
    return data.incident_members(frame.api_url(), subject.subject_id)


def _move(subject: str, members: Mapping[str, str], target: str) -> None:
    moving = {identifier: state for identifier, state in members.items() if state != target}
    if _set(list(moving), target):
        previous: dict[str, list[str]] = {}
        for identifier, state in moving.items():
            previous.setdefault(state, []).append(identifier)
        st.session_state[_UNDO] = {"subject": subject, "state": target, "previous": previous}


def _undo() -> None:
    undo = st.session_state.pop(_UNDO)
    for state, identifiers in undo["previous"].items():
        _set(identifiers, state)


def _set(identifiers: Sequence[str], target: str) -> bool:
    try:
        data.set_states(frame.api_url(), identifiers, target)
    except SpyhopError as error:
        st.session_state[_FAILED] = str(error)
        return False
    return True
