"""Anomalies as rows: new ones, known ones that changed, and those whose incident has ended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from collector.store.sqlfile import load_sql
from detectors.model.anomaly import Anomaly

_QUERIES = "detectors.pipeline.queries"
# The rest of a row, times and state, comes from the pass.
_COLUMNS = [f.name for f in fields(Anomaly) if f.name != "details"]
_STATES = "SELECT incident_id, state FROM incidents WHERE incident_id IN (SELECT unnest(?::VARCHAR[]))"


def insert(
    con: duckdb.DuckDBPyConnection, anomalies: Sequence[Anomaly], now_unix_nano: int, *, again: bool
) -> None:
    """Store new anomalies; `again`: some of them may be stored already."""
    if anomalies:
        joined = sorted({a.incident_id for a in anomalies if a.incident_id})
        known = dict(con.execute(_STATES, [joined]).fetchall()) if joined else {}
        states = pa.array([known.get(a.incident_id, "open") for a in anomalies], pa.string())
        con.register("new_anomalies", _rows(anomalies).append_column("state", states))
        sql = load_sql(_QUERIES, "insert_anomalies")
        con.execute(
            sql + load_sql(_QUERIES, "keep_known_anomalies") if again else sql, {"now": now_unix_nano}
        )
        con.unregister("new_anomalies")


def move(con: duckdb.DuckDBPyConnection, moved: Sequence[Anomaly]) -> None:
    """Move known anomalies to another span."""
    _update(con, "moved_anomalies", moved, "move_anomalies")


def raise_known(con: duckdb.DuckDBPyConnection, raised: Sequence[Anomaly]) -> None:
    """Update known anomalies that have become worse."""
    _update(con, "raised_anomalies", raised, "raise_anomalies")


def promote(con: duckdb.DuckDBPyConnection, promoted: Sequence[Anomaly]) -> None:
    """Set the incident of known anomalies."""
    _update(con, "promoted_anomalies", promoted, "promote_anomalies")


def resolve(con: duckdb.DuckDBPyConnection, incident_ids: Sequence[str], now_unix_nano: int) -> None:
    """Update the anomalies of incidents that have ended."""
    if incident_ids:
        params = {"incident_ids": list(incident_ids), "now": now_unix_nano}
        con.execute(load_sql(_QUERIES, "resolve_anomalies"), params)


def _update(con: duckdb.DuckDBPyConnection, name: str, anomalies: Sequence[Anomaly], query: str) -> None:
    if anomalies:
        con.register(name, _rows(anomalies))
        con.execute(load_sql(_QUERIES, query))
        con.unregister(name)


def _rows(anomalies: Sequence[Anomaly]) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for anomaly in anomalies:
        row = {name: getattr(anomaly, name) for name in _COLUMNS}
        rows.append({**row, "details": json.dumps(dict(anomaly.details))})
    table = pa.Table.from_pylist(rows)
    # All-NULL columns have no type of their own.
    position = table.schema.get_field_index("incident_id")
    return table.set_column(position, "incident_id", pc.cast(table["incident_id"], pa.string()))
