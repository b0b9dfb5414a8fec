"""Moves old hours to Parquet, joins the files of one hour, and deletes the oldest.

`collector/lake/moving.py` describes how rows move without being lost or seen twice.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from time import monotonic, time_ns
from typing import Any, NamedTuple

import duckdb

from collector.lake.compaction import (
    ROWS_PER_FILE_MAX,
    ROWS_PER_FILE_MIN,
    files_to_compact,
    rows_that_fit,
)
from collector.lake.joining import join_hot, small_files
from collector.lake.landed import LandedLog
from collector.lake.listing import Listing
from collector.lake.moving import HotHour, Hours, LakeFile, apart, compact, remove_unfinished, seal, seal_hot
from collector.lake.retention import delete_expired, expire
from collector.lake.thin import THIN_ROWS, ThinFile, files_to_share, share, span_max
from collector.store.file_columns import WRITTEN_FORMAT
from collector.store.interrupt import interrupt_until_end
from collector.store.lake import SEALED_SIGNALS, SealedSignal
from collector.store.sqlfile import load_sql
from collector.store.store import Store

# Late rows of an hour that already has a file move when they are enough for another file, or after some
# waiting.
STRAGGLERS_MIN = 10_000
# They wait, and an hour's files wait to become one, so many times as long as rows settle: an hour with the
# default of ten minutes, in which what comes late shares one file and one rewriting.
PATIENCE_FACTOR = 6
# Between two looks for small hot files: at most so many seconds' files are small.
_JOIN_INTERVAL_S = 10.0
_HOUR_NS = 3_600_000_000_000
_HOUR = timedelta(hours=1)
_QUERIES = "collector.lake.queries"

log = logging.getLogger(__name__)


class Policy(NamedTuple):
    """When rows move and when they leave."""

    seal_after_s: float  # age of an hour's end at which it is sealed; 0: never
    settle_s: float  # how long a batch must have landed before it moves: late spans gather meanwhile
    interval_s: float
    retention_s: float = 0  # age at which rows leave; 0: never
    retention_max_bytes: int = 0  # of the database and the own files: the oldest files leave; 0: unlimited
    files_share: float = 0.5  # … of which files keep so much, however large the database: what leaves is gone

    @property
    def patience_s(self) -> float:
        """How long late rows, and several files of one hour, wait for more."""
        return PATIENCE_FACTOR * self.settle_s


class Sealer:
    """A thread that seals, compacts and deletes at intervals."""

    name = "lake"

    def __init__(self, store: Store, policy: Policy, *, clock_ns: Callable[[], int] = time_ns) -> None:
        self._store = store
        self._policy = policy
        self._clock_ns = clock_ns
        self._span_max = span_max(policy.retention_s)
        self._landed = LandedLog(keep_s=policy.patience_s)
        self.listing = Listing(store)
        self._stopping = threading.Event()
        self._working: duckdb.DuckDBPyConnection | None = None
        self._failure = ""
        self._settled: set[frozenset[str]] = set()  # files of an hour that compaction leaves as they are
        self._unlike: set[str] = set()  # hot files that cannot be joined with the next one
        self._measure()
        self.rows_max = rows_that_fit(store.memory_limit_bytes())  # halved when memory does not suffice
        self._thread = threading.Thread(target=self._loop, name="sealing", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Stop; a move that is running is undone."""
        self._stopping.set()
        interrupt_until_end(self._thread, lambda: self._working, timeout_s)

    @property
    def is_busy(self) -> bool:
        """Whether its thread is still at work."""
        return self._thread.is_alive()

    def status(self) -> dict[str, object]:
        """What the store holds: `files`, `rows` and `bytes` of this collector in the lake, `hot_files`,
        `hot_rows`, `hot_bytes`, `database_bytes`; and the reason of the last failure.

        As of the last run: a health check of the process must not wait for the database.
        """
        return {**self._totals, "failure": self._failure or self._database_too_large()}

    def run_once(self) -> int:
        """Seal, compact, expire and publish what is due; returns how many rows left the database."""
        remove_unfinished(self._store)
        self._store.remove_unfinished_hot_files()
        moved = 0
        if self._policy.seal_after_s:
            moved = self._seal_due()
            self._compact_due()
        expire(
            self._store,
            now_ns=self._clock_ns(),
            retention_s=self._policy.retention_s,
            max_bytes=self._policy.retention_max_bytes,
            files_share=self._policy.files_share,
        )
        self.listing.publish()  # before files are deleted: readers of the listing must find its files
        delete_expired(self._store, self._clock_ns())
        self.listing.take_in()
        self._measure()
        if self._policy.seal_after_s:
            self.rewrite_older()  # last, so that a file that cannot be read does not hold up the rest
        return moved

    def join_hot_files(self) -> None:
        """Make larger hot files of small ones, so that queries open fewer."""
        for signal in SEALED_SIGNALS:
            for paths in small_files(self._store, signal, self._unlike):
                if self._stopping.is_set():
                    return
                if join_hot(self._store, signal, paths, now_ns=self._clock_ns()) == 1:
                    self._unlike.add(paths[0])

    def _measure(self) -> None:
        (row,) = self._store.read(load_sql(_QUERIES, "store_totals")).to_pylist()
        sizes = self._store.sizes()
        self._totals = {**row, "database_bytes": sizes.file_bytes}
        self._database_used_bytes = sizes.used_bytes

    def _database_too_large(self) -> str:
        """Files leave whole, but rows of the database only by their age or into a file."""
        max_bytes, has_bytes = self._policy.retention_max_bytes, self._database_used_bytes
        share = self._policy.files_share
        if not 0 < max_bytes * (1 - share) < has_bytes:
            return ""
        sooner = "lower" if self._policy.seal_after_s else "set, since 0 moves no rows to files,"
        return (
            f"rows in the database take {has_bytes} bytes and Parquet files keep {share:.0%} of"
            f" SPYHOP_RETENTION_MAX_BYTES ({max_bytes}), so together they may be more: raise it, {sooner}"
            " SPYHOP_SEAL_AFTER_MIN, or set SPYHOP_RETENTION_HOURS"
        )

    def _loop(self) -> None:
        look_s = monotonic() + self._policy.interval_s
        pause_s = _JOIN_INTERVAL_S
        while not self._stopping.wait(max(0.0, min(pause_s, look_s - monotonic()))):
            try:
                if monotonic() >= look_s:
                    look_s = monotonic() + self._policy.interval_s
                    self._unlike.clear()
                    self.run_once()
                    self._failure = ""
                if self._policy.seal_after_s:
                    self.join_hot_files()  # last: its failure holds up nothing else
                pause_s = _JOIN_INTERVAL_S
            except Exception as error:  # rows stay where they are: the next round tries again
                if self._stopping.is_set():
                    return
                self._failure = str(error).partition("\n")[0]
                pause_s = self._policy.interval_s
                look_s = monotonic() + pause_s
                log.exception("work on the lake failed; trying again in %.0f s", pause_s)

    def _seal_due(self) -> int:
        now_ns = self._clock_ns()
        (row,) = self._store.read("SELECT batch_id FROM landing_position").to_pylist()
        self._landed.note(now_ns, row["batch_id"])
        settled = self._landed.settled_batch_id(now_ns, self._policy.settle_s)
        patient = self._landed.settled_batch_id(now_ns, self._policy.patience_s)
        moved = 0
        for signal in SEALED_SIGNALS:
            moved += self._seal_hot(signal, settled)
            # Repeated, since an hour that is larger than a file has rows left.
            moved_before = -1
            while moved > moved_before and (due := self._due_hours(signal, settled, patient)):
                moved_before = moved
                for hours in share(due, self._span_max):
                    if self._stopping.is_set():
                        return moved
                    with self._in_smaller_pieces(hours.row_count), self._interruptible() as con:
                        moved += seal(
                            self._store, con, signal, hours, now_ns=self._clock_ns(), rows_max=self.rows_max
                        )
        return moved

    def _seal_hot(self, signal: SealedSignal, settled: int) -> int:
        """Hot files of hours that are over, and of hours that fill a lake file already."""
        until_ns = self._clock_ns() - int(self._policy.seal_after_s * 1e9)
        params = [signal.label, until_ns - until_ns % _HOUR_NS, settled, ROWS_PER_FILE_MAX]
        moved, moved_before = 0, -1
        while moved > moved_before:
            moved_before = moved
            for row in self._store.read(load_sql(_QUERIES, "due_hot_hours"), params).to_pylist():
                if self._stopping.is_set():
                    return moved
                with self._interruptible() as con:
                    moved += seal_hot(self._store, con, signal, HotHour(**row), now_ns=self._clock_ns())
        return moved

    @contextmanager
    def _in_smaller_pieces(self, row_count: int) -> Iterator[None]:
        """If memory does not suffice for so many rows, nothing is moved, and the next files are smaller."""
        try:
            yield
        except duckdb.OutOfMemoryException:
            remove_unfinished(self._store)
            if self.rows_max <= ROWS_PER_FILE_MIN:
                raise
            self.rows_max = max(ROWS_PER_FILE_MIN, min(self.rows_max, row_count) // 2)
            log.warning("memory is short: files of %d rows at most from now on", self.rows_max)

    def _due_hours(self, signal: SealedSignal, settled: int, patient: int) -> list[Hours]:
        until_ns = self._clock_ns() - int(self._policy.seal_after_s * 1e9)
        until_ns -= until_ns % _HOUR_NS
        query = load_sql(_QUERIES, "due_hours").format(
            table=signal.table, packed_table=signal.packed_table, time=signal.time_column
        )
        params = [ROWS_PER_FILE_MAX, until_ns, settled, signal.label, STRAGGLERS_MIN, patient]
        rows = self._store.read(query, params).to_pylist()
        return [Hours(end=row["start"] + _HOUR, **row) for row in rows]

    def _compact_due(self) -> None:
        quiet_since_ns = self._clock_ns() - int(self._policy.patience_s * 1e9)
        query = load_sql(_QUERIES, "hours_with_files")
        for signal in SEALED_SIGNALS:
            for hour in self._store.read(query, [signal.label, quiet_since_ns]).to_pylist():
                listed = list(map(LakeFile, hour["paths"], hour["row_counts"], hour["file_formats"]))
                files = files_to_compact(listed, quiet=hour["is_quiet"], rows_max=self.rows_max)
                if self._stopping.is_set():
                    return
                start = hour["hour_start"]
                for alike in self._groups(signal, files):
                    self._compact(signal, (start, start + _HOUR), alike)
            for group in self._thin_files(signal, quiet_since_ns):
                if self._stopping.is_set():
                    return
                end = max(thin.end for thin in group)
                self._compact(signal, (group[0].start, end), [thin.file for thin in group])

    def rewrite_older(self) -> None:
        """Rewrite one file of an older format a run, so that large lakes are rewritten in the background."""
        quiet_since_ns = self._clock_ns() - int(self._policy.patience_s * 1e9)
        bounds = [WRITTEN_FORMAT, self.rows_max, quiet_since_ns]
        for row in self._store.read(load_sql(_QUERIES, "older_file"), bounds).to_pylist():
            signal = next(signal for signal in SEALED_SIGNALS if signal.label == row["signal"])
            self._compact(signal, (row["start"], row["last_hour"] + _HOUR), [_lake_file(row)])

    def _thin_files(self, signal: SealedSignal, quiet_since_ns: int) -> list[list[ThinFile]]:
        query = load_sql(_QUERIES, "thin_files")
        rows = self._store.read(query, [signal.label, quiet_since_ns, THIN_ROWS]).to_pylist()
        files = [ThinFile(_lake_file(row), row["start"], row["last_hour"] + _HOUR) for row in rows]
        return files_to_share(files, self._span_max)

    def _groups(self, signal: SealedSignal, files: list[LakeFile]) -> list[list[LakeFile]]:
        """What of an hour's files becomes one; those that stay as they are, are not opened at every look."""
        paths = frozenset(file.path for file in files)
        if not files or paths in self._settled:
            return []
        groups = apart(self._store, signal, files)
        if not groups:
            self._settled.add(paths)
        return groups

    def _compact(self, signal: SealedSignal, hours: tuple[datetime, datetime], files: list[LakeFile]) -> None:
        row_count = sum(file.row_count for file in files)
        with self._in_smaller_pieces(row_count), self._interruptible() as con:
            compact(self._store, con, signal, hours, files, now_ns=self._clock_ns())

    @contextmanager
    def _interruptible(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection whose statement `stop` ends."""
        con = self._store.cursor()
        self._working = con
        try:
            yield con
        finally:
            self._working = None
            con.close()


def _lake_file(row: dict[str, Any]) -> LakeFile:
    return LakeFile(row["path"], row["row_count"], row["file_format"])
