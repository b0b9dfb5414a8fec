"""Lands spool records in the store exactly once: rows and their spool position share a transaction.

While landing is behind, pieces of the spool follow each other into one transaction. From a row group
(122,880 rows) on, DuckDB then writes compressed row groups straight into its file, instead of the rows into
its log and, at the next checkpoint, once more into the file. CPU a span of insert and commit: 6.7 µs with
102,400 rows a transaction, 4.9 with 204,800. The pieces stay small, which bounds memory.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, time_ns

import duckdb
import pyarrow as pa

from collector.decode.records import SHREDDABLE, decode_records, payload_bytes
from collector.landing.batch import Batch, BatchReader, Records, read_batch, to_insert
from collector.landing.checkpoints import Checkpoints
from collector.landing.insert import Insertion, Place, Tables, Totals
from collector.signals import Signal
from collector.store.dedupe import RecentKeys, load_recent
from collector.store.faults import MACHINE_FAULTS
from collector.store.hot import has_files
from collector.store.interrupt import interrupt_until_end
from collector.store.lake import SEALED_SIGNALS
from collector.store.sqlfile import load_sql
from collector.store.store import Store
from collector.store.typed_paths import TypedPaths, load_typed_paths
from collector.wal.segment import DamagedRecord, Position, Record
from collector.wal.spool import Spool

# Payload bytes that are read, decoded and inserted at once; three of them are under way. CPU a span of the
# insert: 5.1 µs with 12,800 rows (4 MiB), 5.0 with 25,600, 4.8 with 51,200. Arrow holds 120 MB at 8 MiB.
PIECE_BYTES_MAX = 4 * 1024 * 1024
# Two of DuckDB's row groups. A transaction ends just below them: a last row group of a few rows would be
# stored without shredding, and one of less than half a group would be merged at some checkpoint.
ROWS_MAX = 2 * 122_880
# Of a hot file: so many rows, or what comes within so long.
HOT_ROWS = 200_000
HOT_GATHER_S = 1.0
_NEXT_PIECE_TIMEOUT_S = 0.5
RETRY_FIRST_S, RETRY_LAST_S = 0.25, 5.0
INTERRUPT_TIMEOUT_S = 1.0  # for an interrupted transaction to end
_LOOK_INTERVAL_S = 60.0  # rows leave by the hour

log = logging.getLogger(__name__)


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
        hot_bytes: int = 0,
        clock_ns: Callable[[], int] = time_ns,
    ) -> None:
        """
        Args:
            hot_bytes: payload bytes of an interval from which on spans go to hot files; 0: never.
            interval_ms: least time between two landings, so that small requests share one.
            max_bytes: payload bytes that land in one transaction, about.
        """
        self._store = store
        self._spool = spool
        self._max_bytes = max_bytes
        self._hot_bytes = hot_bytes
        self._place = Place(store.folder, store.lake)
        self._clock_ns = clock_ns
        self._quarantine_folder = store.folder / "quarantine"
        self.position, self.totals = read_position(store)
        self._checkpoints = Checkpoints(store, spool, self.position)
        self.replaced_spans = 0  # since the process began
        # The first is the decoding thread's once that has started.
        self._recent, self.typed = _remembered(store)
        self._piece_bytes = min(max_bytes, PIECE_BYTES_MAX)
        self._reader = BatchReader(
            spool,
            self._recent,
            self.typed,
            self.position,
            interval_s=interval_ms / 1000,
            max_bytes=self._piece_bytes,
            hot_bytes=hot_bytes,
        )
        self._stopping = threading.Event()
        self._working: duckdb.DuckDBPyConnection | None = None
        self._failure = ""
        self._landing_since_s: float | None = None
        self._last_lag_s = 0.0
        self._thread = threading.Thread(target=self._loop, name="landing", daemon=True)

    def start(self) -> None:
        self._reader.start()
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Land what the spool holds, for at most `timeout_s`; what remains lands at the next start.

        A transaction that takes longer is rolled back.
        """
        self._stopping.set()
        self._reader.finish()
        self._thread.join(timeout_s)
        self._reader.abandon()
        interrupt_until_end(self._thread, lambda: self._working, INTERRUPT_TIMEOUT_S)

    @property
    def is_busy(self) -> bool:
        """Whether its thread is still at work."""
        return self._thread.is_alive()

    def status(self) -> dict[str, object]:
        """Newest batch that holds spans (what detection's position reaches), lag in seconds, and the reason
        landing fails or does not catch up, empty when neither."""
        now_s = monotonic()
        waiting = [s for s in (self._landing_since_s, self._reader.noticed_s) if s is not None]
        running_s = now_s - min(waiting) if waiting else 0.0
        lag = self._reader.lag
        return {
            "batch_id": self.totals.traces_batch_id,
            "lag_s": round(max(running_s, self._last_lag_s, lag.lag_s(now_s, self.position)), 3),
            "failure": self._failure or self._reader.failure or lag.failure(now_s, self.position),
        }

    def land_available(self, *, shred: bool = False) -> int:
        """Land one piece of what is durable now; returns the number of its records. Not while started."""

        def decode(records: Records) -> Tables:
            signals = SHREDDABLE if shred else ()
            return to_insert(decode_records(records, shred=signals), self.typed, self._recent)

        batch = read_batch(self._spool, decode, self.position, self._piece_bytes, monotonic())
        if batch is None:
            return 0
        self._land(batch.records, batch.end, batch.tables)
        return len(batch.records)

    def look_for_room(self) -> None:
        """Free the places of paths whose rows have all been sealed or deleted."""
        for signal in SEALED_SIGNALS:
            paths = self.typed[Signal[signal.label.upper()]]
            if paths.is_crowded:
                query = f"SELECT min(batch_id) AS oldest FROM {signal.table}"  # noqa: S608  # constant name
                oldest = self._store.read(query)["oldest"][0].as_py()
                paths.oldest_is(self.totals.batch_id + 1 if oldest is None else oldest)

    def _loop(self) -> None:
        look_s = 0.0
        while (batch := self._reader.next()) is not None:
            self._landing_since_s = batch.noticed_s
            if not self._land_persistently(batch):
                return
            self._last_lag_s = monotonic() - batch.noticed_s
            if monotonic() > look_s:
                look_s = monotonic() + _LOOK_INTERVAL_S
                self.look_for_room()
            self._landing_since_s = None

    def _land_persistently(self, first: Batch) -> bool:
        """Land `first` and what follows closely. Try until it has landed; False when the lander must stop
        before that."""
        taken = [first.end]
        retry_s = RETRY_FIRST_S
        while True:
            try:
                if len(taken) == 1 and self.position <= first.records[0].position:
                    self._land_together(first, taken)
                self._land_singly(taken[-1])
            except Exception as error:  # acknowledged spans wait in the spool: say it and try again
                self._failure = str(error).partition("\n")[0]
                log.exception("landing failed; trying again in %.2f s", retry_s)
                if self._stopping.wait(retry_s):
                    return False
                retry_s = min(2 * retry_s, RETRY_LAST_S)
            else:
                self._failure = ""
                return True

    def _land_together(self, first: Batch, taken: list[Position]) -> None:
        """Land `first`, and while landing is behind also the pieces that follow it, in one transaction.

        Returns without having landed anything when one of the records cannot be stored.

        Args:
            taken: gets the end of each piece that was taken from the reader.
        """
        batch, size_bytes, record_count, row_count = first, 0, 0, 0
        gathered = self._gathered(first, taken) if _is_hot(first) else [first]
        may_be_hot = _is_hot(first) or self._is_behind(first.end)  # a whole piece is hot
        may_follow = may_be_hot or not self._hot_bytes
        try:
            with self._transaction(hot=may_be_hot) as con:
                insertion = Insertion(con, self.totals, self.typed, self._place, self._clock_ns)
                while True:
                    batch = gathered.pop(0) if gathered else batch
                    if batch.tables is None:
                        raise ValueError("a record cannot be decoded")
                    insertion.insert(batch.tables)
                    size_bytes += payload_bytes(batch.records)
                    record_count += len(batch.records)
                    piece_rows = _row_count(batch.tables)
                    row_count += piece_rows
                    if gathered:
                        continue
                    if size_bytes >= self._max_bytes or row_count + piece_rows > ROWS_MAX or _is_hot(first):
                        break
                    following = self._following(batch.end) if may_follow else None
                    if following is None:
                        break
                    batch = following
                    taken.append(batch.end)
                totals = insertion.set_position(batch.end, self._clock_ns())
        except MACHINE_FAULTS:
            raise
        except (ValueError, pa.ArrowException, duckdb.Error) as error:
            log.info("landing piece by piece: %s", error)
            return
        insertion.committed()
        self._landed(batch.end, totals, record_count, insertion.replaced_count)

    def _gathered(self, first: Batch, taken: list[Position]) -> list[Batch]:
        """`first`, what comes within a moment, and what waits while landing is behind.

        A hot file has many rows, and no transaction waits for them.
        """
        batches, row_count = [first], _row_count(first.tables or {})
        until_s = first.noticed_s + HOT_GATHER_S
        while row_count < HOT_ROWS and not self._stopping.is_set():
            remaining_s = until_s - monotonic()
            if remaining_s <= 0 and not self._is_behind(batches[-1].end):
                break
            batch = self._reader.next(remaining_s if remaining_s > 0 else _NEXT_PIECE_TIMEOUT_S)
            if batch is None:
                break
            batches.append(batch)
            taken.append(batch.end)
            row_count += _row_count(batch.tables or {})
        return batches

    def _following(self, end: Position) -> Batch | None:
        """The next piece if a whole one is waiting: landing is then behind and should not commit yet."""
        if self._stopping.is_set() or not self._is_behind(end):
            return None
        return self._reader.next(_NEXT_PIECE_TIMEOUT_S)

    def _is_behind(self, end: Position) -> bool:
        """Whether a whole piece waits after `end`."""
        return self._spool.wait_beyond(end, 0, self._piece_bytes)

    def _land_singly(self, end: Position) -> None:
        """Land the rest before `end`, each piece in its own transaction."""
        while self.position < end:
            records, _ = self._spool.read(self.position, self._piece_bytes)
            records = [record for record in records if record.position < end]
            if not records:
                raise OSError(f"the spool cannot be read at {self.position}")
            self._land(records, records[-1].end)

    def _land(self, records: Records, end: Position, tables: Tables | None = None) -> None:
        """Land all records; if some cannot be stored, all others."""
        try:
            if tables is None:
                tables = to_insert(decode_records(records), self.typed)
            self.commit(tables, end, len(records))
        except MACHINE_FAULTS:
            raise
        except (ValueError, pa.ArrowException, duckdb.Error) as error:
            if len(records) == 1:
                self._quarantine(records[0], str(error))
                self.commit({}, end, 1, quarantined_count=1)
                return
            half = len(records) // 2
            self._land(records[:half], records[half].position)
            self._land(records[half:], end)

    def commit(self, tables: Tables, end: Position, record_count: int, *, quarantined_count: int = 0) -> None:
        with self._transaction(hot=_has_shredded(tables)) as con:
            insertion = Insertion(con, self.totals, self.typed, self._place, self._clock_ns)
            insertion.insert(tables)
            totals = insertion.set_position(end, self._clock_ns(), quarantined_count=quarantined_count)
        insertion.committed()
        self._landed(end, totals, record_count, insertion.replaced_count)

    @contextmanager
    def _transaction(self, *, hot: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        """One that `stop` can end, its COMMIT included.

        Views are made anew for a new hot file, and for one that loses a span to a later version. Elsewhere
        landing does not wait for whoever makes views anew, as sealing does for seconds.
        """
        begin = self._store.view_transaction if hot or self._has_hot_files() else self._store.transaction
        try:
            with begin() as con:
                self._working = con
                yield con
        finally:
            self._working = None

    def _has_hot_files(self) -> bool:
        cursor = self._store.cursor()
        try:
            return has_files(cursor)
        finally:
            cursor.close()

    def _landed(self, end: Position, totals: Totals, record_count: int, replaced_count: int) -> None:
        self.position, self.totals = end, totals
        if replaced_count:
            self.replaced_spans += replaced_count
            log.info("%d spans came again with a later end; the later versions are kept", replaced_count)
        self._spool.release(end, record_count)
        self._checkpoints.landed(end)
        self._store.announce_landed(totals.traces_batch_id)

    def _quarantine(self, record: Record | DamagedRecord, reason: str) -> None:
        """Keep an unstorable record where a person can read it. Its name makes a replay idempotent."""
        self._quarantine_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        segment_id, offset_bytes = record.position
        path = self._quarantine_folder / f"{segment_id:016d}-{offset_bytes}.{_suffix(record)}"
        path.write_bytes(self._spool.raw(record))
        log.error("quarantined %s: %s", path.name, reason)


def read_position(store: Store) -> tuple[Position, Totals]:
    """The position of landing in the spool, and its totals."""
    (row,) = store.read(load_sql("collector.landing.queries", "get_position")).to_pylist()
    position = Position(row.pop("segment_id"), row.pop("segment_offset_bytes"))
    return position, Totals(*row.values())


def _is_hot(batch: Batch) -> bool:
    return _has_shredded(batch.tables or {})


def _has_shredded(tables: Tables) -> bool:
    return any(rows.is_shredded for decoded in tables.values() for rows in decoded)


def _row_count(tables: Tables) -> int:
    return sum(rows.table.num_rows for decoded in tables.values() for rows in decoded)


def _remembered(store: Store) -> tuple[RecentKeys, dict[Signal, TypedPaths]]:
    cursor = store.cursor()
    try:
        return load_recent(cursor), load_typed_paths(cursor)
    finally:
        cursor.close()


def _suffix(record: Record | DamagedRecord) -> str:
    if isinstance(record, DamagedRecord):
        return "damaged"
    labels = {int(signal): signal.label for signal in Signal}
    return f"{labels.get(record.signal, f'signal-{record.signal}')}.otlp"
