"""A trace beside another one, or beside a usual one of the same operation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from collector.errors import NotFound
from dashboard import data
from dashboard import format as fmt
from dashboard.compare import Row, Side, compare, telling
from dashboard.data.telemetry import usual_trace
from dashboard.markup import Safe, join, page, table, tag
from dashboard.theme import BAD, GOOD
from dashboard.triage import plural
from dashboard.views import frame
from dashboard.views.status import to

_TRACE_ID = re.compile(r"^[0-9a-f]{32}$")
ROWS_MAX = 60
REFRESH_S = 60.0
# A difference is drawn in colour from this share of the longer trace on.
NOTABLE_SHARE = 0.05


def show(trace: Mapping[str, Any]) -> None:
    """Asks with what to compare, and compares: with `?with=` a trace id, else with a usual one."""
    asked = str(st.query_params.get("with") or "").strip().lower()
    given = st.text_input(
        "Compare with", value=asked, placeholder="another trace id; empty for a usual one",
        key="compare_with", width=380,
    )  # fmt: skip
    typed = str(given or "").strip().lower()
    if typed != asked:
        if typed:
            st.query_params["with"] = typed
        else:
            st.query_params.pop("with", None)
    if typed and not _TRACE_ID.match(typed):
        st.html(
            page(
                tag("div", f"{fmt.plain(typed, 60)!r} is not a trace id: it has 32 hexadecimal digits."),
                css="panel",
            )
        )
        return
    frame.region(
        f"compare-{trace['trace_id']}-{typed}", "The other trace", lambda: _read(trace, typed),
        lambda found: _draw(trace, found), REFRESH_S, show_age=False,
    )  # fmt: skip


def _read(trace: Mapping[str, Any], other_id: str) -> dict[str, Any]:
    url = frame.api_url()
    if other_id:
        return {"other": data.trace(url, other_id), "usual_count": None}
    root = root_of(trace)
    usual = usual_trace(
        url, trace["trace_id"], root["service_name"], root["span_name"], int(root["start_unix_nano"])
    )
    if usual is None:
        return {"other": None, "usual_count": 0}
    try:
        return {"other": data.trace(url, usual["trace_id"]), "usual_count": usual["usual_count"]}
    except NotFound:  # removed meanwhile
        return {"other": None, "usual_count": 0}


def root_of(trace: Mapping[str, Any]) -> Mapping[str, Any]:
    spans: Sequence[Mapping[str, Any]] = trace["spans"]
    return next((span for span in spans if not span.get("parent_span_id")), spans[0])


def _draw(trace: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    other = found["other"]
    if other is None:
        root = root_of(trace)
        named = f"{fmt.plain(root['service_name'], 80)}: {fmt.plain(root['span_name'], 120)}"
        st.html(
            page(
                tag("div", f"No usual trace of {named} within an hour of this one.", css="title"),
                tag("div", "Paste the id of another trace above.", css="muted"),
                css="panel",
            )
        )
        return
    st.html(compared(trace, other, found["usual_count"]))


def compared(trace: Mapping[str, Any], other: Mapping[str, Any], usual_count: int | None) -> str:
    """The differences of the two. Pure."""
    rows = compare(trace, other)
    shown = telling(rows, ROWS_MAX)
    longest_ns = max(1, int(trace.get("duration_ns") or 0), int(other.get("duration_ns") or 0))
    why = (
        f", the middle one of {plural(usual_count, 'usual trace')} of this operation near in time"
        if usual_count
        else ""
    )
    head = tag(
        "div",
        tag("strong", f"This trace: {fmt.duration(trace.get('duration_ns'))}"),
        tag("span", f", {plural(len(trace['spans']), 'span')}  ·  the other: ", css="muted"),
        tag("strong", fmt.duration(other.get("duration_ns"))),
        tag("span", f", {plural(len(other['spans']), 'span')}, ", css="muted"),
        to(other["trace_id"], "trace", **{"id": other["trace_id"], "with": trace["trace_id"]}),
        tag("span", why, css="muted"),
    )
    cut = [name for name, each in (("this trace", trace), ("the other", other)) if each.get("truncated")]
    notes = [f"Only the spans that are shown of {' and '.join(cut)} are compared: it is cut."] if cut else []
    if not shown:
        return page(head, tag("div", "They do not differ.", css="muted"))
    same = len(rows) - len(shown)
    notes.append(
        f"{plural(len(shown), 'call')} that differ, in the order of the tree; {plural(same, 'further one')}. "
        "Self time is without that of what it calls."
    )
    columns = [
        ("Call", "l wrap"), ("Service", "l"), ("Differs in", "l"), ("Times", ""), ("Self time here", ""),
        ("There", ""), ("Difference", ""), ("Whole here", ""), ("There", ""),
    ]  # fmt: skip
    lines = [_line(row, trace["trace_id"], longest_ns) for row in shown]
    return page(head, tag("div", " ".join(notes), css="muted"), table(columns, lines))


def _line(row: Row, trace_id: str, longest_ns: int) -> tuple[object, ...]:
    service, name, _ = row.key
    indent = tag("span", style=f"display:inline-block;width:{12 * min(row.depth, 20)}px")
    label = fmt.plain(name, 120)
    call = to(label, "trace", id=trace_id, span=row.left.first_span_id) if row.left.count else label
    difference = row.self_difference_ns
    loud = abs(difference) >= NOTABLE_SHARE * longest_ns
    colour = (BAD if difference > 0 else GOOD) if loud else ""
    sign = "+" if difference > 0 else ""
    return (
        join([indent, call]),
        fmt.plain(service, 60),
        _said(row),
        f"{row.left.count} / {row.right.count}",
        _time(row.left, row.left.self_ns),
        _time(row.right, row.right.self_ns),
        tag(
            "span",
            f"{sign}{fmt.duration(difference)}",
            style=f"color:{colour};font-weight:600" if colour else "",
        ),
        _time(row.left, row.left.total_ns),
        _time(row.right, row.right.total_ns),
    )


def _time(side: Side, value_ns: int) -> str:
    return fmt.duration(value_ns) if side.count else fmt.DASH


def _said(row: Row) -> Safe:
    words = []
    if row.only:
        words.append("only here" if row.only == "left" else "only there")
    if row.left.errors != row.right.errors:
        words.append(f"errors {row.left.errors} / {row.right.errors}")
    return tag("span", ", ".join(words), style="color:#FF9F43" if words else "")
