"""Review: explanations to judge by keys, one after another; agreement of reviewers; what can be exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from collector.errors import SpyhopError
from dashboard import data
from dashboard import format as fmt
from dashboard.data.feedback import agreement, review_queue, training_stats
from dashboard.markup import Safe, join, outlined, page, severity_chip, table, tag
from dashboard.triage import Subject, plural
from dashboard.views import explanation, frame
from dashboard.views.status import to

VERDICTS = (("Right", "right", "1"), ("Partly right", "partly_right", "2"), ("Wrong", "wrong", "3"))
TEXT_MAX = 4000
NAME_MAX = 80
QUEUE_SHOWN = 50


def render() -> None:
    rater = _name()
    tabs = st.tabs(["Queue", "Agreement", "Export"], key="review_tabs", on_change="rerun")
    bodies: tuple[Callable[[], None], ...] = (lambda: _queue(rater), _agreement, _export)
    for tab, body in zip(tabs, bodies, strict=True):
        if tab.open:
            with tab:
                body()


def _name() -> str:
    said = st.text_input(
        "You review as",
        value=frame.reader(),
        key="reviewer",
        max_chars=NAME_MAX,
        width=260,
    )
    return (said or "").strip()


def _queue(rater: str) -> None:
    if st.session_state.get("review_failed"):
        st.error("Not saved. " + st.session_state.pop("review_failed"))
    if st.session_state.get("review_saved"):
        st.success(st.session_state.pop("review_saved"))
    with frame.guarded("The review queue"):
        found = review_queue(frame.api_url(), rater, QUEUE_SHOWN)
        items = found["queue"]
        if not items:
            st.html(
                page(
                    tag("div", "Nothing to review", css="title"),
                    tag(
                        "div",
                        "Explanations that you have not judged, or about which others disagree, come here.",
                        css="muted",
                    ),
                    css="panel",
                )
            )
            return
        at = min(int(st.session_state.get("review_at", 0)), len(items) - 1)
        _one(items[at], at, len(items), found["total"], rater)


def _one(item: Mapping[str, Any], at: int, shown: int, total: int, rater: str) -> None:
    """One explanation, whole, with three keys; a wrong one asks what is true."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("←", key="review_back", disabled=at == 0, shortcut="Left", on_click=_move, args=(at - 1,))
        st.html(page(tag("span", f"{at + 1} of {total}", css="muted")), width="content")
        st.button(
            "→", key="review_on", disabled=at >= shown - 1, shortcut="Right", on_click=_move, args=(at + 1,)
        )
        for title, verdict, key in VERDICTS:
            st.button(
                title,
                key=f"verdict-{verdict}",
                shortcut=key,
                on_click=_judge,
                args=(item, verdict, rater, at),
            )
    st.html(head(item))
    subject = Subject(item["subject_kind"], item["subject_id"])
    left, right = st.columns([7, 5], gap="small")
    with left, frame.guarded("The explanation"):
        said = data.explanation(
            frame.api_url(), subject.kind, subject.subject_id, frame.settings().dashboard_analyze_timeout_s
        )
        explanation.show(subject, said)
        if said["explanation_id"] != item["explanation_id"]:
            st.caption(
                "The incident has grown: this explanation is newer; the verdict is on the one in the queue."
            )
    with right:
        st.text_area(
            "What is true instead (kept with Partly right and Wrong)",
            key=f"truth-{item['explanation_id']}",
            max_chars=TEXT_MAX,
            height=120,
        )
        st.text_input("Root service", key=f"service-{item['explanation_id']}", max_chars=200)
        st.text_input("Root operation", key=f"operation-{item['explanation_id']}", max_chars=200)


def head(item: Mapping[str, Any]) -> str:
    """Severity, title, why it is in the queue, and who has judged it. Pure."""
    kind = item["subject_kind"]
    key = {"incident": "id", "anomaly": "anomaly", "trace": "id"}[kind]
    where = to(
        item.get("title") or kind, "trace" if kind == "trace" else "incident", **{key: item["subject_id"]}
    )
    judged = ", ".join(
        f"{fmt.plain(rater, 60)}: {verdict.replace('_', ' ')}"
        for rater, verdict in zip(item.get("raters") or [], item.get("verdicts") or [], strict=False)
    )
    parts: list[object] = [
        severity_chip(item.get("severity")) if item.get("severity") else "",
        " ",
        tag("span", where, css="title"),
        " ",
        _reasons(item.get("reasons") or []),
    ]
    return page(
        tag("div", *parts),
        tag("div", f"Judged by {judged}" if judged else "Nobody has judged it.", css="muted"),
    )


