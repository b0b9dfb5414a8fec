"""Deletes rows and files: by age, by size, and files whose rows are in a compacted file."""

from __future__ import annotations

import logging
from typing import get_args

from collector.lake.replacing import FileTable, expire_files
from collector.store.lake import SEALED_SIGNALS, refresh_views
from collector.store.sqlfile import load_sql
from collector.store.store import Store

# A file is deleted this long after it left the views: longer than any query may run, and longer than another
# collector takes to read the listing again.
EXPIRED_KEEP_S = 120

log = logging.getLogger(__name__)


def expire(store: Store, *, now_ns: int, retention_s: float, max_bytes: int, files_share: float) -> None:
    """Take this collector's oldest rows out of the views.

    Args:
        retention_s: age at which rows leave, those too that never got a file; 0: never.
        max_bytes: size of the database's rows and the own files together, beyond which the oldest files
            leave; 0: any.
        files_share: of it, which files keep however large the database is.
    """
    horizon_ns = now_ns - int(retention_s * 1e9) if retention_s else 0
    for_files_bytes = _left(max_bytes, store.sizes().used_bytes, files_share) if max_bytes else 2**62
    with store.view_transaction() as con:
        overdue = con.execute(
            load_sql("collector.lake.queries", "overdue_files"), [horizon_ns, for_files_bytes]
        ).fetchall()
        for table in get_args(FileTable):
            expire_files(con, table, [path for file_table, path in overdue if file_table == table], now_ns)
        if horizon_ns:
            tables = [(s.time_column, table) for s in SEALED_SIGNALS for table in (s.table, s.packed_table)]
            for time_column, table in tables:
                con.execute(
                    f'DELETE FROM {table} WHERE "{time_column}" < make_timestamp_ns(?)',  # noqa: S608  # constant names
                    [horizon_ns],
                )
        if overdue:
            refresh_views(con, store.lake)
            log.info("%d files have passed their retention", len(overdue))


def _left(max_bytes: int, database_bytes: int, files_share: float) -> int:
    """How many bytes of the limit files may take.

    >>> [_left(1000, database_bytes, 0.5) for database_bytes in (0, 300, 2000)]
    [1000, 700, 500]
    """
    return max(max_bytes - database_bytes, int(max_bytes * files_share))


def delete_expired(store: Store, now_ns: int) -> int:
    """Delete the files that left the views `EXPIRED_KEEP_S` ago; how many."""
    expired_before = "expired_at < make_timestamp_ns(?)"
    horizon = [now_ns - EXPIRED_KEEP_S * 1_000_000_000]
    deleted = 0
    for table, folder in (("lake_files", store.lake), ("hot_files", store.folder)):
        query = f"SELECT path FROM {table} WHERE {expired_before}"  # noqa: S608  # constants
        files = store.read(query, horizon)["path"].to_pylist()
        if not files:
            continue
        store.checkpoint()  # a database that lost its log would list them again
        for path in files:  # before their rows go: a crash between the two only deletes them again
            (folder / path).unlink(missing_ok=True)
        with store.transaction() as con:
            con.execute(f"DELETE FROM {table} WHERE path IN (FROM unnest(?::VARCHAR[]))", [files])  # noqa: S608  # constants
        deleted += len(files)
    return deleted
