"""SQLite off the event loop: a pool of readers, one writer.

In WAL mode readers never wait for the writer. With synchronous NORMAL a commit does not wait for the disk;
a power cut can lose the last orders here, and the matcher's journal brings them back.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from exchange_ref.errors import FolderUnusable
from exchange_ref.services.api.statements import SCHEMA_SQL, UPGRADES_SQL, Statement

# At 50 orders/s a read of 150 ms keeps 8 readers busy on average and 32 leave room for its bursts.
MAX_READERS = 32

# Called with a statement's name before it runs: the callback that SQLite's virtual machine makes after each
# instruction of it, or None.
ProgressHook = Callable[[str], Callable[[], int] | None]
Parameters = Sequence[Any]
T = TypeVar("T")


class ReaderPool:
    """At most `size` connections for reading; who comes when all are lent waits, first come first served."""

    def __init__(self, size: int, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._idle: list[sqlite3.Connection] = []
        self._free = asyncio.Semaphore(size)
        self.size = size

    @asynccontextmanager
    async def borrow(self) -> AsyncIterator[sqlite3.Connection]:
        async with self._free:
            connection = self._idle.pop() if self._idle else await asyncio.to_thread(self._connect)
            try:
                yield connection
            finally:
                self._idle.append(connection)

    def forget(self) -> None:
        """Close the idle connections; the next readers open new ones."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


class Database:
    """One file. `progress_hook` sees into the engine while it executes; see `faults.db_slow`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connections: list[sqlite3.Connection] = []
        self._connections_lock = threading.Lock()
        self.pool = ReaderPool(MAX_READERS, self.connect)
        self._readers = ThreadPoolExecutor(MAX_READERS, thread_name_prefix="db-read")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="db-write")
        self.progress_hook: ProgressHook | None = None
        try:
            self._writing = self.connect()
            self._writing.executescript(SCHEMA_SQL)
            _bring_up(self._writing)
        except sqlite3.Error as error:
            self.close()
            raise FolderUnusable(
                f"cannot open the database {path}: {error}; choose another --data folder"
            ) from None

    async def read(self, statement: Statement, parameters: Parameters) -> list[tuple[Any, ...]]:
        async with self.pool.borrow() as connection:
            run = partial(self._read, connection, statement, parameters)
            return await asyncio.get_running_loop().run_in_executor(self._readers, run)

    async def write(self, *steps: tuple[Statement, Sequence[Parameters]]) -> None:
        """Run each statement once for each of its rows, all in one transaction."""
        await asyncio.get_running_loop().run_in_executor(self._writer, partial(self._write, steps))

    def close(self) -> None:
        self._readers.shutdown()
        self._writer.shutdown()
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    def _read(
        self, connection: sqlite3.Connection, statement: Statement, parameters: Parameters
    ) -> list[tuple[Any, ...]]:
        return self._observed(
            connection, statement, lambda: connection.execute(statement.sql, parameters).fetchall()
        )

    def _write(self, steps: Sequence[tuple[Statement, Sequence[Parameters]]]) -> None:
        connection = self._writing
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement, rows in steps:
                self._observed(connection, statement, partial(connection.executemany, statement.sql, rows))
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    def _observed(self, connection: sqlite3.Connection, statement: Statement, run: Callable[[], T]) -> T:
        hook = self.progress_hook
        callback = hook(statement.name) if hook is not None else None
        if callback is None:
            return run()
        connection.set_progress_handler(callback, 1)
        try:
            return run()
        finally:
            connection.set_progress_handler(None, 1)

    def connect(self) -> sqlite3.Connection:
        """A new connection, closed with the database. It may be used by any thread, one at a time."""
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=5.0)
        with self._connections_lock:
            self._connections.append(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection


def _bring_up(connection: sqlite3.Connection) -> None:
    """Add what a database of an earlier version lacks, all of it or nothing."""
    columns = {row[1] for row in connection.execute("PRAGMA table_info(orders)")}
    for column, upgrade in UPGRADES_SQL.items():
        if column not in columns:
            connection.executescript(f"BEGIN IMMEDIATE;\n{upgrade}\nCOMMIT;")
