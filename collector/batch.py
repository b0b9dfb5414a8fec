"""Spool records to the Arrow tables of one landing, read and decoded ahead of the inserts.

Decoding and inserting take about the same time, and DuckDB lets go of the GIL while it inserts: a thread that
prepares the next batch while the last one lands keeps both cores at work.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator, Sequence
from itertools import groupby
from time import monotonic
from typing import NamedTuple

import pyarrow as pa

from collector.decode.logs import decode_logs
from collector.decode.metrics import decode_metrics
from collector.decode.traces import decode_traces
from collector.insert import Rows, Tables
from collector.segment import DamagedRecord, Position, Record
from collector.signals import Signal
from collector.spool import Spool
from collector.store.dedupe import RecentKeys, span_keys

# ptars holds the GIL for a whole call: 2 MiB is about 6,700 spans and 9 ms in which nobody else runs. A call
# costs 2 ms whatever it holds; CPU a span: 3.5 µs at 0.7 MiB, 3.1 at 1, 2.8 at 2, 2.7 at 4 MiB.
DECODE_BYTES_MAX = 2 * 1024 * 1024
_RETRY_S = 0.5
WARM_UP_DELAY_S = 2.0

log = logging.getLogger(__name__)


class Batch(NamedTuple):
    """Neighbouring records of the spool, and what to insert for them."""

    records: Sequence[Record | DamagedRecord]
    end: Position  # where they end
    tables: Tables | None  # None: at least one record cannot be decoded
    noticed_s: float  # monotonic time at which its first record was seen


def read_batch(
    spool: Spool, recent: RecentKeys, position: Position, max_bytes: int, noticed_s: float
) -> Batch | None:
    """The durable records after `position`, about `max_bytes`, decoded; None when there are none."""
    records, end = spool.read(position, max_bytes)
    if not records:
        return None
    try:
        tables: Tables | None = with_suspects(decode_records(records), recent)
    except (ValueError, pa.ArrowException):
        tables = None  # landing decodes again, in halves, to find which one
    return Batch(records, end, tables, noticed_s)


def decode_records(records: Sequence[Record | DamagedRecord]) -> Tables:
    """The tables of each signal; few large ones, since every insert has a price of its own.

    Raises:
        ValueError: one of the records is damaged, of no known signal, or no valid protobuf.
    """
    decoded: dict[Signal, list[pa.Table]] = {}
    for signal, payloads in _chunks(records):
        decoded.setdefault(signal, []).extend(_decode(signal, payloads))
    return {signal: [Rows(table) for table in _joined(tables)] for signal, tables in decoded.items()}


def with_suspects(tables: Tables, recent: RecentKeys) -> Tables:
    """The same, and which spans `recent` knows or has had twice; it then knows them all."""
    spans = [
        Rows(rows.table, recent.suspects(span_keys(rows.table))) for rows in tables.get(Signal.TRACES, [])
    ]
    return {**tables, Signal.TRACES: spans} if spans else tables


def payload_bytes(records: Sequence[Record | DamagedRecord]) -> int:
    """What the requests of these records weigh."""
    return sum(len(record.payload) for record in records if isinstance(record, Record))


class BatchReader:
    """The thread that stays at most one batch ahead of landing."""

    def __init__(
        self, spool: Spool, recent: RecentKeys, position: Position, *, interval_s: float, max_bytes: int
    ) -> None:
        """
        Args:
            recent: spans that are stored; from now on this thread's own.
            position: where the first batch begins.
            interval_s: least time between the beginnings of two reads, so that small requests share one.
            max_bytes: payload bytes that end the gathering early.
        """
        self._spool = spool
        self._recent = recent
        self._position = position
        self._interval_s = interval_s
        self._max_bytes = max_bytes
        self._ready: queue.Queue[Batch | None] = queue.Queue(maxsize=1)
        self._finishing = threading.Event()
        self._abandoned = threading.Event()
        self.failure = ""  # why the spool cannot be read; empty when it can
        self.noticed_s: float | None = None  # since when something waits to be decoded
        self._thread = threading.Thread(target=self._loop, name="decoding", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Deliver what is durable now, without gathering, and then None."""
        self._finishing.set()

    def abandon(self) -> None:
        """Deliver nothing more."""
        self._abandoned.set()

    def next(self, timeout_s: float | None = None) -> Batch | None:
        """The next batch, in order, once there is one; None after the last, or when the time is over."""
        try:
            batch = self._ready.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if batch is None:
            self._ready.put(None)  # whoever asks again is told again
        return batch

    def _loop(self) -> None:
        read_s = 0.0
        # pyarrow imports pandas at its first call, half a second that no span should wait for; nor the start.
        self._spool.wait_beyond(self._position, WARM_UP_DELAY_S)
        decode_traces([b""])
        while not self._abandoned.is_set():
            if not self._spool.wait_beyond(self._position, 0.1):
                if self._finishing.is_set():
                    self._deliver(None)
                    return
                continue
            self.noticed_s = noticed_s = monotonic()
            pause_s = read_s + self._interval_s - noticed_s
            if pause_s > 0 and not self._finishing.is_set():
                self._spool.wait_beyond(self._position, pause_s, self._max_bytes)
            read_s = monotonic()
            try:
                batch = read_batch(self._spool, self._recent, self._position, self._max_bytes, noticed_s)
                self.failure = ""
            except Exception as error:  # the thread must outlive it: /readyz shows it until a read succeeds
                self.failure = str(error)
                log.exception("the spool cannot be read; trying again in %.1f s", _RETRY_S)
                if self._finishing.wait(_RETRY_S):
                    self._deliver(None)
                    return
                continue
            if batch is not None:
                self._position = batch.end
                self._deliver(batch)
            self.noticed_s = None

    def _deliver(self, batch: Batch | None) -> None:
        while not self._abandoned.is_set():
            try:
                self._ready.put(batch, timeout=0.2)
                return
            except queue.Full:
                continue


