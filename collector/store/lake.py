"""The Parquet files of the store, and the views that join them with recent rows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import duckdb

from collector.store.file_columns import HOT, columns_of, file_time, read_columns, struct_fields
from collector.store.sqlfile import load_sql

HOT_FOLDER = "hot"  # in the data folder: `collector.store.hot`
LAKE_FOLDER = "lake"  # in the data folder, unless another is chosen
# A query opens each file of a branch whose bounds it meets, and planning one of each branch.
HOT_FILES_PER_BRANCH = 32
# A file of several hours would widen the bounds of its day's others.
_SHARED_PATH = "CASE WHEN date_trunc('hour', last_time) > hour_start THEN path END"


class SealedSignal(NamedTuple):
    """How one signal is kept in the lake."""

    label: str  # the folder's name, as in `Signal.label`
    table: str
    packed_table: str  # the same rows where a path of attributes is not typed: variants as bytes
    view: str
    time_column: str
    order: str  # and then by time: neighbours compress well and are read together
    in_slices: bool  # in order of time first, in slices that hold whole traces: see `collector.lake.parquet`


SEALED_SIGNALS = (
    SealedSignal(
        "traces",
        "spans_recent",
        "spans_packed",
        "spans",
        "start_time",
        "service_name, span_name",
        in_slices=True,
    ),
    SealedSignal("logs", "logs_recent", "logs_packed", "logs", "time", "service_name", in_slices=True),
    SealedSignal(
        "metrics",
        "metrics_recent",
        "metrics_packed",
        "metrics",
        "time",
        "service_name, metric_name",
        in_slices=False,  # a series is read over time, and has no trace
    ),
)

SEALED = {signal.label: signal for signal in SEALED_SIGNALS}


def refresh_views(con: duckdb.DuckDBPyConnection, lake: Path) -> None:
    """Make `spans`, `logs` and `metrics` show the recent rows and every file that `lake_files` lists, and
    `all_spans`, `all_logs`, `all_metrics` also what other collectors have published.

    Runs in the caller's transaction, so that views and rows change at one moment.
    """
    for signal in SEALED_SIGNALS:
        refresh_view(con, signal, lake)
    refresh_shared_views(con, lake)


def refresh_view(con: duckdb.DuckDBPyConnection, signal: SealedSignal, lake: Path) -> None:
    """The same of one of `spans`, `logs` and `metrics`."""
    branches = [
        f"FROM {signal.table}",
        unpacked_rows(con, signal),
        *_hot_branches(con, signal),
        *_own_branches(con, signal, lake),
    ]
    con.execute(f"CREATE OR REPLACE VIEW {signal.view} AS " + " UNION ALL BY NAME ".join(branches))


def refresh_shared_views(
    con: duckdb.DuckDBPyConnection, lake: Path, signals: Iterable[SealedSignal] = SEALED_SIGNALS
) -> None:
    """`all_spans`, `all_logs`, `all_metrics`: own rows and other collectors', each with whose it is."""
    (own_id,) = con.execute("SELECT collector_id FROM lake_identity").fetchall()[0]
    for signal in signals:
        branches = [
            f"SELECT {quoted(own_id)} AS collector_id, * FROM {signal.view}",  # noqa: S608  # constant names
            *_foreign_branches(con, signal, lake),
        ]
        con.execute(f"CREATE OR REPLACE VIEW all_{signal.view} AS " + " UNION ALL BY NAME ".join(branches))


def unpacked_rows(con: duckdb.DuckDBPyConnection, signal: SealedSignal) -> str:
    """A SELECT of the packed rows, with the columns of the others."""
    replaced = ", ".join(
        f'{_unpacked(name, kind)} AS "{name}"'
        for name, kind in columns_of(con, signal.table)
        if "VARIANT" in kind
    )
    return f"SELECT * REPLACE ({replaced}) FROM {signal.packed_table}"  # noqa: S608  # names of the schema


def packed_rows(con: duckdb.DuckDBPyConnection, signal: SealedSignal, source: str) -> str:
    """A SELECT of rows of `source`, which has the table's columns, as the table of packed rows takes them."""
    replaced = ", ".join(
        f'{_packed(name, kind)} AS "{name}"'
        for name, kind in columns_of(con, signal.table)
        if "VARIANT" in kind
    )
    return f"SELECT * REPLACE ({replaced}) FROM {source}"  # noqa: S608  # names of the schema


def _packed(name: str, kind: str) -> str:
    if kind == "VARIANT":
        return _bytes_of(f'"{name}"')
    fields = ", ".join(
        f'"{field}" := ' + (_bytes_of(f'e."{field}"') if inner == "VARIANT" else f'e."{field}"')
        for field, inner in struct_fields(kind)
    )
    return f'list_transform("{name}", lambda e: struct_pack({fields}))'


