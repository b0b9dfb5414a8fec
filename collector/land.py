"""Spool to store, exactly once: rows and the spool position they came from share a transaction."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from time import monotonic, time_ns
from typing import NamedTuple

import duckdb
import pyarrow as pa

from collector.decode.logs import decode_logs
from collector.decode.metrics import decode_metrics
from collector.decode.traces import decode_traces
from collector.segment import DamagedRecord, Position, Record
from collector.signals import Signal
from collector.spool import Spool
from collector.store.dedupe import RecentKeys, load_recent, without_duplicates
from collector.store.sqlfile import load_sql
from collector.store.store import Store

# ptars holds the GIL for a whole call: 1 MiB is about 3,000 spans and 8 ms in which nobody else runs.
DECODE_BYTES_MAX = 1024 * 1024
RETRY_FIRST_S, RETRY_LAST_S = 0.25, 5.0
# Faults of the machine, not of the data: wait and try again. All others are the batch's own.
_MACHINE_FAULTS = (
    duckdb.IOException,
    duckdb.OutOfMemoryException,
    duckdb.TransactionException,
    duckdb.InternalException,
    duckdb.FatalException,
    duckdb.ConnectionException,
    duckdb.InterruptException,
)

_TABLES = {Signal.TRACES: "spans_recent", Signal.LOGS: "logs_recent", Signal.METRICS: "metrics_recent"}

log = logging.getLogger(__name__)


class Totals(NamedTuple):
    """What has landed since the database was made."""

    batch_id: int
    traces_batch_id: int
    spans: int
    logs: int
    metric_points: int
    duplicate_spans: int
    quarantined_records: int


class Lander:
    """The one thread that writes telemetry into the store."""

    name = "landing"

    def __init__(
        self,
        store: Store,
        spool: Spool,
        *,
        interval_ms: int,
        max_bytes: int,
        clock_ns: Callable[[], int] = time_ns,
    ) -> None:
        """
        Args:
            interval_ms: how long records gather before they land together.
            max_bytes: payload bytes that land in one transaction; ends the gathering early.
        """
        self._store = store
        self._spool = spool
        self._interval_s = interval_ms / 1000
        self._max_bytes = max_bytes
        self._clock_ns = clock_ns
        self._quarantine_folder = store.folder / "quarantine"
        self._position, self.totals = read_position(store)
        self._recent = _recent_keys(store)
        self._stopping = threading.Event()
        self._failure = ""
        self._gathering_since_s: float | None = None
        self._last_lag_s = 0.0
        self._thread = threading.Thread(target=self._loop, name="landing", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Land what the spool holds, for at most `timeout_s`; what remains lands at the next start."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def status(self) -> dict[str, object]:
        """Newest batch that holds spans (what detection's position reaches), lag in seconds, and the reason
        landing fails, empty when it does not."""
        since_s = self._gathering_since_s
        running_s = monotonic() - since_s if since_s is not None else 0.0
        return {
            "batch_id": self.totals.traces_batch_id,
            "lag_s": round(max(running_s, self._last_lag_s), 3),
            "failure": self._failure,
        }

    def land_available(self) -> int:
        """Land what is durable now, up to `max_bytes`; returns the number of records."""
        records, end = self._spool.read(self._position, self._max_bytes)
        if records:
            self._land(records, end)
        return len(records)

    def _loop(self) -> None:
        retry_s = RETRY_FIRST_S
        while True:
            if not self._spool.wait_readable(0.1):
                if self._stopping.is_set():
                    return
                continue
            self._gathering_since_s = monotonic()
            if not self._stopping.is_set():
                self._spool.wait_readable(self._interval_s, self._max_bytes)
            try:
                self.land_available()
                self._failure, retry_s = "", RETRY_FIRST_S
            except Exception as error:
                self._failure = str(error).partition("\n")[0]
                log.exception("landing failed; trying again in %.2f s", retry_s)
                if self._stopping.wait(retry_s):
                    return
                retry_s = min(2 * retry_s, RETRY_LAST_S)
            else:
                self._last_lag_s = monotonic() - self._gathering_since_s
                self._gathering_since_s = None

    def _land(self, records: Sequence[Record | DamagedRecord], end: Position) -> None:
        """Land all, or, when something among them cannot be stored, all but that."""
        try:
            self._commit(records, end, quarantined_count=0)
        except _MACHINE_FAULTS:
            raise
        except (ValueError, pa.ArrowException, duckdb.Error) as error:
            if len(records) == 1:
                self._quarantine(records[0], str(error))
                self._commit([], end, quarantined_count=1)
                return
            half = len(records) // 2
            self._land(records[:half], records[half].position)
            self._land(records[half:], end)

    def _commit(
        self, records: Sequence[Record | DamagedRecord], end: Position, *, quarantined_count: int
    ) -> None:
        counts = dict.fromkeys(Signal, 0)
        duplicate_count = 0
        batch_id = self.totals.batch_id + 1
        with self._store.transaction() as con:
            for signal, payloads in _chunks(records):
                for table in _decode(signal, payloads):
                    rows = without_duplicates(table, self._recent, con) if signal is Signal.TRACES else table
                    duplicate_count += table.num_rows - rows.num_rows
                    counts[signal] += rows.num_rows
                    _insert(con, signal, batch_id, rows)
            old = self.totals
            totals = Totals(
                batch_id,
                batch_id if counts[Signal.TRACES] else old.traces_batch_id,
                old.spans + counts[Signal.TRACES],
                old.logs + counts[Signal.LOGS],
                old.metric_points + counts[Signal.METRICS],
                old.duplicate_spans + duplicate_count,
                old.quarantined_records + quarantined_count,
            )
            con.execute(
                load_sql("collector.store.queries", "set_position"), [*end, self._clock_ns(), *totals]
            )
        self._position, self.totals = end, totals
        self._spool.release(end, len(records) or quarantined_count)
        self._store.announce_landed(totals.traces_batch_id)

    def _quarantine(self, record: Record | DamagedRecord, reason: str) -> None:
        """Keep what cannot be stored where a person can look at it. Its name makes a replay idempotent."""
        self._quarantine_folder.mkdir(parents=True, exist_ok=True)
        segment_id, offset_bytes = record.position
        path = self._quarantine_folder / f"{segment_id:016d}-{offset_bytes}.{_suffix(record)}"
        path.write_bytes(self._spool.raw(record))
        log.error("quarantined %s: %s", path.name, reason)


def read_position(store: Store) -> tuple[Position, Totals]:
    """Where landing has come to in the spool, and its totals."""
    (row,) = store.read(load_sql("collector.store.queries", "get_position")).to_pylist()
    position = Position(row.pop("segment_id"), row.pop("segment_offset_bytes"))
    return position, Totals(*row.values())


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


def _insert(con: duckdb.DuckDBPyConnection, signal: Signal, batch_id: int, rows: pa.Table) -> None:
    con.register("decoded", rows)
    try:
        con.execute(
            f"INSERT INTO {_TABLES[signal]} BY NAME SELECT ?::BIGINT AS batch_id, * FROM decoded",  # noqa: S608  # constant names
            [batch_id],
        )
    finally:
        con.unregister("decoded")


def _recent_keys(store: Store) -> RecentKeys:
    cursor = store.cursor()
    try:
        return load_recent(cursor)
    finally:
        cursor.close()


def _suffix(record: Record | DamagedRecord) -> str:
    if isinstance(record, DamagedRecord):
        return "damaged"
    labels = {int(signal): signal.label for signal in Signal}
    return f"{labels.get(record.signal, f'signal-{record.signal}')}.otlp"
