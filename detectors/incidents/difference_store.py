"""Stores and reads the attributes that set an incident's traces apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from collector.store.sqlfile import load_sql
from collector.store.store import Store

_SCHEMA = pa.schema(
    [
        ("incident_id", pa.string()),
        ("rank", pa.int32()),
        *((name, pa.string()) for name in ("key", "value", "service_name", "operation")),
        *((name, pa.string()) for name in ("trace_id", "span_id")),
        *((name, pa.float64()) for name in ("share", "usual_share", "lift", "z")),
        ("trace_count", pa.int64()),
        ("also", pa.list_(pa.string())),
    ]
)


def save_differences(
    con: duckdb.DuckDBPyConnection, found: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    """Replace those of some incidents; by incident id, rows as from `localise.analyse`, strongest first."""
    if not found:
        return
    con.execute("DELETE FROM incident_differences WHERE incident_id IN (SELECT unnest(?))", [list(found)])
    rows = [
        {**row, "incident_id": incident_id, "rank": rank}
        for incident_id, ranked in found.items()
        for rank, row in enumerate(ranked, start=1)
    ]
    if rows:
        con.register("found_differences", pa.Table.from_pylist(rows, schema=_SCHEMA))
        con.execute("INSERT INTO incident_differences BY NAME FROM found_differences")
        con.unregister("found_differences")


def read_differences(store: Store, incident_id: str) -> list[dict[str, Any]]:
    """Strongest first; empty when nothing sets the incident's traces apart."""
    found: list[dict[str, Any]] = store.read(
        load_sql("detectors.incidents.queries", "list_differences"), {"incident_id": incident_id}
    ).to_pylist()
    return found
