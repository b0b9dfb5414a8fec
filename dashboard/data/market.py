"""Amounts, prices and their anomalies, by SQL over the HTTP API."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import polars as pl
import streamlit as st

from collector.store.sqlfile import load_sql
from dashboard.data.connection import QUERIES, read

TTL_S = 5.0
AMOUNTS_MAX = 2000
_SIDES = ("order", "transfer")


@dataclass(frozen=True)
class Cell:
    """Amounts that are compared with each other: `order|BTC|BUY`, `order|BTC`, `transfer|BTC`."""

    kind: str
    asset: str
    side: str

    @classmethod
    def parse(cls, text: str) -> Cell | None:
        """None where `text` is no such cell.

        >>> Cell.parse("order|BTC|BUY"), Cell.parse("nonsense")
        (Cell(kind='order', asset='BTC', side='BUY'), None)
        """
        kind, _, rest = text.partition("|")
        asset, _, side = rest.partition("|")
        return cls(kind, asset, side) if kind in _SIDES and asset else None


def _frame(base_url: str, name: str, params: dict[str, object]) -> pl.DataFrame:
    return read(base_url, lambda client: client.sql(load_sql(QUERIES, name), params))


@st.cache_data(ttl=30.0, max_entries=8, show_spinner=False)
def amount_cells(base_url: str) -> list[dict[str, Any]]:
    """cell, sample_count, p50, p99, sigma3 of amounts that have a baseline; most samples first."""
    rows: list[dict[str, Any]] = _frame(base_url, "market_cells", {}).to_dicts()
    return rows


@st.cache_data(ttl=TTL_S, max_entries=8, show_spinner=False)
def prices(base_url: str, since: int, until: int, bucket_s: int) -> pl.DataFrame:
    """pair, bucket_ms, order_count, price (median of the fills; NULL without one)."""
    return _frame(base_url, "market_prices", {"since": since, "until": until, "bucket_s": bucket_s})


@st.cache_data(ttl=TTL_S, max_entries=16, show_spinner=False)
def amounts(base_url: str, cell: str, since: int, until: int, limit: int = AMOUNTS_MAX) -> pl.DataFrame:
    """trace_id, span_id, at_ms, amount, account, amount_count (of all): the largest first."""
    parsed = Cell.parse(cell) or Cell("", "", "")
    params: dict[str, object] = {
        "cell": cell,
        "kind": parsed.kind,
        "asset": parsed.asset,
        "side": parsed.side,
        "since": since,
        "until": until,
        "limit": limit,
    }
    return _frame(base_url, "market_amounts", params)


@st.cache_data(ttl=TTL_S, max_entries=8, show_spinner=False)
def signals(base_url: str, since: int, until: int) -> list[dict[str, Any]]:
    """Anomalies of amounts and of the market with their `details`, newest first; 500 at most."""
    rows: list[dict[str, Any]] = _frame(
        base_url, "market_signals", {"since": since, "until": until}
    ).to_dicts()
    return [row | {"details": json.loads(row["details"])} for row in rows]


@st.cache_data(ttl=600.0, max_entries=8, show_spinner=False)
def accounts_of(base_url: str, trace_ids: tuple[str, ...], since: int, until: int) -> dict[str, str]:
    """The account of each of these traces that names one."""
    params: dict[str, object] = {"trace_ids": list(trace_ids), "since": since, "until": until}
    rows = _frame(base_url, "accounts_of_traces", params).to_dicts()
    return {row["trace_id"]: row["account"] for row in rows if row["account"]}
