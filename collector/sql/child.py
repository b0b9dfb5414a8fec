"""The process that parses, examines and rehearses users' SQL; it may crash without harm.

python -m collector.sql.child FILE_DESCRIPTOR

It holds no file and no row of any user. A query of our tables is bound here and run on made-up rows; if it
passes, the server runs it. A query that names no table of ours is only run here.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from time import monotonic, process_time
from typing import Any

import duckdb
import pyarrow as pa

from collector.errors import RefusedQuery, SpyhopError, Timeout, TooLarge
from collector.sql.fetch import NICENESS, fetch
from collector.sql.sample import SAMPLE_ROWS, readable_names, sample_store
from collector.sql.sandbox import WALL_FACTOR
from collector.sql.statement import (
    DATABASE_ENDS,
    Prepared,
    first_lines,
    mistake,
    prepare,
    projected,
    text_of_tree,
    tree_of_text,
)
from collector.sql.tree import CATALOG
from collector.sql.unconditional import unconditional

# Of CPU: on a busy machine a second may pass before the first row. A rehearsal that takes longer is heavy,
# not hostile: the server's own time limit handles it.
REHEARSAL_S = 0.3
UNCONDITIONAL_S = 0.5  # the same without its conditions; taking 640 MiB that are not there takes 0.4 s
_INTERRUPT_GRACE_S = 0.5
_LOOK_S = 0.05
# In addition to the process's memory after its start. A query that needs more for 2,048 rows is refused.
ADDRESS_SPACE_EXTRA_BYTES = 640 * 1024 * 1024


def main() -> None:
    """Runs until the other side is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.setrecursionlimit(20_000)
    os.nice(NICENESS)
    connection = Connection(int(sys.argv[1]))
    con = sample_store()
    tables = readable_names(con)
    most_bytes = _bound_address_space() - ADDRESS_SPACE_EXTRA_BYTES // 2
    with suppress(EOFError, OSError):  # the other side is gone
        _serve(connection, con, tables, most_bytes)


def _serve(
    connection: Connection, con: duckdb.DuckDBPyConnection, tables: frozenset[str], most_bytes: int
) -> None:
    """
    Args:
        most_bytes: address space that one query may leave behind for the next.
    """
    connection.send_bytes(json.dumps({"ready_s": monotonic()}).encode())
    while True:
        request = json.loads(connection.recv_bytes())
        # The default action ends the process, also within a call that nothing else can end. This process is
        # the last to get a busy machine's CPU, so that is what counts.
        signal.setitimer(signal.ITIMER_PROF, request["check_s"])
        signal.setitimer(signal.ITIMER_REAL, request["check_s"] * WALL_FACTOR)
        answer, content = _answer(con, tables, request)
        for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
            signal.setitimer(timer, 0)
        if _address_space_bytes() > most_bytes:
            answer["ends"] = True
        connection.send_bytes(json.dumps(answer).encode())
        if content is not None:
            connection.send_bytes(content)
        if answer.get("ends"):
            return


