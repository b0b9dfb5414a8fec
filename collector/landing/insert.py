"""Inserts decoded tables and their spool position in an open transaction of the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from time import time_ns
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.decode.buffers import Bools, arrow, flags
from collector.decode.packed import pack
from collector.decode.shredded import Unlike, align
from collector.signals import Signal
from collector.store.dedupe import Places, delete_outdated, resolve
from collector.store.hot import delete_spans, store_rows
from collector.store.lake import SEALED, refresh_shared_views, refresh_view
from collector.store.sqlfile import load_sql
from collector.store.typed_paths import TypedPaths, save_typed_paths
from collector.wal.segment import Position

_PACKED = "is_packed"


class Rows(NamedTuple):
    """What one INSERT adds."""

    table: pa.Table
    suspects: Places | None = None  # spans that may be stored already; None: any of them may
    packed: Bools | None = None  # which rows hold a path that is not typed; None: none does
    is_shredded: bool = False  # for a hot file


Tables = dict[Signal, list[Rows]]


class Place(NamedTuple):
    """Where hot files go, and the lake that the views show beside them."""

    folder: Path
    lake: Path


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
        self,
        con: duckdb.DuckDBPyConnection,
        totals: Totals,
        typed: Mapping[Signal, TypedPaths],
        place: Place | None = None,
        clock_ns: Callable[[], int] = time_ns,
    ) -> None:
        """
        Args:
            con: in `Store.view_transaction` where hot files may be among it.
            place: None where there are no hot files.
        """
        self._con, self._typed = con, typed
        self._place, self._clock_ns = place, clock_ns
        self._old = totals
        self._batch_id = totals.batch_id + 1
        self._counts = dict.fromkeys(Signal, 0)
        self._duplicate_count = 0
        self.replaced_count = 0  # spans that a later version replaced
        self._stored_versions: dict[Signal, int] = {}
        self._shredded: dict[Signal, list[Rows]] = {}
        self._after_shredded: list[Rows] = []  # spans for the tables, whose retries may be among the former

    def insert(self, tables: Tables) -> None:
        """Add the rows of all tables, except spans that are already stored; a later version replaces one."""
        for signal, decoded in tables.items():
            for rows in decoded:
                if rows.is_shredded:
                    self._shredded.setdefault(signal, []).append(rows)
                elif signal is Signal.TRACES and signal in self._shredded:
                    self._after_shredded.append(rows)
                else:
                    self._insert_rows(signal, rows)

    def set_position(self, end: Position, now_ns: int, *, quarantined_count: int = 0) -> Totals:
        """Store how far the spool has landed with these rows; returns the totals that a COMMIT makes true."""
        self._finish_hot()
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

    def _finish_hot(self) -> None:
        for signal, parts in self._shredded.items():
            for group in alike(parts):
                self._write_hot(signal, group)
        for rows in self._after_shredded:
            self._insert_rows(Signal.TRACES, rows)
        self._shredded, self._after_shredded = {}, []

    def _write_hot(self, signal: Signal, rows: Rows) -> None:
        assert self._place is not None
        table = rows.table
        if signal is Signal.TRACES:
            table = self._without_known(table, rows.suspects)
        self._counts[signal] += table.num_rows
        if table.num_rows:
            store_rows(self._con, self._place.folder, SEALED[signal.label], table, self._batch_id)
            self._refresh(signal)

    def _insert_rows(self, signal: Signal, rows: Rows) -> None:
        table = rows.table
        if rows.packed is not None:
            table = table.append_column(_PACKED, flags(rows.packed))
        if signal is Signal.TRACES:
            table = self._without_known(table, rows.suspects)
        self._counts[signal] += table.num_rows
        self._store(signal, table)

    def _without_known(self, spans: pa.Table, suspects: Places | None) -> pa.Table:
        found = resolve(spans, suspects, self._con)
        self._duplicate_count += found.duplicate_count
        self.replaced_count += found.replaced_count
        if found.outdated is not None:
            delete_outdated(found.outdated, self._con)
            if self._place is not None and delete_spans(
                self._con, self._place.folder, found.outdated, self._clock_ns()
            ):
                self._refresh(Signal.TRACES)
        return found.spans

    def _refresh(self, signal: Signal) -> None:
        assert self._place is not None
        sealed = SEALED[signal.label]
        refresh_view(self._con, sealed, self._place.lake)
        refresh_shared_views(self._con, self._place.lake, [sealed])

    def _store(self, signal: Signal, table: pa.Table) -> None:
        typed_table, packed_table = SEALED[signal.label].table, SEALED[signal.label].packed_table
        if _PACKED in table.column_names:
            is_packed = table[_PACKED]
            table = table.drop_columns([_PACKED])
            insert_rows(self._con, packed_table, self._batch_id, pack(table.filter(is_packed)))
            table = table.filter(pc.invert(is_packed))
        insert_rows(self._con, typed_table, self._batch_id, table)


def alike(parts: list[Rows]) -> list[Rows]:
    """Rows for hot files as few tables, each of one schema.

    Suspects are then also the spans of an earlier part that a later one repeats: they are in no view yet.
    """
    if not parts:
        return []
    try:
        aligned = align([rows.table for rows in parts])
    except Unlike:
        return parts if len(parts) == 1 else _halves(parts)
    table = pa.concat_tables(aligned).combine_chunks()
    return [Rows(table, _suspects(table, parts), is_shredded=True)]


def _halves(parts: list[Rows]) -> list[Rows]:
    half = len(parts) // 2
    return [*alike(parts[:half]), *alike(parts[half:])]


def _suspects(table: pa.Table, parts: list[Rows]) -> Places | None:
    places, begin = [], 0
    for rows in parts:
        if rows.suspects is None:
            return None
        places.append(rows.suspects + begin)
        begin += len(rows.table)
    found = np.concatenate(places)
    if len(found) == 0:
        return found
    traces = pc.is_in(table["trace_id"], value_set=table["trace_id"].take(arrow(found)).combine_chunks())
    spans = pc.is_in(table["span_id"], value_set=table["span_id"].take(arrow(found)).combine_chunks())
    return np.flatnonzero(np.asarray(pc.and_(traces, spans)))


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
