"""The API's database off the event loop: a pool of readers, one writer.

In SQLite's WAL mode, and in PostgreSQL, readers never wait for the writer. With SQLite's synchronous NORMAL a
commit does not wait for the disk; a power cut can lose the last orders here, and the matcher's journal brings
them back.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from exchange_ref.services.api.backends import Postgres, Sqlite, parameters_of
from exchange_ref.services.api.statements import Statement

# At 50 orders/s a read of 150 ms keeps 8 readers busy on average and 32 leave room for its bursts.
MAX_READERS = 32

# Called with a statement's name before it runs: the callback that SQLite's virtual machine makes after each
# instruction of it, or None.
ProgressHook = Callable[[str], Callable[[], int] | None]
Parameters = Sequence[Any]
T = TypeVar("T")


class ReaderPool:
    """At most `size` connections for reading; who comes when all are lent waits, first come first served."""

    def __init__(self, size: int, connect: Callable[[], Any], usable: Callable[[Any], bool]) -> None:
        self._connect = connect
        self._usable = usable
        self._idle: list[Any] = []
        self._free = asyncio.Semaphore(size)
        self.size = size

    @asynccontextmanager
    async def borrow(self) -> AsyncIterator[Any]:
        async with self._free:
            connection = self._idle.pop() if self._idle else await asyncio.to_thread(self._connect)
            try:
                yield connection
            finally:
                if self._usable(connection):
                    self._idle.append(connection)

    def forget(self) -> None:
        """Close the idle connections; the next readers open new ones."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


class Database:
    """`progress_hook` sees into the engine while it executes; see `faults.db_slow`."""

    def __init__(self, backend: Sqlite | Postgres) -> None:
        self.backend = backend
        self._connections: list[Any] = []
        self._connections_lock = threading.Lock()
        self.pool = ReaderPool(MAX_READERS, self.connect, backend.usable)
        self._readers = ThreadPoolExecutor(MAX_READERS, thread_name_prefix="db-read")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="db-write")
        self.progress_hook: ProgressHook | None = None
        try:
            self._writing = self.connect()
            backend.prepare(self._writing)
        except backend.errors as error:
            self.close()
            raise backend.unusable(error) from None

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

    def text(self, statement: Statement) -> str:
        """The statement as the database gets it."""
        return self.backend.text(statement.sql)

    def _read(self, connection: Any, statement: Statement, parameters: Parameters) -> list[tuple[Any, ...]]:
        sql = self.text(statement)
        run = partial(connection.execute, sql, parameters_of(sql, parameters))
        rows: list[tuple[Any, ...]] = self._observed(connection, statement, lambda: run().fetchall())
        return rows

    def _write(self, steps: Sequence[tuple[Statement, Sequence[Parameters]]]) -> None:
        if not self.backend.usable(self._writing):
            self._writing = self.connect()
        connection = self._writing
        connection.execute(self.backend.begin)
        try:
            for statement, rows in steps:
                sql = self.text(statement)
                run = partial(connection.cursor().executemany, sql, [parameters_of(sql, row) for row in rows])
                self._observed(connection, statement, run)
            connection.execute("COMMIT")
        except BaseException:
            if self.backend.usable(connection):
                connection.execute("ROLLBACK")
            raise

    def _observed(self, connection: Any, statement: Statement, run: Callable[[], T]) -> T:
        hook = self.progress_hook
        callback = hook(statement.name) if hook is not None else None
        result: T = self.backend.run(connection, run, callback)
        return result

    def connect(self) -> Any:
        """A new connection, closed with the database. It may be used by any thread, one at a time."""
        connection = self.backend.connect()
        with self._connections_lock:
            self._connections.append(connection)
        return connection
