"""Finds spans of a batch that are already stored: a sender that gets no answer sends its request again.

A retry has the same content. Spans of one id that differ in kind, service or start are different spans, such
as Zipkin's CLIENT and SERVER of one call, and all are kept. A span may be sent early and again after its end;
of these two versions the one that ends later is kept.

Ids are compared in two steps. A 64-bit key of every recent span stays in memory (8 bytes each), and only a
span whose key is there, a retry or a rare collision, is a suspect that is looked up by its real ids. The
first step belongs to the thread that decodes, the second to the transaction that stores: a suspect's twin may
be a row that this very transaction stored before. Done by the landing thread, the first step was a tenth of
its CPU, and a fifth of its time, since each NumPy call waits for the interpreter anew.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from collector.decode.buffers import arrow, flags
from collector.decode.span_keys import Keys, span_keys
from collector.store.sqlfile import load_sql

# A retry older than this many spans is not recognised: 32 MB, half an hour at 2,000 spans/s and 26 s at
# 150,000/s, where senders back off for 5 s at most before their fifth attempt.
WINDOW_SPANS = 4_000_000
# Batches of which a new process knows the spans at most: 200 s at five batches a second.
BATCHES_MAX = 1_000
Places = npt.NDArray[np.int64]
_IDENTITY = ["trace_id", "span_id", "span_kind", "service_name", "start_time"]
_COMPARED = [
    *_IDENTITY,
    "duration_ns",
    "span_name",
    "parent_span_id",
    "status_code",
    "status_message",
]
_NOWHERE: Places = np.zeros(0, dtype=np.int64)


class RecentKeys:
    """The keys of the newest spans, in two generations of sorted runs; the older one is dropped whole."""

    def __init__(self, window_spans: int = WINDOW_SPANS) -> None:
        self._generation_spans = max(1, window_spans // 2)
        self._young: list[Keys] = []
        self._old: list[Keys] = []

    def suspects(self, keys: Keys) -> Places:
        """Places in `keys` of keys that are known already, or occur twice; afterwards all keys are known."""
        # Sorted keys walk through each run in order: 0.09 µs a key instead of 0.23 with 2 M known ones.
        ordered = np.sort(keys)
        repeated = ordered[1:][ordered[1:] == ordered[:-1]]
        suspicious = np.concatenate([ordered[self.contains(ordered)], repeated])
        self.add(ordered)
        return np.flatnonzero(np.isin(keys, suspicious)) if len(suspicious) else _NOWHERE

    def __len__(self) -> int:
        """How many keys are remembered."""
        return sum(map(len, (*self._young, *self._old)))

    def contains(self, keys: Keys) -> npt.NDArray[np.bool_]:
        found = np.zeros(len(keys), dtype=bool)
        for run in (*self._young, *self._old):
            place = np.minimum(np.searchsorted(run, keys), len(run) - 1)
            found |= run[place] == keys
        return found

    def add(self, keys: Keys) -> None:
        if len(keys) == 0:
            return
        run = np.sort(keys)
        # Runs grow geometrically from the newest to the oldest, so there are few and merging stays cheap.
        while self._young and len(self._young[-1]) <= 2 * len(run):
            run = np.sort(np.concatenate([self._young.pop(), run]))
        self._young.append(run)
        if sum(map(len, self._young)) >= self._generation_spans:
            self._old, self._young = self._young, []


class Resolved(NamedTuple):
    """The rows of a batch to insert, and the rows to delete first."""

    spans: pa.Table
    duplicate_count: int = 0  # retries, and versions older than what is stored
    replaced_count: int = 0  # spans of which a later version came
    outdated: pa.Table | None = None  # columns `_IDENTITY` of stored rows that a later version replaces


def resolve(spans: pa.Table, suspects: Places | None, con: duckdb.DuckDBPyConnection) -> Resolved:
    """Of each span the newest version, when it is not stored already, as `con` sees it.

    Attributes are not compared: reading them would cost more than all else here.

    Args:
        suspects: the rows for which that has to be looked up; None: all.
    """
    places = np.arange(len(spans)) if suspects is None else suspects
    if len(places) == 0:
        return Resolved(spans)
    compared = spans.select(_COMPARED).take(arrow(places))
    newest: dict[tuple[Any, ...], _Version] = {}
    for row in _stored(compared, con):
        version = _Version(row)
        known = newest.get(version.identity)
        if known is None or version.end >= known.end:
            newest[version.identity] = version
    keep = np.ones(len(spans), dtype=bool)
    outdated: list[int] = []
    replaced_count = 0
    rows = zip(*(_plain(column) for column in compared.columns), strict=True)
    for number, (place, row) in enumerate(zip(places, rows, strict=True)):
        version = _Version(row, int(place))
        known = newest.get(version.identity)
        if known is not None and (version.content == known.content or version.end < known.end):
            keep[place] = False
            continue
        if known is not None:
            replaced_count += 1
            if known.place is None:
                outdated.append(number)
            else:
                keep[known.place] = False
        newest[version.identity] = version
    return Resolved(
        spans.filter(flags(keep)),
        int(np.count_nonzero(~keep)) - (replaced_count - len(outdated)),
        replaced_count,
        compared.select(_IDENTITY).take(pa.array(outdated)) if outdated else None,
    )


class _Version:
    """One version of a span."""

    __slots__ = ("content", "end", "identity", "place")

    def __init__(self, row: tuple[Any, ...], place: int | None = None) -> None:
        self.identity = row[: len(_IDENTITY)]
        self.content = row[len(_IDENTITY) :]
        self.end = row[len(_IDENTITY)]  # the duration: versions have the same start
        self.place = place


def _plain(column: pa.ChunkedArray) -> list[Any]:
    is_time = pa.types.is_timestamp(column.type)
    values: list[Any] = (column.cast(pa.int64()) if is_time else column).to_pylist()
    return values


def load_recent(con: duckdb.DuckDBPyConnection, window_spans: int = WINDOW_SPANS) -> RecentKeys:
    """The keys of the newest stored spans, for a process that starts; sealing may have moved some already.

    Whole batches from the newest on, as long as they hold at most a quarter of the window.
    """
    recent = RecentKeys(window_spans)
    ((newest,),) = con.execute("SELECT traces_batch_id FROM landing_position").fetchall()
    # Constants rather than parameters: the view then does not even open files of other batches.
    counted = load_sql("collector.store.queries", "newest_batches").format(after=newest - BATCHES_MAX)
    ((first,),) = con.execute(counted, [window_spans // 4]).fetchall()
    first_batch = newest if first is None else first
    spans = con.sql(
        f"SELECT trace_id, span_id, span_kind FROM spans WHERE batch_id >= {first_batch}"  # noqa: S608  # a number
    ).to_arrow_table()
    recent.add(span_keys(spans))
    return recent


def _stored(compared: pa.Table, con: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    con.register("suspects", compared.select(["trace_id", "span_id"]))
    try:
        return con.execute(load_sql("collector.store.queries", "suspected_spans")).fetchall()
    finally:
        con.unregister("suspects")


def delete_outdated(outdated: pa.Table, con: duckdb.DuckDBPyConnection) -> None:
    """Delete versions of spans that are replaced, unless they are sealed: then both versions stay."""
    con.register("outdated", outdated)
    try:
        for table in ("spans_recent", "spans_packed"):
            con.execute(load_sql("collector.store.queries", "delete_outdated_spans").format(table=table))
    finally:
        con.unregister("outdated")
