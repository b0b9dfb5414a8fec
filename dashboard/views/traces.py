"""Traces: a search, its results as a heatmap and a table, and what sets a brushed part of them apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from collector.errors import InvalidInput, SpyhopError
from dashboard import data
from dashboard import format as fmt
from dashboard.charts import heatmap
from dashboard.components.editor import Word, editor
from dashboard.data.search import TRACES_MAX, attributes_of, search_traces, tag_values, tags
from dashboard.markup import Safe, join, page, severity_chip, table, tag
from dashboard.searching import Difference, differences, literal, quoted, with_condition
from dashboard.theme import service_colours
from dashboard.triage import plural
from dashboard.views import frame
from dashboard.views.status import to

ROWS_A_PAGE = 50
SORTS = ("newest", "slowest", "most errors", "most σ", "most spans")
REFRESH_S = 10.0
DURATIONS = ("10ms", "100ms", "500ms", "1s", "5s", "30s")
EXAMPLES = (
    "{ status = error }",
    "{ duration > 1s }",
    "{ anomaly >= SEV3 }",
    "{ } | count() > 100",
)


def render() -> None:
    query = str(st.query_params.get("q") or "")
    frame.region("traces", "The traces", lambda: _read(query), lambda found: _draw(query, found), REFRESH_S)


def _read(query: str) -> dict[str, Any]:
    """The answer, or what is wrong with the search: a wrong search is no failure of the server."""
    span = frame.window()
    try:
        answer = search_traces(frame.api_url(), query, span.since_ns, span.until_ns)
    except InvalidInput as error:
        place: dict[str, Any] = dict(error.details or {})
        return {
            "wrong": (error.message, int(place.get("line") or 0), int(place.get("column") or 0)),
            "span": span,
        }
    return {"answer": answer, "span": span}


def _draw(query: str, found: dict[str, Any]) -> None:
    _box(query, found.get("wrong"))
    if "answer" not in found:
        st.html(
            page(
                tag("div", "The search is not understood; nothing was searched.", css="title"),
                tag(
                    "div",
                    "Searches that work: ",
                    join((to(text, "traces", q=text) for text in EXAMPLES), "  ·  "),
                ),
                css="panel",
            )
        )
        return
    rows = found["answer"]["traces"]
    if not rows:
        _nothing(query, found["span"])
        return
    for row in rows:
        row["start_ns"] = _nano(row["start_time"])
    chosen = _heatmap(rows, found["span"])
    st.html(page(_summary(found["answer"], found["span"], chosen, rows)))
    if chosen is not None and 0 < len(chosen) < len(rows):
        _apart(query, chosen, rows, found["span"])
    _table(chosen if chosen else rows)


def _nano(text: str) -> int:
    moment = fmt.parse_time(text)
    return int(moment.timestamp() * 1e9) if moment else 0


def _box(query: str, wrong: tuple[str, int, int] | None) -> None:
    asked = st.session_state.get("traces_asked")
    words, values = _words(), {}
    if asked:
        with frame.quiet():
            values[asked] = _value_words(asked)
    said = editor(
        query,
        words,
        values,
        label="Search of traces",
        placeholder='{ resource.service.name = "checkout" && duration > 500ms }',
        key="traces_box",
        has_values=True,
        error=wrong,
    )
    if said.asked and said.asked != asked:
        st.session_state["traces_asked"] = said.asked
        st.rerun(scope="app")
    if said.sent is not None and said.sent != query:
        _search(said.sent)
    _controls(query)


def _search(query: str) -> None:
    if query.strip():
        st.query_params["q"] = query.strip()
    elif "q" in st.query_params:
        del st.query_params["q"]
    st.rerun(scope="app")


def _words() -> list[Word]:
    """Names that have landed, as a search writes them; the fields of every span without a scope."""
    scopes = tags(frame.api_url())
    return [
        Word(name if scope == "intrinsic" else f"{scope}.{name}", "" if scope == "intrinsic" else scope)
        for scope in ("intrinsic", "resource", "span", "event", "link", "instrumentation")
        for name in scopes.get(scope, [])
    ]


def _value_words(name: str) -> list[Word]:
    return [
        Word(
            quoted(str(value["value"])) if value["type"] == "string" else str(value["value"]),
            fmt.count(value["span_count"]) if value["span_count"] else "",
        )
        for value in tag_values(frame.api_url(), name)
    ]


def _controls(query: str) -> None:
    """Common filters, which write the search."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Errors", icon=":material/error:", key="add_errors"):
            _search(with_condition(query, "status = error"))
        if st.button("Anomalies", icon=":material/troubleshoot:", key="add_anomalies"):
            _search(with_condition(query, "anomaly >= SEV3"))
        slower = st.menu_button("Slower than", DURATIONS, key="add_slower")
        if slower:
            _search(with_condition(query, f"traceDuration > {slower}"))
        service = st.menu_button("Service", _services(), key="add_service", format_func=fmt.label)
        if service:
            _search(with_condition(query, f"resource.service.name = {quoted(str(service))}"))
        if query and st.button("Clear", icon=":material/close:", key="clear_search", type="tertiary"):
            _search("")


