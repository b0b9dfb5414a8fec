"""Files of spans or logs as one file in the lake's order, without shredding any value again.

DuckDB reads a Variant by putting each value together, and its COPY takes each apart: 17 µs a span. Where all
files have the same columns, or can be given them, the columns are only sorted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from collector.decode.buffers import arrow
from collector.decode.shredded import Types, Unlike, common_types, with_types
from collector.store.durable import make_durable, partial_of
from collector.store.file_columns import unix_nano_column
from collector.store.lake import SealedSignal
from collector.store.shredded_files import HOT_GROUP_ROWS, lake_rows, write_rows

# Sorted and in memory at once: 700 bytes a row. Rows come in the order of time, nearly.
WINDOW_ROWS = 400_000
# Of a lake file: see `collector.lake.parquet`.
_GROUP_ROWS = 245_760
_WRITER = "parquet-cpp-arrow"


class _RowGroup(NamedTuple):
    """One of a file."""

    first_time: int  # microseconds or nanoseconds, as the file has them
    path: Path
    number: int


def merge_files(signal: SealedSignal, sources: Sequence[Path], target: Path, slice_s: int) -> int:
    """Write the rows of all sources into `target`, durably; returns how many.

    Args:
        slice_s: rows are in the signal's order within slices of so many seconds.

    Raises:
        Unlike: the files have too many keys together, or one holds values in another form.
    """
    types = types_of(sources)
    time = signal.time_column
    schema = lake_rows(with_types(_empty(sources[0]), types), time).schema
    target.parent.mkdir(parents=True, exist_ok=True)
    windows = (
        _sorted(signal, lake_rows(window, time), slice_s)
        for window in _windows(_row_groups(sources, time), types, WINDOW_ROWS)
    )
    rows = write_rows(partial_of(target), windows, schema, row_group_rows=_GROUP_ROWS)
    make_durable(partial_of(target), target)
    return rows


def join_files(signal: SealedSignal, sources: Sequence[Path], target: Path) -> int:
    """Write the rows of hot files into another one, durably; returns how many.

    Its newest row group is the first: a query for the newest rows then leaves out the others.

    Raises:
        Unlike: as for `merge_files`.
    """
    types = types_of(sources)
    schema = with_types(_empty(sources[0]), types).schema
    windows = _windows(reversed(_row_groups(sources, signal.time_column)), types, HOT_GROUP_ROWS)
    rows = write_rows(partial_of(target), windows, schema)
    make_durable(partial_of(target), target)
    return rows


def is_merged(path: Path) -> bool:
    """Whether a file was written here, so that it can be merged again."""
    created_by: str = pq.ParquetFile(path).metadata.created_by
    return created_by.startswith(_WRITER)


def types_of(sources: Sequence[Path]) -> Types:
    """The keys and types that the files have together.

    Raises:
        Unlike: as for `merge_files`.
    """
    footers = [pq.ParquetFile(path) for path in sources]
    schemas = [footer.schema_arrow for footer in footers]
    if not all(footer.metadata.created_by.startswith(_WRITER) for footer in footers):
        raise Unlike("DuckDB's files may hold values in other forms")
    types = common_types(schemas, [footer.metadata.num_rows for footer in footers])
    given = {with_types(schema.empty_table(), types).schema.to_string() for schema in schemas}
    if len(given) > 1:
        raise Unlike("files of one kind differ in a type")
    return types


def _empty(path: Path) -> pa.Table:
    return pq.ParquetFile(path).schema_arrow.empty_table()


def _windows(groups: Iterable[_RowGroup], types: Types, row_count: int) -> Iterator[pa.Table]:
    """All rows in their order, `row_count` together and what the last row group has beyond."""
    pending: list[pa.Table] = []
    count = 0
    for group in groups:
        rows = with_types(pq.ParquetFile(group.path).read_row_group(group.number, use_threads=False), types)
        pending.append(rows)
        count += len(rows)
        if count >= row_count:
            yield pa.concat_tables(pending).combine_chunks()
            pending, count = [], 0
    if pending:
        yield pa.concat_tables(pending).combine_chunks()


def _row_groups(sources: Sequence[Path], time_column: str) -> list[_RowGroup]:
    """Those of all files, the oldest first."""
    found = []
    for path in sources:
        metadata = pq.ParquetFile(path).metadata
        for number in range(metadata.num_row_groups):
            columns = map(metadata.row_group(number).column, range(metadata.num_columns))
            time = next(column for column in columns if column.path_in_schema == time_column)
            found.append(_RowGroup(time.statistics.min_raw, path, number))
    return sorted(found)


def _sorted(signal: SealedSignal, rows: pa.Table, slice_s: int) -> pa.Table:
    nanos = rows[unix_nano_column(signal.time_column)].to_numpy()
    texts = [_ranks(rows[name]) for name in reversed(signal.order.split(", "))]
    order = np.lexsort((nanos, *texts, nanos // (slice_s * 1_000_000_000)))
    return rows.take(arrow(order.astype(np.int64)))


def _ranks(texts: pa.ChunkedArray) -> npt.NDArray[np.int32]:
    """Each text's place in the order of all distinct ones."""
    coded = texts.combine_chunks().dictionary_encode()
    order = np.argsort(np.array(coded.dictionary.to_pylist(), dtype=object))
    ranks = np.empty(len(order), dtype=np.int32)
    ranks[order] = np.arange(len(order))
    return np.asarray(ranks[coded.indices.to_numpy()])
