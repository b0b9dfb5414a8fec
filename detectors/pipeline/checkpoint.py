"""The state of all detectors, between memory and their tables.

It is written in the transaction of the anomalies and of the position, so that what a restart finds belongs
together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import duckdb
import pyarrow as pa

from collector.store.store import Store
from detectors.stream.detector import Detector, State


def restore(store: Store, detectors: Iterable[Detector]) -> None:
    """Restore fresh detectors from the stored state."""
    detectors = list(detectors)
    tables = sorted({table for detector in detectors for table in detector.tables})
    rows = {table: store.read("FROM query_table($name)", {"name": table}).to_pylist() for table in tables}
    for detector in detectors:
        detector.restore({table: rows[table] for table in detector.tables})


def write(con: duckdb.DuckDBPyConnection, states: Sequence[State], now_unix_nano: int) -> None:
    """Store rows, those of each table at once."""
    for state in states:
        if state.forget:
            con.register("changed", state.rows)
            con.execute(state.forget)
            con.unregister("changed")
    for table in sorted({state.table for state in states}):
        con.register("changed", pa.concat_tables([s.rows for s in states if s.table == table]))
        con.execute(
            f"INSERT OR REPLACE INTO {table} BY NAME "  # noqa: S608  # a name that a detector declares
            "SELECT *, make_timestamp_ns($now) AS updated_at FROM changed",
            {"now": now_unix_nano},
        )
        con.unregister("changed")
