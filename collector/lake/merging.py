"""Files of spans as one file in the lake's order, without shredding any value again.

DuckDB reads a Variant by putting each value together, and its COPY takes each apart: 17 µs a span. Where all
files have the same columns, or can be given them, the columns are only sorted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from collector.decode.buffers import arrow
from collector.decode.shredded import Types, Unlike, common_types, with_types
from collector.store.durable import make_durable, partial_of
from collector.store.file_columns import unix_nano_column
from collector.store.span_files import lake_rows, write_spans

# Sorted and in memory at once: 700 bytes a row. Rows come in the order of time, nearly.
WINDOW_ROWS = 400_000
# Of a lake file: see `collector.lake.parquet`.
_GROUP_ROWS = 245_760
# Of a joined hot file. With 20,480 rows a condition on an attribute costs twice as much.
_JOINED_GROUP_ROWS = 122_880
_WRITER = "parquet-cpp-arrow"
_TIME = unix_nano_column("start_time")


def merge_spans(sources: Sequence[Path], target: Path, slice_s: int) -> int:
    """Write the rows of all sources into `target`, durably; returns how many.

    Args:
        slice_s: rows are sorted by service and name within slices of so many seconds.

    Raises:
        Unlike: the files have too many keys together, or one holds values in another form.
    """
    types = types_of(sources)
    schema = lake_rows(with_types(_empty(sources[0]), types)).schema
    target.parent.mkdir(parents=True, exist_ok=True)
    windows = (_sorted(lake_rows(window), slice_s) for window in _windows(sources, types, WINDOW_ROWS))
    rows = write_spans(partial_of(target), windows, schema, row_group_rows=_GROUP_ROWS)
    make_durable(partial_of(target), target)
    return rows


def join_spans(sources: Sequence[Path], target: Path) -> int:
    """Write the rows of hot files into another one, in their order, durably; returns how many.

    Raises:
        Unlike: as for `merge_spans`.
    """
    types = types_of(sources)
    schema = with_types(_empty(sources[0]), types).schema
    rows = write_spans(partial_of(target), _windows(sources, types, _JOINED_GROUP_ROWS), schema)
    make_durable(partial_of(target), target)
    return rows


def is_merged(path: Path) -> bool:
    """Whether a file was written here, so that it can be merged again."""
    created_by: str = pq.ParquetFile(path).metadata.created_by
    return created_by.startswith(_WRITER)


def types_of(sources: Sequence[Path]) -> Types:
    """The keys and types that the files have together.

    Raises:
        Unlike: as for `merge_spans`.
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


def _windows(sources: Sequence[Path], types: Types, row_count: int) -> Iterator[pa.Table]:
    """All rows in their order, `row_count` together and what the last row group has beyond."""
    pending: list[pa.Table] = []
    count = 0
    for path in sources:
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            rows = with_types(file.read_row_group(group, use_threads=False), types)
            pending.append(rows)
            count += len(rows)
            if count >= row_count:
                yield pa.concat_tables(pending).combine_chunks()
                pending, count = [], 0
    if pending:
        yield pa.concat_tables(pending).combine_chunks()


def _sorted(rows: pa.Table, slice_s: int) -> pa.Table:
    nanos = rows[_TIME].to_numpy()
    order = np.lexsort(
        (nanos, _ranks(rows["span_name"]), _ranks(rows["service_name"]), nanos // (slice_s * 1_000_000_000))
    )
    return rows.take(arrow(order.astype(np.int64)))


def _ranks(texts: pa.ChunkedArray) -> npt.NDArray[np.int32]:
    """Each text's place in the order of all distinct ones."""
    coded = texts.combine_chunks().dictionary_encode()
    order = np.argsort(np.array(coded.dictionary.to_pylist(), dtype=object))
    ranks = np.empty(len(order), dtype=np.int32)
    ranks[order] = np.arange(len(order))
    return np.asarray(ranks[coded.indices.to_numpy()])
