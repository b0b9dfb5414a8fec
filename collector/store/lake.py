"""Which Parquet files belong to the store, and the views that join them with recent rows."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import duckdb

LAKE_FOLDER = "lake"

log = logging.getLogger(__name__)


class SealedSignal(NamedTuple):
    """How one signal is kept in the lake."""

    label: str  # the folder's name, as in `Signal.label`
    table: str
    view: str
    time_column: str
    order: str  # neighbours compress well and are read together


SEALED_SIGNALS = (
    SealedSignal("traces", "spans_recent", "spans", "start_time", "service_name, span_name, start_time"),
    SealedSignal("logs", "logs_recent", "logs", "time", "service_name, time"),
    SealedSignal("metrics", "metrics_recent", "metrics", "time", "service_name, metric_name, time"),
)


def refresh_views(con: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Make `spans`, `logs` and `metrics` show the recent rows and every file that `lake_files` lists.

    Runs in the caller's transaction, so that views and rows change at one moment.
    """
    for signal in SEALED_SIGNALS:
        branches = [f"FROM {signal.table}", *_branches(con, signal, folder)]
        con.execute(f"CREATE OR REPLACE VIEW {signal.view} AS " + " UNION ALL BY NAME ".join(branches))


def file_columns(con: duckdb.DuckDBPyConnection, table: str) -> tuple[str, str]:
    """The SELECT lists that write and read a file. Parquet holds VARIANT as a column of its own only, so a
    list of structs that hold some is written as one VARIANT, which keeps every type inside it."""
    types = con.execute(f"SELECT column_name, column_type FROM (DESCRIBE {table})").fetchall()  # noqa: S608  # constant names
    nested = [(name, kind) for name, kind in types if "VARIANT" in kind and kind != "VARIANT"]
    if not nested:
        return "*", "*"
    written = ", ".join(f'"{name}"::VARIANT AS "{name}"' for name, _ in nested)
    read = ", ".join(f'"{name}"::{kind} AS "{name}"' for name, kind in nested)
    return f"* REPLACE ({written})", f"* REPLACE ({read})"


def quoted(text: object) -> str:
    """A SQL string literal: DuckDB's COPY and views take no parameters."""
    return "'{}'".format(str(text).replace("'", "''"))


def remove_orphans(con: duckdb.DuckDBPyConnection, folder: Path) -> int:
    """Delete files of this store that no transaction made visible, since a crash came between; how many."""
    (collector_id,) = con.execute("SELECT collector_id FROM lake_identity").fetchall()[0]
    known = {folder / path for (path,) in con.execute("SELECT path FROM lake_files").fetchall()}
    orphans = [
        path for path in (folder / LAKE_FOLDER).rglob(f"{collector_id}-*.parquet*") if path not in known
    ]
    for path in orphans:
        log.warning("removing %s: its rows are still in the database", path.name)
        path.unlink(missing_ok=True)
    return len(orphans)


def _branches(con: duckdb.DuckDBPyConnection, signal: SealedSignal, folder: Path) -> Iterable[str]:
    """One SELECT a day. Its constant bounds let DuckDB drop the whole branch while planning, for a query of
    another time or of newer batches, without opening a file."""
    days = con.execute(
        "SELECT list(path ORDER BY path), min(first_batch_id), max(last_batch_id),"
        " min(first_time)::VARCHAR, max(last_time)::VARCHAR"
        " FROM lake_files WHERE signal = ? AND expired_at IS NULL"
        " GROUP BY date_trunc('day', hour_start) ORDER BY 4",
        [signal.label],
    ).fetchall()
    _, columns = file_columns(con, signal.table)
    for paths, first_batch_id, last_batch_id, first_time, last_time in days:
        files = ", ".join(quoted(folder / path) for path in paths)
        yield (
            f"SELECT {columns} FROM read_parquet([{files}], hive_partitioning = false)"  # noqa: S608  # own paths, quoted
            f" WHERE batch_id BETWEEN {first_batch_id} AND {last_batch_id}"
            f' AND "{signal.time_column}" BETWEEN TIMESTAMP_NS {quoted(first_time)}'
            f" AND TIMESTAMP_NS {quoted(last_time)}"
        )
