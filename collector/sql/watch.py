"""Stops running queries before the process has taken too much memory or the disk is full."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep

import duckdb

from collector.sql.brake import Brake

_LOOK_S = 0.05
_BRAKE_LOOK_S = 0.01
_MIB = 1024 * 1024
SPILL_FOLDER = "spyhop.duckdb.tmp"  # DuckDB's choice, beside the database


class Running:
    """A query under way: its connection, and why it was stopped."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self.cursor = cursor
        self.stopped_because = ""

    def stop(self, reason: str) -> None:
        self.stopped_because = self.stopped_because or reason
        self.cursor.interrupt()


class Watch:
    """Checks twenty times a second while queries run; costs nothing otherwise."""

    def __init__(
        self,
        *,
        memory_bytes: int,
        spill: Spill | None = None,
        resident_bytes: Callable[[], int] | None = None,
    ) -> None:
        """
        Args:
            memory_bytes: how much the process may grow while queries run; 0: without limit.
            spill: where queries write what memory does not hold; None: they may fill the disk.
        """
        self._memory_bytes = memory_bytes
        self._spill = spill
        self._resident_bytes = resident_bytes or read_resident_bytes
        self._brake = Brake(memory_bytes)
        self._guard = threading.Lock()
        self._running: set[Running] = set()
        self._idle_bytes = self._idle_spill_bytes = 0

    @contextmanager
    def over(self, cursor: duckdb.DuckDBPyConnection) -> Iterator[Running]:
        """Watch the statement that `cursor` runs in the block."""
        running = Running(cursor)
        with self._guard:
            is_first = not self._running
            self._running.add(running)
            if is_first:
                self._idle_bytes = self._resident_bytes()
                self._idle_spill_bytes = self._spill.size_bytes() if self._spill else 0
                self._brake.loosen()
                threading.Thread(target=self._loop, name="sql-watch", daemon=True).start()
        try:
            yield running
        finally:
            with self._guard:
                self._running.discard(running)

    def _loop(self) -> None:
        seen: set[Running] = set()  # a query that came since the last look has hardly taken it
        while True:
            try:
                with self._guard:
                    running = set(self._running)
                    if not running:
                        self._brake.release()
                        return
                reason = self._reason()
                if reason:
                    for one in running & seen:
                        one.stop(reason)
                seen = running
                with self._guard:
                    if self._grown_bytes() > self._memory_bytes:
                        self._brake.hold()
                    else:
                        self._brake.loosen()
            except MemoryError:  # here, too, while a query has used up what is allowed
                self._brake.allow_more()
            sleep(_BRAKE_LOOK_S if self._brake.is_on else _LOOK_S)

    def _grown_bytes(self) -> int:
        return self._resident_bytes() - self._idle_bytes

    def _reason(self) -> str:
        grown_bytes = self._grown_bytes()
        if self._memory_bytes and grown_bytes > self._memory_bytes:
            return (
                f"queries took {grown_bytes // _MIB} MiB of memory, {self._memory_bytes // _MIB} are allowed"
            )
        # A disk that others have filled stops no query, except one that writes.
        if self._spill is None or self._spill.size_bytes() <= self._idle_spill_bytes:
            return ""
        failure = self._spill.failure()
        return f"queries may not fill the disk ({failure})" if failure else ""


def read_resident_bytes() -> int:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Spill:
    """What queries write to disk because memory does not hold it."""

    def __init__(self, folder: Path, reserve_bytes: int) -> None:
        """
        Args:
            folder: the data folder.
            reserve_bytes: free space that queries must leave.
        """
        self._folder = folder
        self._reserve_bytes = reserve_bytes

    def size_bytes(self) -> int:
        """What is there now. DuckDB removes files some time after their query."""
        try:
            return sum(path.stat().st_size for path in (self._folder / SPILL_FOLDER).iterdir())
        except OSError:  # there is none, or one has just gone
            return 0

    def failure(self) -> str:
        """Why no more may be written; empty while there is room."""
        answer = os.statvfs(self._folder)
        free_bytes = answer.f_bavail * answer.f_frsize
        if free_bytes >= self._reserve_bytes:
            return ""
        return f"{free_bytes // _MIB} MiB are free, {self._reserve_bytes // _MIB} are kept in reserve"
