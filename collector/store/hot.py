"""Hot files: spans and logs that landed while many came, as Parquet, until sealing moves them to the lake.

A file holds rows of one hour: of one batch, until small files are joined to a larger one. It is durable under
its name before the transaction that lists it and stores the spool position; a crash between the two leaves a
file that is not listed, and the next start removes it. Whatever is in no file (slow traffic, late rows, rows
with rare keys) is in the table.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from time import time
from uuid import uuid4

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from collector.decode.buffers import flags
from collector.store.durable import make_durable, partial_of
from collector.store.file_columns import HOT, columns_of, read_columns
from collector.store.lake import HOT_FOLDER, SEALED, SealedSignal, packed_rows, quoted
from collector.store.shredded_files import HOT_GROUP_ROWS, file_rows, unix_nanos, write_rows
from collector.store.sqlfile import load_sql

_SPANS = SEALED["traces"]
_EVERY, _WHOLE = "*/*.parquet*", "*/*.parquet"  # files of all signals
_HOUR_NS = 3_600_000_000_000
# Fewer rows of an hour, as come late, are not worth a file of their own: they go to the table.
HOUR_ROWS_MIN = 2_000
# They stand there as bytes, whose attributes take longer to search. More of them, as of a week that is sent
# again, land like slow ones, in typed columns.
LATE_ROWS_MAX = 10_000
# No landing takes so long: a file that is older and not listed is nobody's.
_UNLISTED_MAX_S = 600.0

log = logging.getLogger(__name__)


def store_rows(
    con: duckdb.DuckDBPyConnection, folder: Path, signal: SealedSignal, decoded: pa.Table, batch_id: int
) -> None:
    """Write rows with shredded attributes as files of one hour each, and list them in `con`'s transaction.

    The views do not show them before `refresh_views`.

    Raises:
        ValueError: they are of many hours, of which each has few.
    """
    # An attempt at this batch may have been rolled back.
    _remove_unlisted(con, folder, f"{signal.view}/{batch_id:012d}-*")
    rows = file_rows(decoded, batch_id, columns_of(con, signal.table), con)
    nanos = unix_nanos(rows, signal.time_column)
    hours, counts = np.unique(nanos // _HOUR_NS, return_counts=True)
    is_late = np.isin(nanos // _HOUR_NS, hours[counts < HOUR_ROWS_MIN])
    if (late_count := np.count_nonzero(is_late)) > LATE_ROWS_MAX:
        raise ValueError(f"{late_count} {signal.view} of hours that have few each")
    if late_count:
        _insert_packed(con, folder, signal, rows.filter(flags(is_late)))
    for hour in hours[counts >= HOUR_ROWS_MIN].tolist():
        of_hour = nanos // _HOUR_NS == hour
        own = rows if of_hour.all() else rows.filter(flags(of_hour))
        path = _write(folder, signal, own, batch_id)
        con.execute(
            load_sql("collector.store.queries", "list_hot_file"),
            [
                path,
                signal.label,
                hour * _HOUR_NS,
                int(nanos[of_hour].min()),
                int(nanos[of_hour].max()),
                batch_id,
                len(own),
                (folder / path).stat().st_size,
            ],
        )


def delete_spans(con: duckdb.DuckDBPyConnection, folder: Path, outdated: pa.Table, now_ns: int) -> int:
    """Take spans out of the files that hold them: each is written anew; returns how many have gone.

    Args:
        outdated: `trace_id`, `span_id`, `span_kind`, `service_name` and `start_time`, in nanoseconds.
    """
    keys = ["trace_id", "span_id", "span_kind", "service_name", "start_time"]
    gone = 0
    for path in _holding(con, folder, outdated):
        rows = pq.ParquetFile(folder / path).read()
        found = rows.select(keys).append_column("place", pa.array(range(len(rows))))
        hit = found.join(outdated.select(keys), keys, join_type="left semi")["place"].to_numpy()
        if len(hit) == 0:
            continue
        kept = np.ones(len(rows), dtype=bool)
        kept[hit] = False
        gone += len(hit)
        _replace(con, folder, path, rows.filter(flags(kept)), now_ns)
    return gone


def new_path(signal: SealedSignal, batch_id: int) -> str:
    """The name of a file whose newest rows are of this batch."""
    return f"{HOT_FOLDER}/{signal.view}/{batch_id:012d}-{uuid4().hex[:12]}.parquet"


def batch_of(path: str) -> int:
    """The batch in a file's name."""
    return int(PurePath(path).name.partition("-")[0])


def _unlisted(con: duckdb.DuckDBPyConnection, folder: Path, pattern: str = _EVERY) -> list[Path]:
    """Files that no transaction has listed, as `con` sees it."""
    files = sorted((folder / HOT_FOLDER).glob(pattern))
    if not files:
        return []
    listed = {path for (path,) in con.execute("SELECT path FROM hot_files").fetchall()}
    return [file for file in files if file.relative_to(folder).as_posix() not in listed]


