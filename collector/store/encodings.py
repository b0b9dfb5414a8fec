"""How a column of a Parquet file is encoded: by a dictionary where its values repeat, else as they are.

Of logs with a number each that never repeats, a lake file takes 8.5 bytes a row instead of 11.1 with a
dictionary for each column, of spans 9.0 instead of 10.8. BYTE_STREAM_SPLIT would take .2 to .8 less; Spark
reads it in its newest versions only.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.decode.buffers import arrow
from collector.store.file_columns import rest_column, unix_nano_column

DICTIONARY = "RLE_DICTIONARY"
# Whatever a sample says: ids hardly repeat, and times are steps. Trace ids repeat, and by their dictionary a
# trace is found in 2.6 ms of 100,000 rows instead of 5.
_STATED = {
    "trace_id": DICTIONARY,
    "span_id": "PLAIN",
    "parent_span_id": "PLAIN",
    "duration_ns": "DELTA_BINARY_PACKED",
    **{
        column: "DELTA_BINARY_PACKED"
        for time in ("start_time", "time", "observed_time")
        for column in (time, rest_column(time), unix_nano_column(time))
    },
}
# To look at them takes 0.3 to 0.5 µs a row of a file of 16,384 on a slow machine, which fewer dictionaries
# give back: writing it takes 1.4 to 2.1 µs a row with and without.
_SAMPLE_ROWS = 2048
# The share of distinct values in the sample from which on there is no dictionary. Texts keep theirs for
# longer: one of 10,007 users in 61,440 rows is found in 7 ms of CPU by it, in 11 without, for 1 byte a row.
_NUMBERS, _TEXTS = 0.5, 0.95


def encodings_of(rows: pa.Table) -> dict[str, str]:
    """The encoding of each column of a file, by its path, as a sample of `rows` suggests."""
    picked = arrow(np.linspace(0, max(0, len(rows) - 1), min(len(rows), _SAMPLE_ROWS)).astype(np.int64))
    return {
        path: _STATED[path] if path in _STATED else _suggested(values, picked)
        for name, column in zip(rows.column_names, rows.columns, strict=True)
        for path, values in _leaves(name, column.combine_chunks())
    }


def _suggested(values: pa.Array, picked: pa.Array) -> str:
    if pa.types.is_boolean(values.type) or values.null_count == len(values):
        return DICTIONARY  # Parquet has none of truths, and writes their bits
    present = values.take(picked).drop_null()
    share = pc.count_distinct(present).as_py() / max(1, len(present))
    if pa.types.is_floating(values.type):
        return "PLAIN" if share >= _NUMBERS else DICTIONARY
    if pa.types.is_integer(values.type):
        return "DELTA_BINARY_PACKED" if share >= _NUMBERS else DICTIONARY
    return "PLAIN" if share >= _TEXTS else DICTIONARY


def _leaves(path: str, column: pa.Array) -> Iterator[tuple[str, pa.Array]]:
    if not pa.types.is_struct(column.type):
        yield path, column
        return
    for place, field in enumerate(column.type):
        yield from _leaves(f"{path}.{field.name}", column.field(place))
