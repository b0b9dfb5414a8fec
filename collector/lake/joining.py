"""Small hot files become larger ones while more of them land: a query pays for each file that it opens.

A file of a second's landing costs a query 0.2 to 0.5 ms of CPU before its first row. Joining costs 1.7 µs a
row; sorting by service comes with the lake.
"""

from __future__ import annotations

from collections.abc import Collection

import duckdb

from collector.lake.merging import join_files
from collector.lake.moving import alike
from collector.lake.replacing import list_in_place
from collector.store.hot import batch_of, new_path
from collector.store.lake import SealedSignal, refresh_shared_views, refresh_view
from collector.store.sqlfile import load_sql
from collector.store.store import Store

# A file of so many rows costs little beside them; a joined one may be a member of the next.
SMALL_ROWS = 122_880
JOINED_ROWS_MAX = 1_000_000
FILES_MIN = 8

_QUERIES = "collector.store.queries"


def small_files(store: Store, signal: SealedSignal, unlike: Collection[str]) -> list[list[str]]:
    """Paths of hot files that should be one, for each hour that has enough of them.

    Args:
        unlike: files that cannot be joined with the next one.
    """
    params = [signal.label, SMALL_ROWS, JOINED_ROWS_MAX, FILES_MIN, sorted(unlike)]
    found = store.read(load_sql(_QUERIES, "small_hot_files"), params)
    paths: list[list[str]] = found["paths"].to_pylist()
    return paths


def join_hot(store: Store, signal: SealedSignal, paths: list[str], *, now_ns: int) -> int:
    """Put the rows of these hot files into one; returns how many files it took, from the first on.

    1: the first has other keys than the second. 0: a landing wrote one of them anew meanwhile, and nothing
    has changed.
    """
    paths = alike(store, paths)
    if len(paths) == 1:
        return 1
    path = new_path(signal, batch_of(paths[-1]))
    target = store.folder / path
    rows = join_files(signal, [store.folder / source for source in paths], target)
    is_listed = False
    try:
        with store.view_transaction() as con:
            row_count = _row_count(con, paths)
            if row_count is None:
                return 0
            if row_count != rows:
                raise RuntimeError(f"{path} has {rows} rows in place of {row_count}; nothing was joined")
            size_bytes = target.stat().st_size
            list_in_place(con, path, size_bytes, "hot_files", of=paths, source="hot_files", now_ns=now_ns)
            refresh_view(con, signal, store.lake)
            refresh_shared_views(con, store.lake, [signal])
            is_listed = True  # from here on an error may come after the COMMIT
    finally:
        if not is_listed:
            target.unlink()
    return len(paths)


def _row_count(con: duckdb.DuckDBPyConnection, paths: list[str]) -> int | None:
    """Rows of the files; None when one of them has left the view."""
    ((file_count, row_count),) = con.execute(
        "SELECT count(*), sum(row_count)::BIGINT FROM hot_files"
        " WHERE path IN (FROM unnest(?::VARCHAR[])) AND expired_at IS NULL",
        [paths],
    ).fetchall()
    return row_count if file_count == len(paths) else None