def _services() -> list[str]:
    try:
        return sorted(row["service_name"] for row in data.service_red(frame.api_url(), frame.now_ns()))
    except SpyhopError:
        return []


def _nothing(query: str, span: frame.Window) -> None:
    what = f"No trace matches in the {span.text}." if query else f"No trace has landed in the {span.text}."
    st.html(
        page(
            tag("div", what, css="title"),
            tag("div", "Choose a longer time range above, or a wider search.", css="muted"),
            css="panel",
        )
    )


def _heatmap(rows: Sequence[Mapping[str, Any]], span: frame.Window) -> list[dict[str, Any]] | None:
    """Draws it; returns the traces that are brushed, None without a brush."""
    since = min(span.since_ns, *(row["start_ns"] for row in rows))
    # A search that was cut ends before the time range does: the axis shows what was found.
    first = min(row["start_ns"] for row in rows) if len(rows) >= TRACES_MAX else since
    grid = heatmap.cells(rows, first, span.until_ns)
    event = st.altair_chart(
        heatmap.chart(grid, first, span.until_ns),
        key=f"heatmap-{st.query_params.get('q')}",
        on_select="rerun",
        alt="Traces by start and duration; drag to select some",
    )
    ranges = heatmap.brushed(event["selection"] if event else None)
    if ranges is None:
        return None
    begin, end, least, most = ranges
    return [
        dict(row)
        for row in rows
        if begin <= row["start_ns"] / 1e6 <= end and least <= row["duration_ns"] / 1e6 <= most
    ]


def _summary(
    answer: Mapping[str, Any], span: frame.Window, chosen: Sequence[object] | None, rows: Sequence[object]
) -> Safe:
    cut = f" {fmt.plain(answer.get('reason') or '', 200)}" if answer.get("truncated") else ""
    newest = f"the newest {len(rows):,} traces" if len(rows) >= TRACES_MAX else plural(len(rows), "trace")
    part = f"{plural(len(chosen), 'trace')} selected of " if chosen is not None else ""
    hint = "" if chosen is not None else " Drag on the heatmap to see what sets a part of them apart."
    return tag("div", f"{part}{newest} that match in the {span.text}.{cut}{hint}", css="muted")


def _apart(
    query: str, chosen: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], span: frame.Window
) -> None:
    """What the selected traces carry more often than the others."""
    ids = tuple(row["trace_id"] for row in rows)
    with frame.guarded("The comparison"):
        told = attributes_of(
            frame.api_url(), ids, span.since_ns - 3_600 * 10**9, span.until_ns + 3_600 * 10**9
        )
        found = differences(told, {row["trace_id"] for row in chosen}, ids)
        st.html(differences_markup(query, found))


