"""Opens the database of a data folder, or says clearly why it cannot and what to do."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import NamedTuple

import duckdb

from collector.errors import DataFolderInUse, DataFolderUnusable
from collector.store.database_files import DATABASE_FILE_NAME, LOG_SUFFIX, RESCUED_SUFFIX
from collector.store.lake import HOT_FOLDER, LAKE_FOLDER
from collector.wal.segment import Position, missing_segments
from collector.wal.segment_folder import SEGMENT_SUFFIX

Config = dict[str, str | bool | int | float | list[str]]

SPOOL_FOLDER = "spool"
_NEW_DATABASE = (
    "begin a new one with --new-database: what the spool holds lands in it, and the lake's rows are in"
    " all_spans, all_logs and all_metrics"
)


class Remains(NamedTuple):
    """What a data folder holds besides its database."""

    segments: list[int]  # of the spool, those with content
    lake_file_count: int  # of the lake inside the folder
    hot_file_count: int = 0

    def __str__(self) -> str:
        parts = [
            f"{count} {what}{'s' if count > 1 else ''}"
            for count, what in (
                (len(self.segments), "spool segment"),
                (self.lake_file_count, "lake file"),
                (self.hot_file_count, "hot file"),
            )
            if count
        ]
        return " and ".join(parts)


def find_remains(folder: Path) -> Remains:
    paths = [path for path in (folder / SPOOL_FOLDER).glob(f"*{SEGMENT_SUFFIX}") if path.stem.isdecimal()]
    segments = sorted(int(path.stem) for path in paths if path.stat().st_size)
    lake_file_count = sum(1 for _ in (folder / LAKE_FOLDER).glob("*/date=*/hour=*/*.parquet"))
    hot_file_count = sum(1 for _ in (folder / HOT_FOLDER).glob("*/*.parquet"))
    return Remains(segments, lake_file_count, hot_file_count)


def open_file(folder: Path, config: Config, *, new_database: bool) -> duckdb.DuckDBPyConnection:
    """DuckDB's connection to the folder's database, which is made when the folder holds nothing of one.

    Args:
        new_database: make it also beside a spool and a lake that an earlier one has left.

    Raises:
        DataFolderInUse: another process has the file open.
        DataFolderUnusable: it is missing or damaged; the message says what is lost and how to go on.
    """
    path = folder / DATABASE_FILE_NAME
    log_path = path.with_name(path.name + LOG_SUFFIX)
    if not path.exists():
        remains = find_remains(folder)
        if not new_database:
            _refuse_remains(path, remains, log_path)
        if log_path.exists():  # DuckDB would delete it
            log_path.replace(log_path.with_name(log_path.name + ".without-database"))
    try:
        return duckdb.connect(str(path), config=config)
    except duckdb.Error as error:
        raise _explained(path, log_path, config, error) from error


def refuse_foreign_database(root: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """A database without Spyhop's tables beside a spool is not the one that the spool belongs to.

    Raises:
        DataFolderUnusable: as for a missing one.
    """
    remains = find_remains(folder)
    if any(remains):
        path = folder / DATABASE_FILE_NAME
        raise DataFolderUnusable(
            f"{path} is empty, and beside it are {remains} of another database",
            hint=f"put that one back from a backup, or {_NEW_DATABASE}",
            details={"folder": str(folder)},
        )


def damaged(path: Path, error: duckdb.Error) -> DataFolderUnusable:
    """The error for a database file whose bytes are wrong, or to which nothing can be written."""
    if "No space left" in str(error):
        return DataFolderUnusable(
            f"{path} cannot be opened: the disk is full ({_first_line(error)})",
            hint="free some space and start again: what was acknowledged is there",
            details={"file": str(path)},
        )
    rescued = path.with_name(path.name + RESCUED_SUFFIX)
    remains = find_remains(path.parent)
    beside = f"; {remains} beside it are untouched" if str(remains) else ""
    way = (
        f"rename {rescued.name}, a whole copy made by the last server, to {path.name}"
        if rescued.exists()
        else f"restore it from a backup, or move it away and {_NEW_DATABASE}"
    )
    return DataFolderUnusable(
        f"{path} cannot be opened, it is damaged ({_first_line(error)}){beside}",
        hint=way,
        details={"file": str(path)},
    )


def _refuse_remains(path: Path, remains: Remains, log_path: Path) -> None:
    rescued = path.with_name(path.name + RESCUED_SUFFIX)
    if rescued.exists():
        raise DataFolderUnusable(
            f"{path} is missing",
            hint=f"rename {rescued.name}, a whole copy made by the last server, to {path.name}",
            details={"file": str(path)},
        )
    found = [str(remains)] if str(remains) else []
    if log_path.exists():
        found.append(f"its log {log_path.name}")
    if found:
        raise DataFolderUnusable(
            f"{path} is missing, and {path.parent} holds {' and '.join(found)} of it",
            hint=f"put it back from a backup, choose another folder with --data DIR, or {_NEW_DATABASE}",
            details={"file": str(path)},
        )


def _explained(
    path: Path, log_path: Path, config: Config, error: duckdb.Error
) -> DataFolderUnusable | DataFolderInUse:
    text = str(error)
    if "replaying WAL" in text:
        return _damaged_log(path, log_path, config, error)
    if "set lock on file" in text:
        return DataFolderInUse(
            f"{path} is open in another process ({_first_line(error)})",
            hint="end that process, or choose another folder with --data DIR",
            details={"file": str(path)},
        )
    if any(sign in text for sign in ("Corrupt", "valid DuckDB database", "read enough bytes", "INTERNAL")):
        return damaged(path, error)
    return DataFolderUnusable(
        f"{path} cannot be opened ({_first_line(error)})",
        hint="choose another folder with --data DIR, or restore the file",
    )


def _damaged_log(path: Path, log_path: Path, config: Config, error: duckdb.Error) -> DataFolderUnusable:
    """DuckDB's log holds the commits since the last checkpoint; the spool keeps the telemetry among them."""
    aside = log_path.with_name(log_path.name + ".damaged")
    move = f"move the log away (mv {log_path} {aside}) and start again"
    segments = find_remains(path.parent).segments
    landed = _checkpointed_position(path, config)
    if landed is None:
        return DataFolderUnusable(
            f"{log_path} is damaged ({_first_line(error)}), and {path.name} cannot be read without it",
            hint="restore both from a backup, or move both away and " + _NEW_DATABASE,
        )
    lost = missing_segments(landed, segments)
    if lost:
        return DataFolderUnusable(
            f"{log_path} is damaged ({_first_line(error)}), and the spool segments {_ranges(lost)}, which"
            " landed since the last checkpoint, are gone: their rows are in this log alone",
            hint=f"restore it from a backup, or go on without them: {move}",
        )
    return DataFolderUnusable(
        f"{log_path} is damaged ({_first_line(error)}); no acknowledged telemetry is lost, since the spool"
        " holds all that came after the last checkpoint",
        hint=f"{move}: it lands again; only feedback given since that checkpoint is gone",
        details={"file": str(log_path)},
    )


def _checkpointed_position(path: Path, config: Config) -> Position | None:
    """The position of landing at the last checkpoint: under another name DuckDB does not find the log."""
    try:
        with tempfile.TemporaryDirectory(prefix=".look-", dir=path.parent) as name:
            linked = Path(name) / path.name
            os.link(path, linked)
            con = duckdb.connect(str(linked), read_only=True, config=config)
            try:
                query = "SELECT segment_id, segment_offset_bytes FROM landing_position"
                return Position(*con.execute(query).fetchall()[0])
            finally:
                con.close()
    except (duckdb.Error, OSError):
        return None


def _ranges(numbers: list[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _first_line(error: duckdb.Error) -> str:
    return str(error).partition("\n")[0]
