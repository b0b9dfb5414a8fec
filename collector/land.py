"""Spool to store, exactly once: rows and the spool position they came from share a transaction."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from time import monotonic, time_ns
from typing import NamedTuple

import duckdb
import pyarrow as pa

from collector.batch import Batch, BatchReader, Tables, decode_records, read_batch
from collector.segment import DamagedRecord, Position, Record
from collector.signals import Signal
from collector.spool import Spool
from collector.store.dedupe import RecentKeys, load_recent, without_duplicates
from collector.store.sqlfile import load_sql
from collector.store.store import Store

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
            interval_ms: least time between two landings, so that small requests share one.
            max_bytes: payload bytes that land in one transaction; ends the gathering early.
        """
        self._store = store
        self._spool = spool
        self._max_bytes = max_bytes
        self._clock_ns = clock_ns
        self._quarantine_folder = store.folder / "quarantine"
        self._position, self.totals = read_position(store)
        self._recent = _recent_keys(store)
        self._reader = BatchReader(spool, self._position, interval_s=interval_ms / 1000, max_bytes=max_bytes)
        self._stopping = threading.Event()
        self._failure = ""
        self._landing_since_s: float | None = None
        self._last_lag_s = 0.0
        self._thread = threading.Thread(target=self._loop, name="landing", daemon=True)

    def start(self) -> None:
        self._reader.start()
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Land what the spool holds, for at most `timeout_s`; what remains lands at the next start."""
        self._stopping.set()
        self._reader.finish()
        self._thread.join(timeout_s)
        self._reader.abandon()

    def status(self) -> dict[str, object]:
        """Newest batch that holds spans (what detection's position reaches), lag in seconds, and the reason
        landing fails, empty when it does not."""
        waiting = [s for s in (self._landing_since_s, self._reader.noticed_s) if s is not None]
        running_s = monotonic() - min(waiting) if waiting else 0.0
        return {
            "batch_id": self.totals.traces_batch_id,
            "lag_s": round(max(running_s, self._last_lag_s), 3),
            "failure": self._failure or self._reader.failure,
        }

    def land_available(self) -> int:
        """Land what is durable now, up to `max_bytes`; returns the number of records. Not while started."""
        batch = read_batch(self._spool, self._position, self._max_bytes, monotonic())
        if batch is None:
            return 0
        self._land(batch.records, batch.end, batch.tables)
        return len(batch.records)

    def _loop(self) -> None:
        while (batch := self._reader.next()) is not None:
            self._landing_since_s = batch.noticed_s
            if not self._land_persistently(batch):
                return
            self._last_lag_s = monotonic() - batch.noticed_s
            self._landing_since_s = None

    def _land_persistently(self, batch: Batch) -> bool:
        """Try until it has landed; False when the lander must stop before that."""
        retry_s = RETRY_FIRST_S
        records, tables = batch.records, batch.tables
        while True:
            try:
                self._land(records, batch.end, tables)
            except Exception as error:  # acknowledged spans wait in the spool: say it and try again
                self._failure = str(error).partition("\n")[0]
                log.exception("landing failed; trying again in %.2f s", retry_s)
                if self._stopping.wait(retry_s):
                    return False
                retry_s = min(2 * retry_s, RETRY_LAST_S)
                if self._position > records[0].position:  # a half of it did land
                    records = [record for record in records if record.position >= self._position]
                    tables = None
            else:
                self._failure = ""
                return True

    def _land(
        self, records: Sequence[Record | DamagedRecord], end: Position, tables: Tables | None = None
    ) -> None:
        """Land all, or, when something among them cannot be stored, all but that."""
        try:
            self._commit(decode_records(records) if tables is None else tables, end, len(records))
        except _MACHINE_FAULTS:
            raise
        except (ValueError, pa.ArrowException, duckdb.Error) as error:
            if len(records) == 1:
                self._quarantine(records[0], str(error))
                self._commit({}, end, 1, quarantined_count=1)
                return
            half = len(records) // 2
            self._land(records[:half], records[half].position)
            self._land(records[half:], end)

    def _commit(
        self, tables: Tables, end: Position, record_count: int, *, quarantined_count: int = 0
    ) -> None:
        counts = dict.fromkeys(Signal, 0)
        duplicate_count = 0
        batch_id = self.totals.batch_id + 1
        with self._store.transaction() as con:
            for signal, decoded in tables.items():
                for table in decoded:
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
        self._spool.release(end, record_count)
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
