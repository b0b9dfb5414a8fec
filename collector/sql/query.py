"""Runs users' SQL: one statement, read-only, bounded in text, rows, bytes, memory and time.

A query is parsed, examined and rehearsed in a process that can do no harm (`child.py`). A query that passes
runs here, on its own cursor. Both steps are behind `QueryRunner`, so reader processes could replace it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, NamedTuple, Protocol, Self

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from collector.errors import InvalidInput, RefusedQuery, Timeout, TooLarge, Unavailable
from collector.sql.columns import is_json
from collector.sql.fetch import NICENESS, Fetched, fetch
from collector.sql.sandbox import GONE_LOOK_S, IsGone, Reply, Sandbox, gone
from collector.sql.statement import DATABASE_ENDS, Params, first_lines, mistake
from collector.sql.strict_json import strict_json
from collector.sql.watch import Spill, Watch
from collector.store.store import Store

TEXT_MAX_BYTES = 64 * 1024
PARAMS_MAX, PARAMS_DEPTH_MAX = 10_000, 32
# Waiting is useful for a dashboard that sends many small queries at once.
WAIT_FOR_PLACE_S = 5.0
_INTERRUPT_GRACE_S = 1.0
MIB = 1024 * 1024
TYPE_KEY = b"duckdb.type"  # in the metadata of an Arrow field: the type as DuckDB names it


class QueryResult(NamedTuple):
    """Rows as Arrow. VARIANT columns are JSON text; times carry UTC."""

    table: pa.Table
    types: list[str]  # DuckDB's names, e.g. VARIANT, TIMESTAMP_NS, BIGINT
    truncated: bool  # there are more rows than the limits let through
    elapsed_ms: float


class Bounds(NamedTuple):
    """What one query, and all together, may take."""

    timeout_s: float = 30.0
    result_bytes: int = 128 * MIB
    memory_bytes: int = 768 * MIB  # by which the process may grow while queries run
    places: int = 4  # queries at once
    check_s: float = 3.0  # of CPU, to parse, bind and rehearse; 3 to 15 ms are usual


DEFAULT_BOUNDS = Bounds()


class Checker(Protocol):
    """Decides whether a query may run; `Sandbox`, except in tests."""

    def warm_up(self) -> None: ...
    def ask(self, request: Mapping[str, Any], timeout_s: float, is_gone: IsGone = None) -> Reply: ...
    def close(self) -> None: ...


class QueryRunner:
    """Thread-safe."""

    def __init__(
        self,
        store: Store,
        bounds: Bounds = DEFAULT_BOUNDS,
        *,
        spill: Spill | None = None,
        checker: Checker | None = None,
    ) -> None:
        """
        Args:
            spill: where queries write what memory does not hold; None: they may fill the disk.
            checker: decides whether a query may run; None: processes of its own.
        """
        self._store = store
        self.bounds = bounds
        self._sandbox = checker or Sandbox()
        self._watch = Watch(memory_bytes=bounds.memory_bytes, spill=spill)
        self._places = threading.BoundedSemaphore(bounds.places)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm_up(self) -> None:
        """Start, in the background, the parts that the first query would wait for."""
        threading.Thread(target=self._warm_up, name="sql-warm-up", daemon=True).start()

    def close(self) -> None:
        self._sandbox.close()

    def run(
        self,
        query: str,
        params: Params = None,
        *,
        limit_rows: int,
        as_text: bool = False,
        is_gone: IsGone = None,
    ) -> QueryResult:
        """Run one read-only statement.

        Args:
            as_text: make text of all that JSON and CSV have no form for; else values keep their Arrow type.
            is_gone: whether nobody waits for the answer any more; asked four times a second.

        Raises:
            RefusedQuery: it is not one read-only statement of our tables, or is too complex.
            InvalidInput: DuckDB cannot run it; the message is DuckDB's.
            TooLarge: its text, one of its rows or its need of memory is too large.
            Timeout: it ran longer than allowed.
            Unavailable: too many queries run at once, or the client has gone.
        """
        started_s = monotonic()
        _check_sizes(query, params)
        timeout_s = self.bounds.timeout_s
        with self._place(timeout_s) as place:
            request = {
                "query": query,
                "params": params,
                "limit_rows": limit_rows,
                "limit_bytes": self.bounds.result_bytes,
                "check_s": self.bounds.check_s,
                "as_text": as_text,
            }
            try:
                head, table = self._sandbox.ask(request, timeout_s, is_gone)
            except Timeout as error:
                raise error if error.message else _too_long(timeout_s) from error
            if table is not None:
                fetched = Fetched(table, head["is_cut"])
            else:
                fetched = self._run_in_store(
                    head["sql"], params, limit_rows, place, timeout_s, is_gone=is_gone
                )
        is_explain = not head["types"]
        types = [str(field.type) for field in fetched.table.schema] if is_explain else head["types"]
        readable = _readable(fetched.table, types)
        if not is_explain:
            readable = readable.rename_columns(head["names"])
        is_truncated = fetched.is_cut or readable.num_rows > limit_rows
        elapsed_ms = round((monotonic() - started_s) * 1000, 3)
        return QueryResult(readable.slice(0, limit_rows), types, is_truncated, elapsed_ms)

    def run_own(
        self, sql: str, params: Params = None, *, limit_rows: int, timeout_s: float | None = None
    ) -> Fetched:
        """Run a read-only statement of our own, which needs no check, within the same bounds: places, time,
        rows, bytes and memory. Its text is constant words; what a user says stands in `params`.

        Args:
            timeout_s: less than `bounds.timeout_s`, for one of several statements.

        Raises:
            InvalidInput, TooLarge, Timeout, Unavailable: as `run`.
        """
        bounded_s = min(self.bounds.timeout_s, timeout_s or self.bounds.timeout_s)
        with self._place(bounded_s) as place:
            return self._run_in_store(sql, params, limit_rows, place, bounded_s)

    def _warm_up(self) -> None:
        with suppress(OSError):  # the first query will say it
            self._sandbox.warm_up()

    @contextmanager
    def _place(self, timeout_s: float) -> Iterator[_Place]:
        if not self._places.acquire(timeout=min(WAIT_FOR_PLACE_S, timeout_s)):
            raise Unavailable(f"{self.bounds.places} queries are running", hint="retry later")
        place = _Place(self._places)
        try:
            yield place
        finally:
            place.leave_unless_kept()

    def _run_in_store(
        self,
        sql: str,
        params: Params,
        limit_rows: int,
        place: _Place,
        timeout_s: float,
        *,
        is_gone: IsGone = None,
    ) -> Fetched:
        """Run on a separate thread: some functions of DuckDB cannot be interrupted, but the caller still gets
        an answer in time. Such a query keeps its place until it ends."""
        result: Future[Fetched] = Future()
        cursor = self._store.cursor()

        def work() -> None:
            with suppress(OSError):  # this thread alone; threads of DuckDB help everybody and keep theirs
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
            try:
                result.set_result(self._read(cursor, sql, params, limit_rows, timeout_s))
            except BaseException as error:  # the waiting thread raises it
                result.set_exception(error)
            finally:
                place.leave()

        place.keep()
        threading.Thread(target=work, name="sql", daemon=True).start()
        deadline_s = monotonic() + timeout_s + _INTERRUPT_GRACE_S
        try:
            while not wait([result], max(0.0, min(GONE_LOOK_S, deadline_s - monotonic()))).done:
                if monotonic() >= deadline_s:
                    raise _too_long(timeout_s)
                if is_gone is not None and is_gone():
                    raise gone()
        except BaseException:  # Ctrl-C too
            cursor.interrupt()
            raise
        return result.result()

    def _read(
        self,
        cursor: duckdb.DuckDBPyConnection,
        sql: str,
        params: Params,
        limit_rows: int,
        timeout_s: float,
    ) -> Fetched:
        timer = threading.Timer(timeout_s, cursor.interrupt)
        timer.daemon = True
        try:
            with self._watch.over(cursor) as running:
                timer.start()
                try:
                    cursor.execute("BEGIN TRANSACTION READ ONLY")
                    return fetch(
                        cursor, sql, params, limit_rows=limit_rows, limit_bytes=self.bounds.result_bytes
                    )
                except (duckdb.Error, MemoryError) as error:
                    raise self._translated(error, sql, running.stopped_because, timeout_s) from error
        finally:
            timer.cancel()
            cursor.close()

    def _translated(
        self, error: duckdb.Error | MemoryError, sql: str, stopped_because: str, timeout_s: float
    ) -> Exception:
        if isinstance(error, DATABASE_ENDS):
            # Only real rows cause it, so the rehearsal passed. The watch of the database opens it again.
            if isinstance(error, duckdb.InternalException):
                self._store.closed_by_query = first_lines(error)
            return RefusedQuery(
                f"the query makes DuckDB fail ({first_lines(error)})", hint="write it in another way"
            )
        if isinstance(error, duckdb.InterruptException):
            if stopped_because:
                return TooLarge(f"the query was stopped: {stopped_because}", hint="ask for less at once")
            return _too_long(timeout_s)
        if isinstance(error, (duckdb.OutOfMemoryException, MemoryError)):
            return TooLarge(f"the query needs too much memory ({first_lines(error)})", hint="ask for less")
        if isinstance(error, duckdb.PermissionException):
            return RefusedQuery(f"files outside the data folder are not read: {first_lines(error)}")
        return mistake(error, sql, lines_before=1)


def _too_long(timeout_s: float) -> Timeout:
    return Timeout(
        f"the query ran longer than {timeout_s:g} s and was stopped",
        hint="ask for less, or raise SPYHOP_SQL_TIMEOUT_S",
    )


class _Place:
    """One of the places; left once, by the caller or by the thread that took it over."""

    def __init__(self, places: threading.BoundedSemaphore) -> None:
        self._places = places
        self._is_kept = False

    def keep(self) -> None:
        self._is_kept = True

    def leave(self) -> None:
        self._places.release()

    def leave_unless_kept(self) -> None:
        if not self._is_kept:
            self._places.release()


def _check_sizes(query: str, params: Params) -> None:
    size_bytes = len(query.encode(errors="surrogatepass"))
    if size_bytes > TEXT_MAX_BYTES:
        raise TooLarge(
            f"the query has {size_bytes:,} bytes, {TEXT_MAX_BYTES:,} are allowed",
            hint="pass values as parameters",
            details={"max_bytes": TEXT_MAX_BYTES},
        )
    if "\x00" in query or size_bytes != len(query.encode(errors="replace")):
        raise InvalidInput(
            "the query holds a null byte or half a surrogate pair", hint="send plain UTF-8 text"
        )
    if params is not None and _too_large(params):
        raise InvalidInput(
            f"parameters are nested more than {PARAMS_DEPTH_MAX} levels deep or hold more than"
            f" {PARAMS_MAX:,} values",
            hint="pass a flat list",
        )


def _too_large(params: Any) -> bool:
    """Whether values are too many or too deep; checked by levels, since recursion fails on deep values."""
    level: list[Any] = [params]
    count = 0
    for _ in range(PARAMS_DEPTH_MAX):
        below: list[Any] = []
        for value in level:
            below += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        count += len(below)
        if not below:
            return False
        if count > PARAMS_MAX:
            return True
        level = below
    return True


def _readable(table: pa.Table, types: list[str]) -> pa.Table:
    """Times in UTC instead of in no zone, 128-bit sums as int64 where they fit, JSON that others can read."""
    columns = []
    for column, kind in zip(table.columns, types, strict=True):
        readable = column
        if pa.types.is_timestamp(column.type) and column.type.tz is None:
            readable = column.cast(pa.timestamp(column.type.unit, "UTC"))
        elif pa.types.is_decimal(column.type) and kind == "HUGEINT":
            with suppress(pa.ArrowInvalid):
                readable = pc.cast(column, pa.int64())
        elif pa.types.is_string(column.type) and is_json(kind):
            readable = strict_json(column)
        columns.append(readable)
    # Fresh fields: DuckDB marks JSON as an extension type, which Polars and others do not know.
    fields = [
        pa.field(name, column.type, metadata={TYPE_KEY: kind})
        for name, column, kind in zip(table.column_names, columns, types, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))
