"""Old hours move from the database to Parquet, and the oldest leave altogether.

A move is one transaction: write and sync the file, delete its rows, list the file, refresh the views. A crash
before the commit leaves a file that nothing lists, which the next start removes; after it, all is done.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from time import monotonic, time_ns
from typing import NamedTuple

import duckdb

from collector.store.lake import (
    LAKE_FOLDER,
    SEALED_SIGNALS,
    SealedSignal,
    file_columns,
    quoted,
    refresh_views,
    remove_orphans,
)
from collector.store.sqlfile import load_sql
from collector.store.store import Store

# A file is sorted in memory and spilled beyond it: 4 M spans are some 3 GB as rows, 150 MB as a file.
ROWS_PER_FILE_MAX = 4_000_000
# Stragglers of an hour that is sealed already wait in the database until a file of them is worth it.
STRAGGLERS_MIN = 10_000
# An expired file is deleted so much later than it left the views: longer than any query may run.
EXPIRED_KEEP_S = 120
_HOUR_NS = 3_600_000_000_000

log = logging.getLogger(__name__)


class Policy(NamedTuple):
    """When rows move and when they leave."""

    seal_after_s: float  # age of an hour's end at which it is sealed; 0: never
    settle_s: float  # how long a batch must have landed before it moves: late spans gather meanwhile
    interval_s: float
    retention_s: float = 0  # age at which rows leave; 0: never
    retention_max_bytes: int = 0  # size of the lake beyond which its oldest hours leave; 0: unlimited


class _Hour(NamedTuple):
    start: datetime
    row_count: int
    last_batch_id: int


class Sealer:
    """A thread that looks once in a while."""

    name = "lake"

    def __init__(self, store: Store, policy: Policy, *, clock_ns: Callable[[], int] = time_ns) -> None:
        self._store = store
        self._policy = policy
        self._clock_ns = clock_ns
        self._landed: deque[tuple[int, int]] = deque()  # (when looked, newest batch id then)
        self._stopping = threading.Event()
        self._working: duckdb.DuckDBPyConnection | None = None
        self._failure = ""
        self._thread = threading.Thread(target=self._loop, name="sealing", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Give up a move under way: it has not happened then."""
        self._stopping.set()
        deadline_s = monotonic() + timeout_s
        while self._thread.is_alive() and monotonic() < deadline_s:
            working = self._working
            if working is not None:
                working.interrupt()  # again and again: between two statements there is nothing to interrupt
            self._thread.join(0.05)

    def status(self) -> dict[str, object]:
        """`files`, `rows` and `bytes` in the lake, and the reason of the last failure."""
        (row,) = self._store.read(load_sql("collector.store.queries", "lake_totals")).to_pylist()
        return {**row, "failure": self._failure}

    def run_once(self) -> int:
        """Seal and expire what is due; returns the number of rows that moved."""
        with self._store.transaction() as con:
            remove_orphans(con, self._store.folder)
        moved = self._seal_due() if self._policy.seal_after_s else 0
        self._expire()
        self._delete_expired()
        return moved

    def _loop(self) -> None:
        while not self._stopping.wait(self._policy.interval_s):
            try:
                self.run_once()
                self._failure = ""
            except Exception as error:  # rows stay in the database: the next round tries again
                if self._stopping.is_set():
                    return
                self._failure = str(error).partition("\n")[0]
                log.exception("sealing failed; trying again in %.0f s", self._policy.interval_s)

    def _seal_due(self) -> int:
        settled_batch_id = self._settled_batch_id()
        moved = 0
        for signal in SEALED_SIGNALS:
            for hour in self._due_hours(signal, settled_batch_id):
                if self._stopping.is_set():
                    return moved
                moved += self._seal(signal, hour)
        return moved

    def _settled_batch_id(self) -> int:
        now_ns = self._clock_ns()
        (row,) = self._store.read("SELECT batch_id FROM landing_position").to_pylist()
        self._landed.append((now_ns, row["batch_id"]))
        settled_batch_id = 0
        while self._landed and self._landed[0][0] <= now_ns - int(self._policy.settle_s * 1e9):
            settled_batch_id = self._landed.popleft()[1]
        if settled_batch_id:
            self._landed.appendleft((0, settled_batch_id))  # it stays settled
        return settled_batch_id

    def _due_hours(self, signal: SealedSignal, settled_batch_id: int) -> list[_Hour]:
        until_ns = self._clock_ns() - int(self._policy.seal_after_s * 1e9)
        until_ns -= until_ns % _HOUR_NS
        query = load_sql("collector.store.queries", "due_hours").format(
            table=signal.table, time=signal.time_column
        )
        params = [ROWS_PER_FILE_MAX, until_ns, settled_batch_id, signal.label, STRAGGLERS_MIN]
        return [_Hour(**row) for row in self._store.read(query, params).to_pylist()]

    def _seal(self, signal: SealedSignal, hour: _Hour) -> int:
        with self._store.transaction() as con:
            self._working = con
            try:
                return self._move(con, signal, hour)
            finally:
                self._working = None

    def _move(self, con: duckdb.DuckDBPyConnection, signal: SealedSignal, hour: _Hour) -> int:
        (collector_id,) = con.execute("SELECT collector_id FROM lake_identity").fetchall()[0]
        folder = Path(LAKE_FOLDER, signal.label, f"date={hour.start:%Y-%m-%d}", f"hour={hour.start:%H}")
        path = folder / f"{collector_id}-{hour.last_batch_id:012d}.parquet"
        target = self._store.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        # Sealing takes one batch range of one hour: the same rows for the file, its figures and the deletion.
        rows = (
            f"FROM {signal.table} WHERE batch_id <= {hour.last_batch_id}"
            f" AND date_trunc('hour', \"{signal.time_column}\") = TIMESTAMP_NS {quoted(hour.start)}"
        )
        written, _ = file_columns(con, signal.table)
        partial = target.with_suffix(".parquet.partial")
        copied = con.execute(
            f"COPY (SELECT {written} {rows} ORDER BY {signal.order})"
            f" TO {quoted(partial)} (FORMAT parquet, COMPRESSION zstd)"
        ).fetchall()
        _make_durable(partial, target)
        con.execute(
            f'INSERT INTO lake_files SELECT $1, $2, $3, min("{signal.time_column}"),'
            f' max("{signal.time_column}"), min(batch_id), max(batch_id), count(*), $4,'
            f" make_timestamp_ns($5), NULL {rows}",
            [str(path), signal.label, hour.start, target.stat().st_size, self._clock_ns()],
        )
        deleted = con.execute(f"DELETE {rows}").fetchall()
        if copied != deleted:
            raise RuntimeError(f"{copied[0][0]} rows were written and {deleted[0][0]} would be deleted")
        refresh_views(con, self._store.folder)
        return int(deleted[0][0])

    def _expire(self) -> None:
        """Take the oldest hours out of the views, and with them rows that never got a file."""
        now_ns = self._clock_ns()
        policy = self._policy
        horizon_ns = now_ns - int(policy.retention_s * 1e9) if policy.retention_s else 0
        with self._store.transaction() as con:
            expired = con.execute(
                load_sql("collector.store.queries", "expire_files"),
                [now_ns, horizon_ns, policy.retention_max_bytes or 2**62],
            ).fetchall()
            if horizon_ns:
                for signal in SEALED_SIGNALS:
                    con.execute(
                        f'DELETE FROM {signal.table} WHERE "{signal.time_column}" < make_timestamp_ns(?)',  # noqa: S608  # constant names
                        [horizon_ns],
                    )
            if expired:
                refresh_views(con, self._store.folder)
                log.info("%d lake files have passed their retention", len(expired))

    def _delete_expired(self) -> None:
        with self._store.transaction() as con:
            gone = con.execute(
                "DELETE FROM lake_files WHERE expired_at < make_timestamp_ns(?) RETURNING path",
                [self._clock_ns() - EXPIRED_KEEP_S * 1_000_000_000],
            ).fetchall()
        for (path,) in gone:  # after the commit: a file without its row is an orphan, never the reverse
            (self._store.folder / path).unlink(missing_ok=True)


def _make_durable(partial: Path, target: Path) -> None:
    """The file and its name on disk, before any transaction speaks of it."""
    _sync(partial, os.O_RDWR)
    partial.replace(target)
    _sync(target.parent, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    file = os.open(path, flags)
    try:
        os.fsync(file)
    finally:
        os.close(file)
