"""Spool records to the Arrow tables of one landing, read and decoded ahead of the inserts.

DuckDB releases the GIL while it inserts. So a thread prepares the next batch while the last one lands; while
there is much to decode, a process of its own decodes it. This keeps both cores busy.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import NamedTuple

import pyarrow as pa

from collector.decode.buffers import Bools
from collector.decode.paths import rows_with_others
from collector.decode.process import Decoder
from collector.decode.records import SHREDDABLE, Decoded, payload_bytes
from collector.decode.traces import decode_traces
from collector.landing.insert import Rows, Tables
from collector.landing.lag import LagWatch
from collector.signals import Signal
from collector.store.dedupe import RecentKeys
from collector.store.typed_paths import TypedPaths
from collector.wal.segment import DamagedRecord, Position, Record
from collector.wal.spool import Spool

_RETRY_S = 0.5
WARM_UP_DELAY_S = 2.0

log = logging.getLogger(__name__)

Records = Sequence[Record | DamagedRecord]


class Batch(NamedTuple):
    """Neighbouring records of the spool, and what to insert for them."""

    records: Records
    end: Position  # where they end
    tables: Tables | None  # None: at least one record cannot be decoded
    noticed_s: float  # monotonic time at which its first record was seen


def read_batch(
    spool: Spool, decode: Callable[[Records], Tables], position: Position, max_bytes: int, noticed_s: float
) -> Batch | None:
    """The durable records after `position`, about `max_bytes`, decoded; None when there are none."""
    records, end = spool.read(position, max_bytes)
    if not records:
        return None
    try:
        tables: Tables | None = decode(records)
    except (ValueError, pa.ArrowException):
        tables = None  # landing decodes again, in halves, to find the bad record
    return Batch(records, end, tables, noticed_s)


def to_insert(
    decoded: dict[Signal, list[Decoded]],
    typed: Mapping[Signal, TypedPaths],
    recent: RecentKeys | None = None,
) -> Tables:
    """The same tables, with the rows that are stored packed, and the spans that `recent` knows or saw twice.

    Args:
        typed: take note of the paths.
        recent: knows all the spans then; None: any span may be stored already.
    """
    return {
        signal: [
            Rows(
                part.table,
                None if part.keys is None or recent is None else recent.suspects(part.keys),
                None if part.is_shredded else _packed(part, typed[signal]),
                part.is_shredded,
            )
            for part in parts
        ]
        for signal, parts in decoded.items()
    }


def _packed(part: Decoded, typed: TypedPaths) -> Bools | None:
    known = typed.admit(part.paths)
    return None if known is None else rows_with_others(part.table, known)


class BatchReader:
    """The thread that stays at most one batch ahead of landing."""

    def __init__(
        self,
        spool: Spool,
        recent: RecentKeys,
        typed: Mapping[Signal, TypedPaths],
        position: Position,
        *,
        interval_s: float,
        max_bytes: int,
        hot_bytes: int = 0,
    ) -> None:
        """
        Args:
            hot_bytes: spans, or logs, of so many payload bytes in one read are for a hot file; 0: never.
            recent: spans that are stored; from now on this thread's own.
            position: where the first batch begins.
            interval_s: least time between the beginnings of two reads, so that small requests share one.
            max_bytes: payload bytes that end the gathering early.
        """
        self._spool = spool
        self._recent, self._typed = recent, typed
        self._decoder = Decoder()
        self._position = position
        self._interval_s = interval_s
        self._max_bytes = max_bytes
        self._hot_bytes = hot_bytes
        self._ready: queue.Queue[Batch | None] = queue.Queue(maxsize=1)
        self._finishing = threading.Event()
        self._abandoned = threading.Event()
        self.failure = ""  # why the spool cannot be read; empty when it can
        self.noticed_s: float | None = None  # since when records have been waiting to be decoded
        self.lag = LagWatch()
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
            self._ready.put(None)  # a later call raises the same error
        return batch

    def _loop(self) -> None:
        try:
            self._read_all()
        finally:
            self._decoder.close()

    def _read_all(self) -> None:
        read_s = 0.0
        # pyarrow imports pandas at its first call, half a second that no span should wait for; nor the start.
        self._spool.wait_beyond(self._position, WARM_UP_DELAY_S)
        decode_traces([b""])
        while not self._abandoned.is_set():
            self._note_lag()
            if not self._spool.wait_beyond(self._position, 0.1):
                self._decoder.rest()
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
                batch = read_batch(self._spool, self._decode, self._position, self._max_bytes, noticed_s)
                self.failure = ""
            except Exception as error:  # the thread survives; /readyz shows it until a read succeeds
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

    def _decode(self, records: Records) -> Tables:
        shred = [signal for signal in SHREDDABLE if 0 < self._hot_bytes <= payload_bytes(records, signal)]
        try:
            decoded = self._decoder.decode(records, shred=shred)
        except (ValueError, pa.ArrowException):  # a bad record, which landing looks for
            raise
        except Exception:  # a fault of ours in shredding: nothing need wait for its mending
            if not shred:
                raise
            log.exception("what comes fast cannot be shredded; it lands like what comes slowly")
            decoded = self._decoder.decode(records)
        return to_insert(decoded, self._typed, self._recent)

    def _note_lag(self) -> None:
        backlog = self._spool.status()["bytes"]
        assert isinstance(backlog, int)
        self.lag.note(monotonic(), self._spool.end, backlog)

    def _deliver(self, batch: Batch | None) -> None:
        while not self._abandoned.is_set():
            self._note_lag()
            try:
                self._ready.put(batch, timeout=0.2)
                return
            except queue.Full:
                continue
