"""Inserts decoded tables and their spool position in an open transaction of the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from collector.decode.buffers import Bools, flags
from collector.decode.packed import pack
from collector.signals import Signal
from collector.store.dedupe import Places, delete_outdated, resolve
from collector.store.lake import SEALED_SIGNALS
from collector.store.sqlfile import load_sql
from collector.store.typed_paths import TypedPaths, save_typed_paths
from collector.wal.segment import Position

_TABLES = {signal.label: (signal.table, signal.packed_table) for signal in SEALED_SIGNALS}
_PACKED = "is_packed"


class Rows(NamedTuple):
    """What one INSERT adds."""

    table: pa.Table
    suspects: Places | None = None  # spans that may be stored already; None: any of them may
    packed: Bools | None = None  # which rows hold a path that is not typed; None: none does


Tables = dict[Signal, list[Rows]]


class Totals(NamedTuple):
    """Totals since the database was made."""

    batch_id: int
    traces_batch_id: int
    spans: int
    logs: int
    metric_points: int
    duplicate_spans: int
    quarantined_records: int


class Insertion:
    """One open batch id: any number of `insert`, then one `set_position`, then the caller's COMMIT."""

    def __init__(
        self, con: duckdb.DuckDBPyConnection, totals: Totals, typed: Mapping[Signal, TypedPaths]
    ) -> None:
        self._con, self._typed = con, typed
        self._old = totals
        self._batch_id = totals.batch_id + 1
        self._counts = dict.fromkeys(Signal, 0)
        self._duplicate_count = 0
        self.replaced_count = 0  # spans that a later version replaced
        self._stored_versions: dict[Signal, int] = {}

    def insert(self, tables: Tables) -> None:
        """Add the rows of all tables, except spans that are already stored; a later version replaces one."""
        for signal, decoded in tables.items():
            for rows in decoded:
                table = rows.table
                if rows.packed is not None:
                    table = table.append_column(_PACKED, flags(rows.packed))
                if signal is Signal.TRACES:
                    found = resolve(table, rows.suspects, self._con)
                    table = found.spans
                    self._duplicate_count += found.duplicate_count
                    self.replaced_count += found.replaced_count
                    if found.outdated is not None:
                        delete_outdated(found.outdated, self._con)
                self._counts[signal] += table.num_rows
                self._store(signal, table)

    def set_position(self, end: Position, now_ns: int, *, quarantined_count: int = 0) -> Totals:
        """Store how far the spool has landed with these rows; returns the totals that a COMMIT makes true."""
        for signal, count in self._counts.items():
            version = save_typed_paths(self._con, signal, self._typed[signal]) if count else None
            if version is not None:
                self._stored_versions[signal] = version
        old = self._old
        totals = Totals(
            self._batch_id,
            self._batch_id if self._counts[Signal.TRACES] else old.traces_batch_id,
            old.spans + self._counts[Signal.TRACES],
            old.logs + self._counts[Signal.LOGS],
            old.metric_points + self._counts[Signal.METRICS],
            old.duplicate_spans + self._duplicate_count,
            old.quarantined_records + quarantined_count,
        )
        self._con.execute(load_sql("collector.landing.queries", "set_position"), [*end, now_ns, *totals])
        return totals

    def committed(self) -> None:
        """To be called after the COMMIT."""
        for signal, version in self._stored_versions.items():
            self._typed[signal].stored(version)
        for paths in self._typed.values():
            paths.landed(self._batch_id)

    def _store(self, signal: Signal, table: pa.Table) -> None:
        typed_table, packed_table = _TABLES[signal.label]
        if _PACKED in table.column_names:
            is_packed = table[_PACKED]
            table = table.drop_columns([_PACKED])
            insert_rows(self._con, packed_table, self._batch_id, pack(table.filter(is_packed)))
            table = table.filter(pc.invert(is_packed))
        insert_rows(self._con, typed_table, self._batch_id, table)


def insert_rows(con: duckdb.DuckDBPyConnection, target: str, batch_id: int, rows: pa.Table) -> None:
    if rows.num_rows == 0:
        return
    con.register("decoded", rows)
    try:
        con.execute(
            f"INSERT INTO {target} BY NAME SELECT ?::BIGINT AS batch_id, * FROM decoded",  # noqa: S608  # constant names
            [batch_id],
        )
    finally:
        con.unregister("decoded")