def _answer(  # noqa: PLR0911  # one for each way in which a query ends
    con: duckdb.DuckDBPyConnection, tables: frozenset[str], request: dict[str, Any]
) -> tuple[dict[str, Any], pa.Buffer | None]:
    params = request["params"]
    cursor = con.cursor()
    try:
        cursor.execute(f"USE {CATALOG}")
        prepared = prepare(
            cursor,
            request["query"],
            params,
            tables=tables,
            limit_rows=request["limit_rows"],
            as_text=request["as_text"],
        )
        head: dict[str, Any] = prepared._asdict()
        del head["text"]
        if prepared.reads_store:
            _rehearse(cursor, prepared.sql, request, REHEARSAL_S)
            _rehearse_unconditional(cursor, prepared, request)
            return head, None
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, request["timeout_s"] + _INTERRUPT_GRACE_S)
        with _interrupted_after(cursor, request["timeout_s"]):
            fetched = fetch(
                cursor,
                prepared.sql,
                params,
                limit_rows=request["limit_rows"],
                limit_bytes=request["limit_bytes"],
            )
        return {**head, "is_cut": fetched.is_cut, "has_rows": True}, _stream(fetched.table)
    except SpyhopError as error:
        return {"error": error.code, "message": error.message, "hint": error.hint}, None
    except DATABASE_ENDS as error:
        return {
            "error": RefusedQuery.code,
            "message": f"the query makes DuckDB fail ({first_lines(error)})",
            "hint": "write it in another way",
            "ends": True,
        }, None
    except duckdb.InterruptException:
        return {"error": Timeout.code, "message": "", "hint": ""}, None
    except (duckdb.OutOfMemoryException, MemoryError) as error:
        return {
            "error": TooLarge.code,
            "message": f"the query needs too much memory ({str(error).splitlines()[0][:200]})",
            "hint": "ask for less at once",
        }, None
    except duckdb.Error as error:
        told = mistake(error, request["query"], lines_before=1)
        return {"error": told.code, "message": told.message, "hint": told.hint}, None
    except Exception as error:  # any failure while reading a text: the query is not run
        return {
            "error": RefusedQuery.code,
            "message": f"the query cannot be checked ({type(error).__name__})",
            "hint": "nest less, or write it in another way",
        }, None
    finally:
        cursor.close()


def _rehearse(cursor: duckdb.DuckDBPyConnection, sql: str, request: dict[str, Any], timeout_s: float) -> None:
    """Run it on the made-up rows. Only harm to the server counts. A made-up text that is no number,
    or too short a time, does not refuse the query: real rows may differ.

    Raises:
        TooLarge: a vector of its rows takes more memory than the process has.
    """
    try:
        with _interrupted_after(cursor, timeout_s, most_s=request["check_s"] / 3):
            fetch(
                cursor,
                sql,
                request["params"],
                limit_rows=request["limit_rows"],
                limit_bytes=request["limit_bytes"],
            )
    except DATABASE_ENDS:
        raise
    except (duckdb.OutOfMemoryException, MemoryError) as error:
        if "could not allocate block" in str(error):
            return  # memory of a sort, a join or a GROUP BY: the server spills it
        raise TooLarge(
            "a few thousand rows of the query need more memory than a query may have",
            hint="ask for shorter values",
        ) from error
    except duckdb.Error:
        return


def _rehearse_unconditional(
    cursor: duckdb.DuckDBPyConnection, prepared: Prepared, request: dict[str, Any]
) -> None:
    tree = unconditional(tree_of_text(cursor, prepared.text))
    if tree is None:
        return
    try:
        text = text_of_tree(cursor, tree)
    except DATABASE_ENDS:
        raise
    except duckdb.Error:  # a form that DuckDB writes but does not read
        return
    # DuckDB computes no more rows than a LIMIT asks for, and behind a condition it may be any of them.
    sql = projected(text, prepared.types, SAMPLE_ROWS, request["as_text"])
    _rehearse(cursor, sql if prepared.types else text, request, UNCONDITIONAL_S)


@contextmanager
def _interrupted_after(
    cursor: duckdb.DuckDBPyConnection, timeout_s: float, most_s: float | None = None
) -> Iterator[None]:
    """
    Args:
        most_s: where given, `timeout_s` counts the CPU of this process, for at most so long.
    """
    done = threading.Event()
    started_s, started_cpu_s = monotonic(), process_time()

    def wait() -> None:
        while not done.wait(_LOOK_S if most_s else timeout_s):
            if not most_s or process_time() - started_cpu_s > timeout_s or monotonic() - started_s > most_s:
                cursor.interrupt()
                return

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _stream(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _bound_address_space() -> int:
    """The limit, in bytes."""
    limit = _address_space_bytes() + ADDRESS_SPACE_EXTRA_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return limit


def _address_space_bytes() -> int:
    with open("/proc/self/statm") as file:  # not a file of anybody's
        return int(file.read().split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    main()
    os._exit(0)  # at once: DuckDB 2.0's binding calls its own module objects leaks at teardown