def _remove_unlisted(
    con: duckdb.DuckDBPyConnection, folder: Path, pattern: str = _EVERY, *, older_than_s: float = 0
) -> None:
    """Delete unlisted files: their rows are still in the spool, or in the files that they were made of."""
    files = [file for file in _unlisted(con, folder, pattern) if _age_s(file) >= older_than_s]
    for file in files:
        file.unlink(missing_ok=True)
    if files:
        log.warning("%d hot files that no landing had finished were removed", len(files))


def _is_of_batch(file: Path, last: int) -> bool:
    """Whether a file has the name of one of the batches up to `last`."""
    batch, _, _ = file.name.partition("-")
    return batch.isdecimal() and int(batch) <= last


def _age_s(file: Path) -> float:
    try:
        return time() - file.stat().st_mtime
    except FileNotFoundError:
        return 0


def set_aside(folder: Path, files: Iterable[Path] | None = None) -> None:
    """Move files of another database (None: all) to the quarantine: their rows may be nowhere else."""
    files = list((folder / HOT_FOLDER).glob(_WHOLE) if files is None else files)
    if not files:
        return
    aside = folder / "quarantine" / f"hot-{uuid4().hex[:12]}"
    aside.mkdir(mode=0o700, parents=True)
    for file in files:
        file.replace(aside / file.name)
    log.warning("%d hot files of another database are in %s now", len(files), aside)


def open_files(con: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """At the start: remove what a crash left, and take files that somebody deleted out of the view."""
    ((landed,),) = con.execute("SELECT batch_id FROM landing_position").fetchall()
    # A crash leaves files of one batch beyond the last. Newer ones are of a database of which this is a copy.
    whole = _unlisted(con, folder, _WHOLE)
    set_aside(folder, [file for file in whole if not _is_of_batch(file, landed + 1)])
    _remove_unlisted(con, folder)
    rows = con.execute("SELECT path, expired_at IS NULL FROM hot_files").fetchall()
    missing = [path for path, _ in rows if not (folder / path).exists()]
    lost = [path for path, is_shown in rows if is_shown and path in missing]
    if lost:
        log.error("%d hot files are gone, and their rows with them, e.g. %s", len(lost), lost[0])
    con.execute("DELETE FROM hot_files WHERE path IN (FROM unnest(?::VARCHAR[]))", [missing])


def remove_unfinished(con: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """While landing goes on: files of landings that failed."""
    _remove_unlisted(con, folder, older_than_s=_UNLISTED_MAX_S)


def has_files(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether there are hot files."""
    ((found,),) = con.execute("SELECT EXISTS (FROM hot_files WHERE expired_at IS NULL)").fetchall()
    return bool(found)


def _write(folder: Path, signal: SealedSignal, rows: pa.Table, batch_id: int) -> str:
    path = new_path(signal, batch_id)
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    write_rows(partial_of(target), _newest_first(rows), rows.schema)
    make_durable(partial_of(target), target)
    return path


def _newest_first(rows: pa.Table) -> Iterator[pa.Table]:
    """Row groups, the last first: a query for the newest rows then leaves out the others."""
    for end in range(len(rows), 0, -HOT_GROUP_ROWS):
        begin = max(0, end - HOT_GROUP_ROWS)
        yield rows.slice(begin, end - begin)


def _holding(con: duckdb.DuckDBPyConnection, folder: Path, outdated: pa.Table) -> Iterator[str]:
    """The files that have a trace of these spans; only those of their times are opened."""
    con.register("outdated", outdated)
    try:
        files = con.execute(load_sql("collector.store.queries", "hot_files_of_spans")).fetchall()
    finally:
        con.unregister("outdated")
    traces = pc.unique(outdated["trace_id"])
    for (path,) in files:
        ids = pq.ParquetFile(folder / path).read(["trace_id"])["trace_id"]
        if pc.any(pc.is_in(ids, value_set=traces)).as_py():
            yield path


def _insert_packed(
    con: duckdb.DuckDBPyConnection, folder: Path, signal: SealedSignal, rows: pa.Table
) -> None:
    """Into the table of rows whose variants are bytes, which takes any keys.

    DuckDB takes shredded rows from a file only.
    """
    file = folder / HOT_FOLDER / signal.view / f"passing-{uuid4().hex}.parquet.partial"
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_rows(file, [rows], rows.schema)
        shown = read_columns(columns_of(con, signal.table), signal.time_column, HOT)
        source = f"(SELECT {shown} FROM read_parquet({quoted(file)}))"  # noqa: S608  # own path
        con.execute(f"INSERT INTO {signal.packed_table} BY NAME {packed_rows(con, signal, source)}")
    finally:
        file.unlink(missing_ok=True)


def _replace(con: duckdb.DuckDBPyConnection, folder: Path, path: str, rows: pa.Table, now_ns: int) -> None:
    if len(rows):
        new = _write(folder, _SPANS, rows, batch_of(path))
        con.execute(
            "INSERT INTO hot_files SELECT ?, signal, hour_start, first_time, last_time, first_batch_id,"
            " last_batch_id, ?, ?, NULL FROM hot_files WHERE path = ?",
            [new, len(rows), (folder / new).stat().st_size, path],
        )
    con.execute("UPDATE hot_files SET expired_at = make_timestamp_ns(?) WHERE path = ?", [now_ns, path])
