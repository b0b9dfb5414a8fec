"""Spans or logs with shredded attributes as a Parquet file, hot or of the lake, written by pyarrow."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from collector.decode.buffers import arrow, lengths
from collector.decode.shredded import SHREDDED_COLUMNS
from collector.store.encodings import DICTIONARY, encodings_of
from collector.store.file_columns import Column, rest_column, unix_nano_column, written_list
from collector.store.variant_footer import mark_variants

LIST_COLUMNS = ("events", "links")
VARIANT_COLUMNS = frozenset((*SHREDDED_COLUMNS, *LIST_COLUMNS, "body"))
_NANOSECONDS = pa.timestamp("ns")
# Of a hot file. The newest 100 whole rows of 400,000 take 83 ms of CPU, 180 with row groups of 122,880;
# attribute = value takes 7.1 ms, 5.9 with 122,880 and 10.1 with 20,480.
HOT_GROUP_ROWS = 40_960


def file_rows(
    decoded: pa.Table, batch_id: int, columns: list[Column], con: duckdb.DuckDBPyConnection
) -> pa.Table:
    """The columns of a hot file of decoded rows with shredded attributes.

    Args:
        columns: of the signal's table.
    """
    made = {"batch_id": arrow(np.full(len(decoded), batch_id, dtype=np.int64))}
    for name, kind in columns:
        if name in LIST_COLUMNS:
            made[name] = _as_variants(decoded[name].combine_chunks(), Column(name, kind), con)
    return pa.table({name: made[name] if name in made else decoded[name] for name, _ in columns})


def unix_nanos(rows: pa.Table, time_column: str) -> npt.NDArray[np.int64]:
    """A time of rows of a hot file."""
    return np.asarray(rows[time_column].combine_chunks().view(pa.int64()).to_numpy())


def lake_rows(rows: pa.Table, time_column: str) -> pa.Table:
    """Rows of a hot file with the times of a lake file; those of a lake file as they are."""
    if unix_nano_column(time_column) in rows.column_names:
        return rows
    nanos = {field.name: unix_nanos(rows, field.name) for field in rows.schema if field.type == _NANOSECONDS}
    for name, values in nanos.items():
        microseconds = arrow(values // 1000).view(pa.timestamp("us"))
        rows = rows.set_column(rows.schema.get_field_index(name), name, microseconds)
        rows = rows.append_column(rest_column(name), pa.array((values % 1000).astype(np.int16)))
    return rows.append_column(unix_nano_column(time_column), arrow(nanos[time_column]))


def write_rows(
    target: Path, tables: Iterable[pa.Table], schema: pa.Schema, *, row_group_rows: int = 1 << 20
) -> int:
    """Write tables of `schema` one after another, each in row groups of its own; returns how many rows."""
    tables = iter(tables)
    first = next(tables, schema.empty_table())
    encodings = encodings_of(first)
    try:
        rows = 0
        with pq.ParquetWriter(
            target,
            schema,
            compression="zstd",
            store_schema=False,
            use_dictionary=[path for path, encoding in encodings.items() if encoding == DICTIONARY],
            column_encoding={
                path: encoding for path, encoding in encodings.items() if encoding != DICTIONARY
            },
            write_statistics=True,
        ) as writer:
            for table in chain([first], tables):
                writer.write_table(table, row_group_size=row_group_rows)
                rows += len(table)
        mark_variants(target, VARIANT_COLUMNS)
    except BaseException:  # a full disk needs the room: each attempt writes a file of its own
        target.unlink(missing_ok=True)
        raise
    return rows


def _as_variants(lists: pa.ListArray, column: Column, con: duckdb.DuckDBPyConnection) -> pa.StructArray:
    """Parquet cannot nest Variants, so a list of structs that hold some is one. Most spans have none."""
    sizes = lengths(lists)
    filled = np.flatnonzero(sizes)
    places = np.zeros(len(lists), dtype=np.int64)
    places[filled] = np.arange(1, len(filled) + 1)
    con.register("lists", pa.table({column.name: lists.take(arrow(filled))}))
    written = (
        f'variant_to_parquet_variant({written_list(*column)}::VARIANT)::STRUCT(metadata BLOB, "value" BLOB)'
    )
    try:
        encoded = con.sql(
            f'SELECT {written} AS v FROM (SELECT []::{column.kind} AS "{column.name}")'  # noqa: S608  # names of the schema
            f" UNION ALL SELECT {written} FROM lists"
        ).to_arrow_table()
    finally:
        con.unregister("lists")
    variants = encoded["v"].combine_chunks().take(arrow(places))
    parts = [variants.field("metadata"), variants.field("value")]
    return pa.StructArray.from_arrays(
        parts, fields=[pa.field("metadata", pa.binary(), nullable=False), pa.field("value", pa.binary())]
    )
