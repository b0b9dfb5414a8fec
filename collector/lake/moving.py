"""Moves rows: from the database to a file, or from several files to one.

A file is announced in `lake_writes`, then written and synced. Then one transaction makes it the place of its
rows: it is listed, the former place of the rows is removed, and the views change. A crash before that leaves
a file that only `lake_writes` knows, and `remove_unfinished` deletes it; after the transaction all is done.
"""

from __future__ import annotations

import calendar
import logging
from datetime import datetime, timedelta
from typing import NamedTuple

import duckdb

from collector.decode.columns import LAST_TIME_NS
from collector.decode.records import SHREDDABLE
from collector.decode.shredded import Unlike
from collector.lake.merging import is_merged, merge_files, types_of
from collector.lake.parquet import new_path, slice_seconds, write_file
from collector.lake.replacing import list_in_place
from collector.lake.shredding import shredding_option
from collector.store.durable import partial_of
from collector.store.file_columns import WRITTEN_FORMAT, columns_of, read_columns, written_columns
from collector.store.hot import batch_of
from collector.store.lake import SealedSignal, file_list, quoted, refresh_views, unpacked_rows
from collector.store.store import Store

_MERGED = frozenset(signal.label for signal in SHREDDABLE)

log = logging.getLogger(__name__)


class Hours(NamedTuple):
    """An hour, or several thin ones in a row, whose rows in the database will go to one file."""

    start: datetime
    end: datetime  # the first hour after them
    row_count: int
    last_batch_id: int


class HotHour(NamedTuple):
    """Hot files of one hour that one lake file will hold."""

    start: datetime
    paths: list[str]
    row_counts: list[int]
    hour_count: int  # rows of all settled hot files of that hour


class LakeFile(NamedTuple):
    """A listed file, for compaction."""

    path: str
    row_count: int
    file_format: int = WRITTEN_FORMAT


def seal(
    store: Store,
    con: duckdb.DuckDBPyConnection,
    signal: SealedSignal,
    hours: Hours,
    *,
    now_ns: int,
    rows_max: int,
) -> int:
    """Move the rows of `hours` up to their batch to a new file; returns how many.

    If there are more than `rows_max` rows, only about that many of the earliest move; the rest stays due.
    Landing only adds rows of newer batches, and nothing else deletes these rows. So the copy and the
    deletion, which are not in one transaction, see the same rows; their counts are compared before the
    commit.
    """
    condition = (
        f"WHERE batch_id <= {hours.last_batch_id}"
        f' AND "{signal.time_column}" >= TIMESTAMP_NS {quoted(hours.start)}'
        f' AND "{signal.time_column}" <= make_timestamp_ns({_last_ns(hours.end)})'
    )
    columns = f'"{signal.time_column}", batch_id'
    places = f"(SELECT {columns} FROM {signal.table} UNION ALL SELECT {columns} FROM {signal.packed_table})"  # noqa: S608  # names of the schema
    if hours.row_count > rows_max:
        ((last_ns,),) = con.execute(
            f'SELECT epoch_ns(quantile_disc("{signal.time_column}", ?)) FROM {places} {condition}',  # noqa: S608  # own numbers and times
            [rows_max / hours.row_count],
        ).fetchall()
        condition += f' AND "{signal.time_column}" <= make_timestamp_ns({last_ns})'
    ((has_packed,),) = con.execute(f"SELECT EXISTS (FROM {signal.packed_table} {condition})").fetchall()
    written = written_columns(columns_of(con, signal.table), signal.time_column)
    source = f"FROM {signal.table}"
    if has_packed:
        source = f"FROM ({source} UNION ALL BY NAME {unpacked_rows(con, signal)})"
    selected = f"SELECT {written} {source} {condition}"
    # Typed rows alone have few enough paths.
    shredding = shredding_option(con, selected) if has_packed else ""
    path = announce(con, signal, (hours.start, hours.end), hours.last_batch_id, now_ns)
    copied = write_file(con, store.lake / path, signal, selected, hours.row_count, shredding=shredding)
    store.share(store.lake / path)
    with store.view_transaction() as moving:
        moving.execute(
            f'INSERT INTO lake_files SELECT $1, $2, $3, min("{signal.time_column}"),'  # noqa: S608  # as above
            f' max("{signal.time_column}"), min(batch_id), max(batch_id), count(*), $4,'
            f" make_timestamp_ns($5), NULL, $6 FROM {places} {condition}",
            [path, signal.label, hours.start, (store.lake / path).stat().st_size, now_ns, WRITTEN_FORMAT],
        )
        deleted = sum(
            moving.execute(f"DELETE FROM {table} {condition}").fetchall()[0][0]  # noqa: S608  # as above
            for table in (signal.table, signal.packed_table)
        )
        _check_counts(copied, deleted, path)
        settle(store, moving, path)
    return copied


def seal_hot(
    store: Store, con: duckdb.DuckDBPyConnection, signal: SealedSignal, hour: HotHour, *, now_ns: int
) -> int:
    """Merge hot files of an hour to one of the lake; returns how many rows have moved.

    Files whose keys are too many together become several. A landing that meanwhile takes a later version of a
    span writes one of the files anew: then nothing has happened, and the hour is due as before.
    """
    hours = (hour.start, hour.start + timedelta(hours=1))
    paths = alike(store, hour.paths)
    path = announce(con, signal, hours, batch_of(paths[-1]), now_ns)
    sources = [store.folder / source for source in paths]
    copied = merge_files(signal, sources, store.lake / path, slice_seconds(hour.hour_count))
    store.share(store.lake / path)
    with store.view_transaction() as moving:
        size_bytes = (store.lake / path).stat().st_size
        replaced = list_in_place(
            moving, path, size_bytes, "lake_files", of=paths, source="hot_files", now_ns=now_ns
        )
        _check_counts(copied, replaced, path)
        settle(store, moving, path)
    return copied


