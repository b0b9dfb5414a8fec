"""SQL: an editor with the schema beside it, the result as table, chart, CSV and Parquet, and a link to it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Literal

import altair as alt
import polars as pl
import streamlit as st

from collector.errors import SpyhopError, Unavailable
from dashboard import format as fmt
from dashboard.components.editor import Word, editor
from dashboard.data.sql import ROWS_MAX, Result, run, schema
from dashboard.markup import page, tag
from dashboard.theme import BORDER, MUTED, SERVICE_COLOURS, TEXT
from dashboard.triage import plural
from dashboard.views import frame
from dashboard.views.status import to

CHART_ROWS_MAX = 5_000
# What people ask first; the other tables follow by name.
FIRST_TABLES = ("spans", "traces", "logs", "metrics", "anomalies", "incidents", "baselines", "service_edges")
KEYWORDS = (
    "SELECT", "FROM", "WHERE", "GROUP BY", "GROUP BY ALL", "ORDER BY", "LIMIT", "HAVING", "JOIN", "LEFT JOIN",
    "USING", "count(*)", "quantile_cont(", "time_bucket(INTERVAL 1 MINUTE, ", "now()", "DESC", "FILTER (",
    "DISTINCT", "WITH",
)  # fmt: skip
EXAMPLES = {
    "Slowest operations": "SELECT service_name, span_name, count(*) AS calls,\n"
    "    quantile_cont(duration_ns, 0.95) / 1e6 AS p95_ms\n"
    "FROM spans\nWHERE start_time > now() - INTERVAL 1 HOUR\n"
    "GROUP BY ALL\nORDER BY p95_ms DESC\nLIMIT 20",
    "Errors a minute": "SELECT service_name,\n"
    "    time_bucket(INTERVAL 1 MINUTE, start_time::TIMESTAMP) AS minute,\n"
    "    count(*) FILTER (status_code = 'ERROR') AS errors, count(*) AS calls\n"
    "FROM spans\nWHERE start_time > now() - INTERVAL 1 HOUR\nGROUP BY ALL\nORDER BY minute",
    "Slowest traces": "SELECT trace_id, root_service_name, root_span_name,\n"
    "    duration_ns / 1e6 AS ms, span_count\n"
    "FROM traces\nORDER BY duration_ns DESC\nLIMIT 50",
    "Anomalies by operation": "SELECT service_name, operation, detector,\n"
    "    count(*) AS anomalies, max(sigma) AS sigma\n"
    "FROM anomalies\nGROUP BY ALL\nORDER BY anomalies DESC",
}


def render() -> None:
    statement = str(st.query_params.get("sql") or "")
    left, right = st.columns([9, 3], gap="small")
    tables = _schema()
    with right:
        _draw_schema(tables)
    with left:
        wrong, result = _run(statement)
        said = editor(
            statement,
            _words(tables),
            {},
            label="SQL",
            placeholder="SELECT … FROM spans …        Ctrl+Enter runs it, Tab completes",
            key="sql_box",
            rows=max(6, min(18, statement.count("\n") + 2)),
            error=(wrong, 0, 0) if wrong else None,
        )
        if said.sent is not None and said.sent != statement:
            _open(said.sent)
        if result is not None:
            _draw(statement, result)
        elif not wrong:
            examples = (
                tag("div", to(title, "sql", sql=text), style="line-height:26px")
                for title, text in EXAMPLES.items()
            )
            st.html(page(tag("div", "Begin with one of these:", css="muted"), *examples, css="panel"))


def _open(statement: str) -> None:
    """Puts the statement in the address, which is the link to it, and runs it."""
    if statement.strip():
        st.query_params["sql"] = statement
    elif "sql" in st.query_params:
        del st.query_params["sql"]
    st.rerun()


def _run(statement: str) -> tuple[str, Result | None]:
    """What is wrong, or the rows; neither without a statement."""
    if not statement.strip():
        return "", None
    try:
        with st.spinner("Running…"):
            return "", run(frame.api_url(), statement)
    except Unavailable as error:
        frame.problem("The query", error, "the query can be run again in a moment")
        return error.message, None
    except SpyhopError as error:
        return f"{error.message}{'. ' + error.hint if error.hint else ''}", None


def _schema() -> Mapping[str, list[tuple[str, str]]]:
    try:
        return schema(frame.api_url())
    except SpyhopError:
        return {}  # running a query says what is wrong


def _words(tables: Mapping[str, list[tuple[str, str]]]) -> list[Word]:
    columns = {name: kind for listed in tables.values() for name, kind in listed}
    return [
        *(Word(name, "table") for name in tables),
        *(Word(name, fmt.plain(kind, 24)) for name, kind in sorted(columns.items())),
        *(Word(word) for word in KEYWORDS),
    ]


def _draw_schema(tables: Mapping[str, list[tuple[str, str]]]) -> None:
    names = [name for name in FIRST_TABLES if name in tables]
    names += sorted(name for name in tables if name not in names)
    if not names:
        st.caption("The schema appears here once the server answers.")
        return
    chosen = st.selectbox("Columns of", names, key="schema_table")
    columns = (
        tag("div", tag("code", name), tag("div", fmt.plain(kind, 60), css="muted"), style="margin-bottom:6px")
        for name, kind in tables[chosen or names[0]]
    )
    shown = tag(
        "div",
        *columns,
        style="max-height:520px;overflow-y:auto;overflow-wrap:anywhere",
        tabindex=0,
        role="region",
        aria_label="Columns",
    )
    st.html(page(shown))


def _draw(statement: str, result: Result) -> None:
    shown = result.frame
    cut = f", the first {ROWS_MAX:,}: add a LIMIT or aggregate" if result.is_cut else ""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.html(page(tag("span", f"{plural(shown.height, 'row')}{cut}", css="muted")), width="content")
        st.space("stretch")
        st.download_button(
            "CSV",
            lambda: _csv(shown),
            file_name="spyhop.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
        st.download_button(
            "Parquet",
            lambda: _parquet(shown),
            file_name="spyhop.parquet",
            mime="application/vnd.apache.parquet",
            icon=":material/download:",
            on_click="ignore",
        )
    st.caption("The address of this page is the link to this query.")
    if not shown.height:
        st.html(page(tag("div", "The query gave no row.", css="muted"), css="panel"))
        return
    tabs = st.tabs(["Table", "Chart"], key="sql_tabs", on_change="rerun")
    if tabs[0].open:
        with tabs[0]:
            _draw_table(shown)
    if tabs[1].open:
        with tabs[1]:
            _draw_chart(shown)


def _draw_table(shown: pl.DataFrame) -> None:
    if "trace_id" not in shown.columns:
        st.dataframe(shown, hide_index=True, height="auto", key="sql_rows")
        return
    event = st.dataframe(
        shown,
        hide_index=True,
        height="auto",
        key="sql_traces",
        on_select="rerun",
        selection_mode="single-row",
    )
    chosen = event["selection"]["rows"] if event else []
    if chosen and chosen[0] < shown.height:
        trace_id = str(shown["trace_id"][chosen[0]])
        st.html(page(to(f"Open trace {fmt.plain(trace_id, 32)} →", "trace", id=trace_id)))
    else:
        st.caption("Select a row to open its trace.")


def _csv(shown: pl.DataFrame) -> bytes:
    """Nested values as their JSON text, which CSV has no form for."""
    flat = shown.with_columns(
        pl.Series(
            name, [None if value is None else str(value) for value in shown[name].to_list()], dtype=pl.String
        )
        for name, kind in shown.schema.items()
        if kind.is_nested()
    )
    return flat.write_csv().encode()


def _parquet(shown: pl.DataFrame) -> bytes:
    sink = io.BytesIO()
    shown.write_parquet(sink)
    return sink.getvalue()


def _draw_chart(shown: pl.DataFrame) -> None:
    figures = [name for name, kind in shown.schema.items() if kind.is_numeric()]
    others = [name for name in shown.columns if name not in figures]
    if not figures:
        st.caption("A chart needs a column of numbers.")
        return
    with st.container(horizontal=True):
        across = st.selectbox("Across", [*others, *figures], key="chart_x", width=220)
        up = st.selectbox("Up", figures, index=len(figures) - 1, key="chart_y", width=220)
        colour = st.selectbox("Colour", others, index=None, placeholder="none", key="chart_colour", width=220)
        kinds = ("line", "bar", "point")
        kind = st.segmented_control("As", kinds, default="line", required=True, key="chart_kind")
    st.altair_chart(
        chart(shown.head(CHART_ROWS_MAX), str(across), str(up), colour, str(kind or "line")),
        alt=f"{fmt.label(up)} by {fmt.label(across)}",
    )
    if shown.height > CHART_ROWS_MAX:
        st.caption(f"The first {CHART_ROWS_MAX:,} rows are drawn.")


def chart(shown: pl.DataFrame, across: str, up: str, colour: str | None, kind: str) -> alt.Chart:
    """The rows as a chart. Columns are named by place: names may hold what Vega reads as a path. Pure."""
    names = {"a": across, "u": up} | ({"c": colour} if colour else {})
    drawn = shown.select(pl.col(name).alias(key) for key, name in names.items())
    schema_of = drawn.schema
    x_type: Literal["temporal", "quantitative", "nominal"] = (
        "temporal"
        if schema_of["a"].is_temporal()
        else "quantitative"
        if schema_of["a"].is_numeric()
        else "nominal"
    )
    marks: dict[str, Any] = {"line": {"type": "line", "point": drawn.height <= 100}, "bar": {"type": "bar"}}
    encodings: dict[str, Any] = {
        "x": alt.X("a", type=x_type, title=fmt.plain(across, 60)),
        "y": alt.Y("u", type="quantitative", title=fmt.plain(up, 60)),
        "tooltip": [alt.Tooltip(key, title=fmt.plain(name, 60)) for key, name in names.items()],
    }
    if colour:
        encodings["color"] = alt.Color(
            "c", type="nominal", title=fmt.plain(colour, 60), scale=alt.Scale(range=list(SERVICE_COLOURS))
        )
    done: alt.Chart = alt.Chart(drawn).mark_point() if kind == "point" else alt.Chart(drawn, mark=marks[kind])
    done = (
        done.encode(**encodings)
        .properties(height=320)
        .configure_view(stroke=None)
        .configure_axis(gridColor=BORDER, labelColor=MUTED, titleColor=TEXT)
        .configure_legend(labelColor=TEXT, titleColor=TEXT)
    )
    return done
