"""Lists a file in the place of those whose rows it holds, in the transaction of the caller."""

from __future__ import annotations

from typing import Any, Literal

import duckdb

from collector.store.file_columns import WRITTEN_FORMAT
from collector.store.sqlfile import load_sql

FileTable = Literal["lake_files", "hot_files"]

_OF_LAKE = ",\n    make_timestamp_ns($now_ns) AS sealed_at,\n    $file_format AS file_format"


def list_in_place(
    con: duckdb.DuckDBPyConnection,
    path: str,
    size_bytes: int,
    target: FileTable,
    *,
    of: list[str],
    source: FileTable,
    now_ns: int,
) -> int:
    """List the file `path` in `target`; the files `of` in `source` leave the views.

    Returns:
        How many rows those had; less than all where one of them has left before.
    """
    values: dict[str, Any] = {"path": path, "size_bytes": size_bytes, "paths": of}
    if target == "lake_files":
        values |= {"now_ns": now_ns, "file_format": WRITTEN_FORMAT}
    query = load_sql("collector.lake.queries", "list_in_place").format(
        target=target, source=source, of_lake=_OF_LAKE if target == "lake_files" else ""
    )
    listed = con.execute(query, values).fetchall()
    expire_files(con, source, of, now_ns)
    return sum(row_count for (row_count,) in listed)


def expire_files(con: duckdb.DuckDBPyConnection, table: FileTable, paths: list[str], now_ns: int) -> None:
    """Files leave the views when these are made next."""
    con.execute(
        f"UPDATE {table} SET expired_at = make_timestamp_ns(?)"  # noqa: S608  # constant names
        " WHERE path IN (FROM unnest(?::VARCHAR[]))",
        [now_ns, paths],
    )
