"""Deletes rows and files: by age, by size, and files whose rows are in a compacted file."""

from __future__ import annotations

import logging

from collector.store.lake import SEALED_SIGNALS, refresh_views
from collector.store.sqlfile import load_sql
from collector.store.store import Store

# A file is deleted this long after it left the views: longer than any query may run, and longer than another
# collector takes to read the listing again.
EXPIRED_KEEP_S = 120

log = logging.getLogger(__name__)


def expire(store: Store, *, now_ns: int, retention_s: float, max_bytes: int) -> None:
    """Take this collector's oldest hours out of the views, and with them rows that never got a file.

    Args:
        retention_s: age at which rows leave; 0: never.
        max_bytes: size of this collector's part of the lake beyond which its oldest hours leave; 0: any.
    """
    horizon_ns = now_ns - int(retention_s * 1e9) if retention_s else 0
    with store.view_transaction() as con:
        expired = con.execute(
            load_sql("collector.lake.queries", "expire_files"),
            [now_ns, horizon_ns, max_bytes or 2**62],
        ).fetchall()
        if horizon_ns:
            tables = [(s.time_column, table) for s in SEALED_SIGNALS for table in (s.table, s.packed_table)]
            for time_column, table in tables:
                con.execute(
                    f'DELETE FROM {table} WHERE "{time_column}" < make_timestamp_ns(?)',  # noqa: S608  # constant names
                    [horizon_ns],
                )
        expired += con.execute(
            "UPDATE hot_files SET expired_at = make_timestamp_ns(?)"
            " WHERE expired_at IS NULL AND last_time < make_timestamp_ns(?) RETURNING path",
            [now_ns, horizon_ns],
        ).fetchall()
        if expired:
            refresh_views(con, store.lake)
            log.info("%d files have passed their retention", len(expired))


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
