"""Acknowledge, snooze, resolve, reopen, with undo; also for all anomalies of one operation at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from collector.errors import SpyhopError
from dashboard import data
from dashboard import format as fmt
from dashboard.triage import Subject
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
    state = str(row.get("state") or "open")
    for title, target, icon in _ACTIONS:
        if target != state and st.button(
            title, icon=icon, key=f"{target}-{subject}", help=f"As {fmt.label(frame.reader(), 40)}"
        ):
            if _set(subject, target):
                st.session_state[_UNDO] = {"subject": str(subject), "from": state, "to": target}
            st.rerun()
    undo = st.session_state.get(_UNDO)
    if undo and undo["subject"] == str(subject):
        st.markdown(f"Now {undo['to']}, was {undo['from']}", width="content")
        st.button("Undo", key=f"undo-{subject}", type="tertiary", icon=":material/undo:", on_click=_undo)
    if st.session_state.get(_FAILED):
        st.error("The state was not changed. " + st.session_state.pop(_FAILED))


def show_group(group: Mapping[str, Any]) -> None:
    """One menu for all anomalies of the operation."""
    count = int(group["anomaly_count"])
    picked = st.menu_button(
        f"All {count:,} of this operation",
        ["Acknowledge", "Snooze", "Resolve", "Reopen"],
        key=f"group-{group['group_id']}",
    )
    targets = {title: target for title, target, _ in _ACTIONS}
    if picked in targets:
        try:
            changed = data.set_group_state(
                frame.api_url(), str(group["group_id"]), targets[str(picked)], frame.reader()
            )
            st.toast(f"{changed:,} anomalies are {targets[str(picked)]} now")
        except SpyhopError as error:
            st.session_state[_FAILED] = str(error)
        st.rerun()


def _undo() -> None:
    undo = st.session_state.pop(_UNDO)
    _set(Subject.parse(undo["subject"]), undo["from"])


def _set(subject: Subject, target: str) -> bool:
    try:
        data.set_state(frame.api_url(), subject.kind, subject.subject_id, target, frame.reader())
    except SpyhopError as error:
        st.session_state[_FAILED] = str(error)
        return False
    return True
