"""Feedback on an explanation: a rating, a correction, and earlier verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from collector.errors import SpyhopError
from dashboard import data
from dashboard import format as fmt
from dashboard.markup import Safe, page, tag
from dashboard.triage import Subject
from dashboard.views import frame

MAX_TEXT_CHARS = 4000
MAX_NAME_CHARS = 80
_VERDICTS = {"up": "right", "down": "wrong"}


def show(subject: Subject, explanation: Mapping[str, Any], trace: Mapping[str, Any] | None) -> None:
    """Two buttons; "Wrong" asks what really happened; the other fields open on request."""
    with frame.guarded("The feedback"):
        given = data.ratings(frame.api_url(), subject.kind, subject.subject_id)
        rater = frame.reader()
        mine = next((row for row in given if row["rater"] == rater), None)
        others = [row for row in given if row is not mine]
        editing_key = f"editing-{subject}"
        editing = st.session_state.get(editing_key)
        if mine and not editing:
            st.html(page(_said(mine, "You said"), css="panel"))
            st.button(
                "Edit",
                icon=":material/edit:",
                key=f"edit-{subject}",
                on_click=_edit,
                args=(editing_key, mine),
            )
        elif editing:
            _form(explanation, trace, rater, mine, editing_key)
        else:
            _buttons(explanation, rater, editing_key)
        if others:
            st.html(page(*(_said(row, f"{fmt.plain(row['rater'] or 'someone', 80)} said") for row in others)))


def _buttons(explanation: Mapping[str, Any], rater: str, editing_key: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Is this right?**", width="content")
        if st.button("Right", icon=":material/thumb_up:", key=f"up-{editing_key}"):
            body = {"explanation_id": explanation["explanation_id"], "rating": "up", "rater": rater}
            if _save(body):
                st.rerun()
        st.button(
            "Wrong",
            icon=":material/thumb_down:",
            key=f"down-{editing_key}",
            on_click=_edit,
            args=(editing_key, {"rating": "down"}),
        )


def _edit(editing_key: str, row: Mapping[str, Any]) -> None:
    st.session_state[editing_key] = row["rating"]


def _form(
    explanation: Mapping[str, Any],
    trace: Mapping[str, Any] | None,
    rater: str,
    mine: Mapping[str, Any] | None,
    editing_key: str,
) -> None:
    """The correction. It starts from what was saved, so that editing loses nothing."""
    before = (mine or {}).get("correction") or {}
    with st.form(f"form-{editing_key}"):
        summary = st.text_area(
            "What really happened",
            value=before.get("summary") or "",
            placeholder=fmt.plain(explanation.get("summary") or "", 300),
            max_chars=MAX_TEXT_CHARS,
            height=90,
        )
        with st.expander("More: where, what to do next, your name"):
            rating = st.segmented_control(
                "The explanation is",
                list(_VERDICTS),
                default=st.session_state[editing_key],
                format_func=lambda value: _VERDICTS[value],
                required=True,
            )
            service = _choice("Root service", before.get("root_service"), _names(trace, "service_name"))
            operation = _choice("Root operation", before.get("root_operation"), _names(trace, "span_name"))
            steps = st.text_area(
                "What to do next (one step a line)",
                value="\n".join(before.get("recommendations") or []),
                max_chars=MAX_TEXT_CHARS,
            )
            comment = st.text_input(
                "Comment", value=(mine or {}).get("comment") or "", max_chars=MAX_TEXT_CHARS
            )
            named = st.text_input("Your name", value=rater, max_chars=MAX_NAME_CHARS)
        st.caption("Your answer is kept and exported as training data.")
        with st.container(horizontal=True):
            saved = st.form_submit_button("Save", type="primary", icon=":material/save:")
            cancelled = st.form_submit_button("Cancel")
    if cancelled:
        del st.session_state[editing_key]
        st.rerun()
    if saved:
        rater = (named or "").strip() or rater
        st.session_state["rater"] = rater
        body = {
            "explanation_id": explanation["explanation_id"],
            "rating": rating,
            "rater": rater,
            "correction": correction(summary, service, operation, steps),
            "comment": comment or None,
        }
        if _save(body):
            del st.session_state[editing_key]
            st.rerun()


def correction(
    summary: str | None, service: str | None, operation: str | None, steps: str | None
) -> dict[str, Any] | None:
    """What was filled in, trimmed; None when nothing was."""
    lines = [line.strip() for line in (steps or "").splitlines() if line.strip()]
    filled: dict[str, Any] = {
        "summary": (summary or "").strip(),
        "root_service": (service or "").strip(),
        "root_operation": (operation or "").strip(),
        "recommendations": lines,
    }
    return {key: value for key, value in filled.items() if value} or None


def _choice(title: str, before: str | None, names: Sequence[str]) -> str | None:
    options = [*names, before] if before and before not in names else list(names)
    picked = st.selectbox(
        title,
        options,
        index=options.index(before) if before else None,
        placeholder="choose, or type another",
        accept_new_options=True,
        format_func=fmt.plain,
    )
    return str(picked) if picked else None


def _names(trace: Mapping[str, Any] | None, field: str) -> list[str]:
    return sorted({span[field] for span in trace["spans"]}) if trace else []


def _save(body: Mapping[str, Any]) -> bool:
    try:
        data.rate(frame.api_url(), {key: value for key, value in body.items() if value is not None})
    except SpyhopError as error:
        st.error(f"Not saved. {error}")
        return False
    return True


def _said(row: Mapping[str, Any], who: str) -> Safe:
    """`✓ Saved. You said this explanation is wrong, 22:45:17 UTC`, and the correction."""
    verdict = _VERDICTS.get(row["rating"], row["rating"])
    corrected = row.get("correction") or {}
    place = " · ".join(
        fmt.plain(corrected[key], 120) for key in ("root_service", "root_operation") if corrected.get(key)
    )
    lines = [
        ("What really happened", corrected.get("summary")),
        ("Root cause", place),
        ("Do next", "; ".join(corrected.get("recommendations") or [])),
        ("Comment", row.get("comment")),
    ]
    return tag(
        "div",
        tag(
            "div",
            tag("strong", f"✓ Saved. {who} this explanation is {verdict}"),
            f", {fmt.stamp(row['updated_at'])}",
        ),
        *(
            tag("div", tag("span", f"{title}: ", css="muted"), tag("span", fmt.plain(value, MAX_TEXT_CHARS)))
            for title, value in lines
            if value
        ),
    )