def _reasons(reasons: Sequence[str]) -> Safe:
    return join((outlined(reason.replace("_", " ")) for reason in reasons), " ")


def _move(to_place: int) -> None:
    st.session_state["review_at"] = max(0, to_place)


def _judge(item: Mapping[str, Any], verdict: str, rater: str, at: int) -> None:
    """Stores the verdict with what was written; the next one moves up by itself."""
    identifier = item["explanation_id"]
    written = {
        "summary": str(st.session_state.get(f"truth-{identifier}") or "").strip(),
        "root_service": str(st.session_state.get(f"service-{identifier}") or "").strip(),
        "root_operation": str(st.session_state.get(f"operation-{identifier}") or "").strip(),
    }
    correction = {key: value for key, value in written.items() if value}
    body: dict[str, Any] = {"explanation_id": identifier, "verdict": verdict, "rater": rater}
    if correction and verdict != "right":
        body["correction"] = correction
    try:
        data.rate(frame.api_url(), body)
    except SpyhopError as error:
        st.session_state["review_failed"] = str(error)
        return
    st.session_state["rater"] = rater
    st.session_state["review_at"] = at
    st.session_state["review_saved"] = f"Saved: {verdict.replace('_', ' ')}."


def _agreement() -> None:
    with frame.guarded("The agreement"):
        st.html(agreement_markup(agreement(frame.api_url())))


def agreement_markup(found: Mapping[str, Any]) -> str:
    """κ of each two reviewers and α of all; where too few cases are shared, why there is no figure. Pure."""
    whole = found["all"]
    alpha = fmt.significant(whole["alpha"]) if whole.get("alpha") is not None else fmt.DASH
    first = tag(
        "div",
        tag("strong", f"Krippendorff's α of all: {alpha}  "),
        tag(
            "span",
            f"{plural(whole['rater_count'], 'reviewer')}, "
            f"{plural(whole['shared_count'], 'shared explanation')}. {whole.get('withheld') or ''}",
            css="muted",
        ),
    )
    lines = [
        (
            " and ".join(fmt.plain(rater, 40) for rater in pair["raters"]),
            fmt.count(pair["shared_count"]),
            fmt.count(pair["agreed_count"]),
            fmt.significant(pair["kappa"]) if pair.get("kappa") is not None else fmt.DASH,
            fmt.significant(pair["weighted_kappa"]) if pair.get("weighted_kappa") is not None else fmt.DASH,
            pair.get("withheld") or "",
        )
        for pair in found["pairs"]
    ]
    head_row = [
        ("Reviewers", "l"),
        ("Shared", ""),
        ("Agreed", ""),
        ("κ", ""),
        ("weighted κ", ""),
        ("Why no figure", "l wrap"),
    ]
    return page(first, table(head_row, lines) if lines else "", css="panel")


def _export() -> None:
    with frame.guarded("What can be exported"):
        found = training_stats(frame.api_url())
        st.html(export_markup(found))
        st.code("spyhop export --format FORMAT --out DIR", language="bash")


def export_markup(found: Mapping[str, Any]) -> str:
    """Rows of each format, and how they split. Pure."""
    said = found.get("feedback") or {}
    lines = [
        (
            tag("code", name),
            fmt.count(row.get("rows")),
            fmt.count(row.get("labelled")),
            fmt.count(row.get("train")),
            fmt.count(row.get("validation")),
            fmt.count(row.get("rejected")),
        )
        for name, row in (found.get("exportable") or {}).items()
    ]
    head_row = [
        ("Format", "l"),
        ("Rows", ""),
        ("Judged", ""),
        ("Training", ""),
        ("Validation", ""),
        ("Left out", ""),
    ]
    told = (
        f"{plural(said.get('total'), 'verdict')}, {fmt.count(said.get('corrected') or 0)} with a correction"
    )
    return page(tag("div", told, css="muted"), table(head_row, lines), css="panel")
