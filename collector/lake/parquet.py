"""Writes a lake file: its name, the order of its rows, and the sync to disk before anything refers to it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import duckdb

from collector.store.durable import make_durable, partial_of
from collector.store.file_columns import unix_nano_column
from collector.store.lake import SealedSignal, quoted

# Measured on 1 M spans of tests/benchmarks/fleet.sql: Parquet 2 encodings 37.0 bytes a span against 40.9.
# Groups of 245,760 rows against 122,880: an attribute search 3.1 ms against 4.5, since half as many footers'
# columns are read; the size is the same.
_OPTIONS = "FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2, ROW_GROUP_SIZE 245760"
# Rows of a file stand in slices of time, each sorted for itself. A trace then lies in one or two row groups,
# whose trace ids repeat, so DuckDB writes a dictionary and a bloom filter for them: a trace by id takes 8 ms
# against 17 in a file that is sorted by service alone, at 35.7 bytes a span against 37.0.
_ROWS_PER_SLICE = 60_000
_SLICE_MAX_S = 300
_HOUR_S = 3600
# The folder of files that hold several hours or days: Hive, Spark and DuckDB read its name as NULL, so that
# nobody takes their rows for rows of one hour.
SEVERAL = "__HIVE_DEFAULT_PARTITION__"


def new_path(
    signal: SealedSignal, start: datetime, end: datetime, collector_id: str, last_batch_id: int
) -> str:
    """A name in the lake that no collector, nor a copy of this one, has used or will use.

    Args:
        start, end: begin of the first hour and end of the last hour whose rows the file holds.
    """
    last = end - timedelta(hours=1)
    date = f"{start:%Y-%m-%d}" if last.date() == start.date() else SEVERAL
    hour = f"{start:%H}" if last <= start else SEVERAL
    return (
        f"{signal.label}/date={date}/hour={hour}/"
        f"{collector_id}-{last_batch_id:012d}-{uuid4().hex[:12]}.parquet"
    )


def write_file(
    con: duckdb.DuckDBPyConnection,
    target: Path,
    signal: SealedSignal,
    rows: str,
    row_count: int,
    *,
    shredding: str = "",
) -> int:
    """Sort `rows`, a SELECT, into `target`, durably.

    Args:
        shredding: the option that says which paths get columns; empty: all of the first row group.

    Returns:
        The number of rows written; `row_count` is what the caller expects, and only shapes the order.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(target)
    options = ", ".join(filter(None, (_OPTIONS, shredding)))
    copied = con.execute(
        f"COPY ({rows} ORDER BY {_order(signal, row_count)}) TO {quoted(partial)} ({options})"
    ).fetchall()
    make_durable(partial, target)
    return int(copied[0][0])


def _order(signal: SealedSignal, row_count: int) -> str:
    time = f'"{unix_nano_column(signal.time_column)}"'
    order = f"{signal.order}, {time}"
    if not signal.in_slices:
        return order
    return f"{time} // {slice_seconds(row_count) * 1_000_000_000}, {order}"


def slice_seconds(row_count: int) -> int:
    """How long the slices of time are, within which the rows of an hour with so many are sorted."""
    return max(1, min(_SLICE_MAX_S, _HOUR_S * _ROWS_PER_SLICE // max(1, row_count)))
