"""Logs: search and live tail, lines or templates with counts, and the way to the trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard import data
from dashboard import format as fmt
from dashboard.charts import bars
from dashboard.data.telemetry import LINES_MAX, TEMPLATES_MAX, LogFilters, log_histogram
from dashboard.markup import Safe, page, table, tag
from dashboard.triage import plural
from dashboard.views import clicks, frame
from dashboard.views.status import to

LEVELS = {"any": 0, "info": 9, "warning": 13, "error": 17}
VIEWS = ("templates", "lines")
_LEVEL_COLOURS = ((17, "#FF7B72"), (13, "#FF9F43"), (9, "#9DA7B3"))


def render() -> None:
    asked = _controls()
    frame.region(
        "log-course", "The course of the logs", lambda: _read_course(asked), _draw_course, show_age=False
    )
    if asked["template"]:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.html(
                page("Lines of the template ", tag("code", fmt.plain(asked["template"], 300))),
                width="content",
            )
            st.button("All lines", icon=":material/close:", on_click=_forget_template)
    if asked["view"] == "templates" and not asked["template"]:
        frame.region("log-templates", "The templates", lambda: _templates(asked), _draw_templates)
    else:
        frame.region("log-lines", "The log lines", lambda: _lines(asked), _draw_lines)


def _forget_template() -> None:
    st.query_params.pop("template", None)


def _controls() -> dict[str, Any]:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            "Text", key="log_text", bind="query-params", placeholder="in the line", width=260
        )
        level = st.selectbox("At least", list(LEVELS), key="level", bind="query-params", width=120)
        names = _services()
        service = st.selectbox(
            "Service", names, index=None, placeholder="all", format_func=fmt.plain, key="service",
            bind="query-params", width=190,
        )  # fmt: skip
        trace_id = st.text_input(
            "Trace", key="log_trace", bind="query-params", placeholder="trace id", width=300
        )
        view = st.segmented_control(
            "Show", VIEWS, default="templates", required=True, key="log_view", bind="query-params"
        )
    return {
        "text": text or "",
        "level": LEVELS.get(level or "any", 0),
        "service": service,
        "trace_id": (trace_id or "").strip().lower() or None,
        "view": view or "templates",
        "template": st.query_params.get("template"),
    }


def _services() -> list[str]:
    names: set[str] = {st.query_params["service"]} if "service" in st.query_params else set()
    with frame.quiet():
        names |= {row["service_name"] for row in data.health(frame.api_url())["services"]}
    return sorted(names)


def _filters(asked: Mapping[str, Any]) -> LogFilters:
    span = frame.window()
    # In steps of two seconds, so that the tabs of a moment share one answer.
    return LogFilters(
        since=span.since_ns,
        until=span.until_ns,
        service=asked["service"],
        least_severity=asked["level"],
        trace_id=asked["trace_id"],
        text=asked["text"],
    )


def _read_course(asked: Mapping[str, Any]) -> dict[str, Any]:
    span = frame.window()
    bucket_s = span.bucket_s(90)
    series = log_histogram(frame.api_url(), span.since_ns, span.until_ns, asked["service"], bucket_s)
    since_ms, until_ms = span.since_ns // 1_000_000, span.until_ns // 1_000_000
    return {"series": series, "text": span.text, "bounds": (since_ms, until_ms)}


def _draw_course(found: dict[str, Any]) -> None:
    if found["series"].is_empty():
        st.html(
            page(
                tag(
                    "div",
                    f"No log line in the {found['text']}. Choose a longer time range, or send OTLP logs.",
                    css="muted",
                ),
                css="panel",
            )
        )
        return
    clicks.narrows(
        bars.level_chart(found["series"], *found["bounds"]), "levels", f"Log lines by level, {found['text']}"
    )


def _templates(asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    return data.log_templates(frame.api_url(), _filters(asked))


def _draw_templates(rows: list[dict[str, Any]]) -> None:
    st.html(templates_markup(rows))


def templates_markup(rows: Sequence[Mapping[str, Any]]) -> str:
    """Templates with counts; each leads to its lines and to its newest trace. Pure."""
    if not rows:
        return page(tag("div", "No line matches.", css="muted"), css="panel")
    lines = [
        (
            level_mark(row),
            fmt.count(row["line_count"]),
            to(fmt.plain(row["template"], 300), "logs", template=row["template"], log_view="lines"),
            to(fmt.plain(row["service_name"], 60), "services", service=row["service_name"]),
            fmt.count(row["trace_count"]),
            fmt.nano_clock(row["first_unix_nano"])[:8],
            fmt.nano_clock(row["last_unix_nano"])[:8],
            to("newest →", "trace", id=row["trace_id"]) if row.get("trace_id") else "",
        )
        for row in rows
    ]
    head = [
        ("Level", "l"), ("Lines", ""), ("Template (numbers and ids are *)", "l wrap"), ("Service", "l"),
        ("Traces", ""), ("First", ""), ("Last", ""), ("Trace", "l"),
    ]  # fmt: skip
    cut = (
        tag("div", f"The first {TEMPLATES_MAX} templates are shown.", css="muted")
        if len(rows) >= TEMPLATES_MAX
        else ""
    )
    return page(table(head, lines), cut)


def _lines(asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    return data.log_lines(frame.api_url(), _filters(asked), asked["template"])


def _draw_lines(rows: list[dict[str, Any]]) -> None:
    st.html(lines_markup(rows, with_trace=True))


def lines_markup(rows: Sequence[Mapping[str, Any]], *, with_trace: bool) -> str:
    """Log lines as a table; with the way to the trace. Pure."""
    if not rows:
        return page(tag("div", "No line matches.", css="muted"), css="panel")
    lines = []
    for row in rows:
        cells: list[object] = [
            fmt.nano_clock(row["unix_nano"]),
            level_mark(row),
            fmt.plain(row["service_name"], 60),
            tag("span", fmt.plain(row["body"], 1500), title=fmt.plain(row.get("attributes") or "", 2000)),
        ]
        if with_trace:
            cells.append(_to_trace(row))
        lines.append(cells)
    head = [("Time", "l"), ("Level", "l"), ("Service", "l"), ("Line", "l wrap")]
    if with_trace:
        head.append(("Trace", "l"))
    cut = tag(
        "div",
        f"The newest {plural(LINES_MAX, 'line')} are shown; narrow the filters for others.",
        css="muted",
    )
    return page(table(head, lines), cut if len(rows) >= LINES_MAX else "")


def _to_trace(row: Mapping[str, Any]) -> object:
    if not row.get("trace_id"):
        return ""
    return to(f"{row['trace_id'][:8]} →", "trace", id=row["trace_id"], span=row.get("span_id") or "")


def level_mark(row: Mapping[str, Any]) -> Safe:
    """The level's own word, coloured from warnings on."""
    number = int(row.get("severity_number") or 0)
    word = fmt.plain(row.get("severity_text") or "", 12) or {17: "ERROR", 13: "WARN", 9: "INFO"}.get(
        number, fmt.DASH
    )
    colour = next((colour for least, colour in _LEVEL_COLOURS if number >= least), "#9DA7B3")
    return tag("span", word, style=f"color:{colour}")
