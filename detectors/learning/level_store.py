"""Levels of operations, between memory and the table `operation_levels`."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.learning.level_history import SLOT_NS, Level
from detectors.model.operation import Operation

_QUERIES = "detectors.learning.queries"
_KEPT_NS = 48 * 3_600 * 10**9
_FIGURES = ("sample_count", "failed_count", "p50_ns", "p90_ns", "usual_p50_ns", "usual_p90_ns")


def read_levels(store: Store) -> Iterator[Level]:
    """Levels of the last day from former runs, oldest first."""
    for row in store.read(load_sql(_QUERIES, "read_levels")).to_pylist():
        operation = Operation.of(row)
        yield Level(operation, row["slot_unix_nano"] // SLOT_NS, *(row[name] for name in _FIGURES))


def save_levels(store: Store, finished: list[Level]) -> None:
    """Add finished levels, and drop those of more than two days before."""
    rows = [
        {
            **dict(zip(("service_name", "operation", "span_kind"), level.operation, strict=True)),
            "slot_unix_nano": level.slot * SLOT_NS,
            **{name: getattr(level, name) for name in _FIGURES},
        }
        for level in finished
    ]
    newest = max(level.slot for level in finished) * SLOT_NS
    with store.transaction() as con:
        con.register("finished_levels", pa.Table.from_pylist(rows))
        con.execute(load_sql(_QUERIES, "insert_levels"))
        con.unregister("finished_levels")
        con.execute(
            "DELETE FROM operation_levels WHERE slot_time < make_timestamp_ns($oldest)",
            {"oldest": newest - _KEPT_NS},
        )