def _chunks(records: Sequence[Record | DamagedRecord]) -> Iterator[tuple[Signal, list[bytes]]]:
    """Neighbours of one signal together, as many as one decode call should hold."""
    size_bytes = 0
    chunk_number = 0

    def chunk_of(record: Record | DamagedRecord) -> tuple[Signal, int]:
        nonlocal size_bytes, chunk_number
        if isinstance(record, DamagedRecord):
            raise ValueError(f"{record.size_bytes} bytes of the spool are damaged")
        size_bytes += len(record.payload)
        if size_bytes > DECODE_BYTES_MAX:
            size_bytes, chunk_number = len(record.payload), chunk_number + 1
        return Signal(record.signal), chunk_number

    by_signal = sorted(records, key=lambda record: getattr(record, "signal", 0))
    for (signal, _), group in groupby(by_signal, key=chunk_of):
        yield signal, [record.payload for record in group if isinstance(record, Record)]


def _decode(signal: Signal, payloads: list[bytes]) -> list[pa.Table]:
    match signal:
        case Signal.TRACES:
            return [decode_traces(payloads)]
        case Signal.LOGS:
            return [decode_logs(payloads)]
        case Signal.METRICS:
            return decode_metrics(payloads)


def _joined(tables: list[pa.Table]) -> list[pa.Table]:
    """Tables of equal columns as one; metrics have one form for each kind.

    One chunk, so that DuckDB inserts in one thread: of several, each thread gathers rows apart, which are
    then copied together. CPU a span of the insert: 5.4 µs in chunks, 5.0 in one; joining costs 0.1.
    """
    by_form: dict[tuple[str, ...], list[pa.Table]] = {}
    for table in tables:
        by_form.setdefault(tuple(table.column_names), []).append(table)
    return [pa.concat_tables(group).combine_chunks() for group in by_form.values()]
