"""Rows of a query as Arrow, with a bound on their number and their bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import duckdb
import pyarrow as pa

from collector.errors import TooLarge
from collector.sql.statement import Params

# One of DuckDB's vectors: the smallest number of rows that arrive together, however wide they are.
_BATCH_ROWS = 2048
# Of threads and processes that run queries. Landing and detection come first: on two cores, ten heavy queries
# at the same priority let landing fall 30 s behind 20,000 spans/s.
NICENESS = 10
_ERRORS = {
    "INTERRUPT": duckdb.InterruptException,
    "Out of Memory": duckdb.OutOfMemoryException,
    "INTERNAL": duckdb.InternalException,
    "FATAL": duckdb.FatalException,
    "Permission": duckdb.PermissionException,
}


class Fetched(NamedTuple):
    """What was read, and whether there was more."""

    table: pa.Table
    is_cut: bool


def fetch(
    con: duckdb.DuckDBPyConnection, sql: str, params: Params, *, limit_rows: int, limit_bytes: int
) -> Fetched:
    """Run `sql` and read its rows as they are made, up to whichever limit comes first.

    Raises:
        TooLarge: a single row is larger than `limit_bytes`.
        duckdb.Error: DuckDB cannot run it, or was interrupted.
    """
    relation = con.sql(sql, params=params)
    assert relation is not None, "a SELECT or EXPLAIN always has rows"
    reader = relation.to_arrow_reader(_BATCH_ROWS)
    batches: list[pa.RecordBatch] = []
    rows_left, bytes_left, is_cut = limit_rows, limit_bytes, False
    for batch in _batches(reader):
        fitting = min(batch.num_rows, rows_left, _rows_within(batch, bytes_left))
        if fitting < batch.num_rows:
            is_cut = True
            batch = batch.slice(0, fitting)  # noqa: PLW2901  # what remains of it
        batches.append(batch)
        rows_left -= fitting
        bytes_left -= batch.get_total_buffer_size() if not is_cut else 0
        if is_cut:
            break
    table = pa.Table.from_batches(batches, schema=reader.schema)
    if is_cut and limit_rows > 0 and table.num_rows == 0:
        raise TooLarge(
            f"one row of the result is larger than {limit_bytes:,} bytes",
            hint="select fewer or shorter columns, or raise SPYHOP_SQL_LIMIT_BYTES",
        )
    return Fetched(table, is_cut)


def _batches(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """Turn the text by which Arrow reports an error of DuckDB into that error again."""
    try:
        yield from reader
    except (OSError, pa.ArrowException) as error:
        text = str(error)
        kinds = (kind for prefix, kind in _ERRORS.items() if text.startswith(prefix))
        raise next(kinds, duckdb.Error)(text) from error


def _rows_within(batch: pa.RecordBatch, limit_bytes: int) -> int:
    """How many of its first rows fit, if all rows are equally long."""
    size_bytes = batch.get_total_buffer_size()
    if size_bytes <= limit_bytes:
        return int(batch.num_rows)
    return int(batch.num_rows * max(limit_bytes, 0) // size_bytes)