def alike(store: Store, paths: list[str]) -> list[str]:
    """As many of the hot files, from the first on, as can be one."""
    while True:
        try:
            types_of([store.folder / path for path in paths])
        except Unlike:
            paths = paths[: len(paths) // 2]
        else:
            return paths


def compact(
    store: Store,
    con: duckdb.DuckDBPyConnection,
    signal: SealedSignal,
    hours: tuple[datetime, datetime],
    files: list[LakeFile],
    *,
    now_ns: int,
) -> int:
    """Rewrite listed files as one of the present format; returns its rows. The old files stay on disk until
    no query can be reading them.

    Args:
        hours: from the begin of the first one to the end of the last one.
    """
    paths = [file.path for file in files]
    expected = sum(file.row_count for file in files)
    (newest_batch_id,) = con.execute(
        "SELECT max(last_batch_id) FROM lake_files WHERE path IN (FROM unnest(?::VARCHAR[]))", [paths]
    ).fetchall()[0]
    path = announce(con, signal, hours, newest_batch_id, now_ns)
    target = store.lake / path
    if _are_merged(store, signal, files):
        copied = merge_files(
            signal, [store.lake / file.path for file in files], target, slice_seconds(expected)
        )
    else:
        rows = _rows_of(con, store, signal, files)
        # Each file may have few paths, but all together many; rare paths have no column in any of them.
        shredding = shredding_option(con, rows)
        copied = write_file(con, target, signal, rows, expected, shredding=shredding)
    store.share(store.lake / path)
    _check_counts(copied, expected, path)
    with store.view_transaction() as moving:
        size_bytes = (store.lake / path).stat().st_size
        replaced = list_in_place(
            moving, path, size_bytes, "lake_files", of=paths, source="lake_files", now_ns=now_ns
        )
        _check_counts(copied, replaced, path)
        settle(store, moving, path)
    return copied


def apart(store: Store, signal: SealedSignal, files: list[LakeFile]) -> list[list[LakeFile]]:
    """Groups of files that compaction makes one of: merged ones stay among themselves, since one that DuckDB
    wrote would have all their values shredded again. What is alone stays as it is."""
    merged = [file for file in files if _is_merged(store, signal, file)]
    others = [file for file in files if file not in merged]
    groups = [merged, others] if _are_merged(store, signal, merged) else [others]
    return [group for group in groups if len(group) > 1]


def _are_merged(store: Store, signal: SealedSignal, files: list[LakeFile]) -> bool:
    """Whether the files can be merged without DuckDB."""
    if not all(_is_merged(store, signal, file) for file in files):
        return False
    try:
        types_of([store.lake / file.path for file in files])
    except Unlike:
        return False
    return True


def _is_merged(store: Store, signal: SealedSignal, file: LakeFile) -> bool:
    is_present = signal.label in _MERGED and file.file_format == WRITTEN_FORMAT
    return is_present and is_merged(store.lake / file.path)


def remove_unfinished(store: Store) -> int:
    """Delete files that were announced and never listed, since a crash or an error came between; how many."""
    with store.transaction() as con:
        paths = [path for (path,) in con.execute("SELECT path FROM lake_writes").fetchall()]
        for path in paths:
            log.warning("removing %s: its rows are where they were", path)
            for name in (store.lake / path, partial_of(store.lake / path)):
                name.unlink(missing_ok=True)
        con.execute("DELETE FROM lake_writes")
    return len(paths)


def _rows_of(
    con: duckdb.DuckDBPyConnection, store: Store, signal: SealedSignal, files: list[LakeFile]
) -> str:
    """A SELECT of all rows of the files, in the columns of the present format."""
    columns = columns_of(con, signal.table)
    selects = []
    for file_format in sorted({file.file_format for file in files}):
        paths = [file.path for file in files if file.file_format == file_format]
        # By name: files of an older schema may lack a column.
        stored = (
            f"read_parquet({file_list(store.lake, paths)}, hive_partitioning = false, union_by_name = true)"
        )
        if file_format == WRITTEN_FORMAT:
            selects.append(f"SELECT * FROM {stored}")  # noqa: S608  # own paths, quoted
        else:
            written = written_columns(columns, signal.time_column)
            read = read_columns(columns, signal.time_column, file_format)
            selects.append(f"SELECT {written} FROM (SELECT {read} FROM {stored})")  # noqa: S608  # as above
    return selects[0] if len(selects) == 1 else f"FROM ({' UNION ALL BY NAME '.join(selects)})"


def announce(
    con: duckdb.DuckDBPyConnection,
    signal: SealedSignal,
    hours: tuple[datetime, datetime],
    last_batch_id: int,
    now_ns: int,
) -> str:
    (collector_id,) = con.execute("SELECT collector_id FROM lake_identity").fetchall()[0]
    path = new_path(signal, *hours, collector_id, last_batch_id)
    con.execute(
        "INSERT INTO lake_writes SELECT ?, make_timestamp_ns(?)", [path, now_ns]
    )  # this statement commits by itself
    return path


def settle(store: Store, con: duckdb.DuckDBPyConnection, path: str) -> None:
    con.execute("DELETE FROM lake_writes WHERE path = ?", [path])
    refresh_views(con, store.lake)


def _last_ns(end: datetime) -> int:
    """The last nanosecond before `end` that a TIMESTAMP_NS can hold."""
    seconds = calendar.timegm(end.timetuple())
    return min(seconds * 1_000_000_000 - 1, LAST_TIME_NS)


def _check_counts(written: int, replaced: int, path: str) -> None:
    if written != replaced:
        raise RuntimeError(f"{path} has {written} rows in place of {replaced}; nothing was moved")