def differences_markup(query: str, found: Sequence[Difference]) -> str:
    """Field, value, shares, and links that narrow the search to it or exclude it. Pure."""
    if not found:
        return page(
            tag("div", "No attribute sets the selected traces apart from the others.", css="muted"),
            css="panel",
        )
    lines = []
    for told in found:
        value = told.value if told.field != "status" else str(told.value)
        written = str(value) if told.field == "status" else literal(value)
        lines.append(
            (
                tag("code", fmt.plain(told.field, 80)),
                tag("code", fmt.plain(told.value, 120)),
                fmt.quantity(told.share, "share"),
                fmt.quantity(told.other_share, "share"),
                fmt.count(told.trace_count),
                join(
                    [
                        to("only", "traces", q=with_condition(query, f"{told.field} = {written}")),
                        "  ",
                        to("without", "traces", q=with_condition(query, f"{told.field} != {written}")),
                    ]
                ),
            )
        )
    head = [
        ("Field", "l"),
        ("Value", "l wrap"),
        ("Selected", ""),
        ("Others", ""),
        ("Traces", ""),
        ("Narrow", "l"),
    ]
    return page(tag("strong", "What the selected traces have in common"), table(head, lines), css="panel")


def _table(rows: Sequence[Mapping[str, Any]]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        sort = st.segmented_control(
            "Order", SORTS, default="newest", required=True, key="traces_sort", bind="query-params",
            label_visibility="collapsed",
        )  # fmt: skip
        pages = math.ceil(len(rows) / ROWS_A_PAGE)
        at = st.pagination(pages, key="traces_page") if pages > 1 else 1
    ordered = in_order(rows, sort or "newest")
    st.html(traces_table(ordered[(at - 1) * ROWS_A_PAGE :][:ROWS_A_PAGE]))


def in_order(rows: Sequence[Mapping[str, Any]], sort: str) -> list[Mapping[str, Any]]:
    """The rows in one of the orders of `SORTS`; equal ones stay newest first."""
    keys = {
        "slowest": lambda row: -row["duration_ns"],
        "most errors": lambda row: -row["error_count"],
        "most σ": lambda row: -(row.get("anomaly_sigma") or 0.0),
        "most spans": lambda row: -row["span_count"],
    }
    newest = sorted(rows, key=lambda row: row["start_time"], reverse=True)
    return sorted(newest, key=keys[sort]) if sort in keys else newest


def traces_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Each trace clicks through; the bar compares durations with the longest shown. Pure."""
    longest = max([1, *(row["duration_ns"] for row in rows)])
    colours = service_colours(row["root_service_name"] for row in rows)
    lines = [_line(row, longest, colours) for row in rows]
    head = [
        ("Started", "l"), ("Trace", "l wrap"), ("Duration", "l"), ("Spans", ""), ("Errors", ""),
        ("Services", ""), ("Worst anomaly", "l"), ("σ", ""), ("Matched", "l wrap"),
    ]  # fmt: skip
    return page(table(head, lines))


def _line(row: Mapping[str, Any], longest: int, colours: Mapping[str, str]) -> tuple[object, ...]:
    matched = row.get("matched_spans") or []
    first = matched[0] if matched else None
    span_id = first["span_id"] if first else ""
    service = row["root_service_name"]
    name = f"{fmt.plain(service, 60)}: {fmt.plain(row['root_span_name'], 100)}"
    width = max(2, round(90 * row["duration_ns"] / longest))
    colour = "#FF7B72" if row["error_count"] else colours[service]
    shape = "display:inline-block;height:9px;border-radius:2px"
    bar = tag("span", "", style=f"{shape};width:{width}px;background:{colour}")
    more = row.get("matched_count", 0) - 1
    told = fmt.plain(f"{first['service_name']} {first['span_name']}", 80) if first else ""
    return (
        fmt.clock(row["start_time"]),
        join([to(name, "trace", id=row["trace_id"]), "" if row.get("has_root") else " (root not landed)"]),
        join(
            [tag("span", fmt.duration(row["duration_ns"]), style="display:inline-block;min-width:64px"), bar]
        ),
        fmt.count(row["span_count"]),
        tag("span", fmt.count(row["error_count"]), style="color:#FF7B72" if row["error_count"] else ""),
        len(row.get("services") or []),
        severity_chip(int(str(row["severity"]).removeprefix("SEV"))) if row.get("severity") else "",
        fmt.sigma(row.get("anomaly_sigma")),
        join([to(told, "trace", id=row["trace_id"], span=span_id), f" +{more}" if more > 0 else ""])
        if told
        else "",
    )