def _bytes_of(variant: str) -> str:
    encoded = f'variant_to_parquet_variant({variant})::STRUCT(metadata BLOB, "value" BLOB)'
    return f"list_transform([{encoded}], lambda v: v.metadata || v.value)[1]"


def _unpacked(name: str, kind: str) -> str:
    if kind == "VARIANT":
        return f'variant_bytes_to_variant("{name}")'
    fields = ", ".join(
        f'"{field}" := '
        + (f'variant_bytes_to_variant(e."{field}")' if inner == "VARIANT" else f'e."{field}"')
        for field, inner in struct_fields(kind)
    )
    return f'list_transform("{name}", lambda e: struct_pack({fields}))'


def quoted(text: object) -> str:
    """A SQL string literal: DuckDB's COPY and views take no parameters."""
    return "'{}'".format(str(text).replace("'", "''"))


def file_list(lake: Path, paths: Iterable[str]) -> str:
    """`read_parquet`'s first argument."""
    return "[{}]".format(", ".join(quoted(lake / path) for path in paths))


def _hot_branches(con: duckdb.DuckDBPyConnection, signal: SealedSignal) -> Iterable[str]:
    """One SELECT for so many hot files of an hour as landed one after another."""
    groups = con.execute(
        load_sql("collector.store.queries", "hot_groups"), [signal.label, HOT_FILES_PER_BRANCH]
    ).fetchall()
    if not groups:
        return
    folder = _data_folder(con)
    for paths, first_batch_id, last_batch_id, first_time, last_time in groups:
        yield (
            f"SELECT {_read(con, signal, HOT)} FROM {_files(folder, paths)}"  # noqa: S608  # own paths, quoted
            f" WHERE batch_id BETWEEN {first_batch_id} AND {last_batch_id}"
            f" AND {_within(signal, HOT, first_time, last_time)}"
        )


def _data_folder(con: duckdb.DuckDBPyConnection) -> Path:
    query = "SELECT path FROM duckdb_databases() WHERE database_name = current_database()"
    ((path,),) = con.execute(query).fetchall()
    return Path(path).absolute().parent


def _own_branches(con: duckdb.DuckDBPyConnection, signal: SealedSignal, lake: Path) -> Iterable[str]:
    """One SELECT a day, and one for each file that thin hours share. Its constant bounds let DuckDB drop the
    whole branch while planning, for a query of another time or of newer batches, without opening a file."""
    days = con.execute(
        "SELECT list(path ORDER BY path), file_format, min(first_batch_id), max(last_batch_id),"  # noqa: S608  # a constant
        " min(first_time)::VARCHAR, max(last_time)::VARCHAR"
        " FROM lake_files WHERE signal = ? AND expired_at IS NULL"
        f" GROUP BY date_trunc('day', hour_start), {_SHARED_PATH}, file_format ORDER BY 5, file_format",
        [signal.label],
    ).fetchall()
    for paths, file_format, first_batch_id, last_batch_id, first_time, last_time in days:
        yield (
            f"SELECT {_read(con, signal, file_format)} FROM {_files(lake, paths)}"  # noqa: S608  # own paths, quoted
            f" WHERE batch_id BETWEEN {first_batch_id} AND {last_batch_id}"
            f" AND {_within(signal, file_format, first_time, last_time)}"
        )


def _foreign_branches(con: duckdb.DuckDBPyConnection, signal: SealedSignal, lake: Path) -> Iterable[str]:
    """The same for other collectors, whose batch numbers mean nothing here."""
    days = con.execute(
        "SELECT collector_id, list(path ORDER BY path), file_format,"  # noqa: S608  # a constant
        " min(first_time)::VARCHAR, max(last_time)::VARCHAR"
        " FROM lake_foreign_files WHERE signal = ?"
        f" GROUP BY collector_id, date_trunc('day', hour_start), {_SHARED_PATH}, file_format"
        " ORDER BY 1, 4, file_format",
        [signal.label],
    ).fetchall()
    for collector_id, paths, file_format, first_time, last_time in days:
        yield (
            f"SELECT {quoted(collector_id)} AS collector_id, {_read(con, signal, file_format)}"  # noqa: S608  # quoted
            f" FROM {_files(lake, paths)}"
            f" WHERE {_within(signal, file_format, first_time, last_time)}"
        )


def _read(con: duckdb.DuckDBPyConnection, signal: SealedSignal, file_format: int) -> str:
    return read_columns(columns_of(con, signal.table), signal.time_column, file_format)


def _files(lake: Path, paths: Iterable[str]) -> str:
    return f"read_parquet({file_list(lake, paths)}, hive_partitioning = false)"


def _within(signal: SealedSignal, file_format: int, first_time: str, last_time: str) -> str:
    return (
        f"{file_time(signal.time_column, file_format)} BETWEEN TIMESTAMP_NS {quoted(first_time)}"
        f" AND TIMESTAMP_NS {quoted(last_time)}"
    )
