"""SQL of the reader, bounded by the server and by a limit of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl
import streamlit as st

from collector.store.sqlfile import load_sql
from dashboard.data.connection import QUERIES, read

ROWS_MAX = 10_000
TIMEOUT_S = 35.0  # the server ends a query earlier, and says so


@dataclass(frozen=True)
class Result:
    """Rows of a statement; `is_cut`: there are more."""

    frame: pl.DataFrame
    is_cut: bool


@st.cache_data(ttl=30.0, max_entries=8, max_size="64mb", show_spinner=False)
def run(base_url: str, statement: str, limit: int = ROWS_MAX) -> Result:
    """The rows of one read-only statement.

    Raises:
        RefusedQuery, Timeout, TooLarge, Unavailable: as `Client.sql`.
    """
    frame, is_cut = read(
        base_url, lambda client: client.sql_page(statement, limit=limit), timeout_s=TIMEOUT_S
    )
    return Result(frame, is_cut)


@st.cache_data(ttl=60.0, max_entries=8, show_spinner=False)
def schema(base_url: str) -> dict[str, list[tuple[str, str]]]:
    """(column, type) by table or view, views that people query first."""
    rows: list[dict[str, Any]] = read(
        base_url, lambda client: client.sql(load_sql(QUERIES, "schema"))
    ).to_dicts()
    tables: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        tables.setdefault(row["table_name"], []).append((row["column_name"], row["data_type"]))
    return tables
