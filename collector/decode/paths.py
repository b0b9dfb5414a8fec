"""Counts the paths of keys in the VARIANT columns of a table.

DuckDB gives every distinct path of a row group a column of its own: 1.3 MB and 20 ms for each of them. So the
number of paths must be known before rows are stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Set
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from collector.decode.anyvalue import DEEP_METADATA_HEADER
from collector.decode.buffers import arrow, numbers, offsets
from collector.decode.variant_bytes import keys_of, walk

SEPARATOR = "\x1f"  # between the parts of a path: column, key, key within its value, …
Bools = npt.NDArray[np.bool_]


class VariantColumn(NamedTuple):
    """One place of a table where variants stand."""

    name: str  # `attributes`, or `events.attributes` within a list
    values: pa.StructArray  # `metadata` and `value`
    rows: npt.NDArray[np.int64] | None  # the table's row of each; None: row by row


def count_paths(table: pa.Table) -> dict[str, int]:
    """How many values have each path."""
    counts: Counter[str] = Counter()
    for column in variant_columns(table):
        for paths, count in _paths_of_distinct(column):
            for path in paths:
                counts[path] += count
    return dict(counts)


def rows_with_others(table: pa.Table, known: Set[str]) -> Bools:
    """Which rows hold a path that is not among `known`."""
    found = np.zeros(len(table), dtype=bool)
    for column in variant_columns(table):
        codes, dictionaries = _distinct_metadata(column)
        odd = np.zeros(len(dictionaries), dtype=bool)
        deep = np.zeros(len(dictionaries), dtype=bool)
        for place, metadata in enumerate(dictionaries):
            deep[place] = _is_deep(metadata)
            odd[place] = not deep[place] and any(p not in known for p in _flat_paths(column.name, metadata))
        deep_places = np.flatnonzero(deep[codes])
        is_odd = [not paths <= known for paths in _deep_paths(column, deep_places)]
        places = np.concatenate([np.flatnonzero(odd[codes]), deep_places[np.array(is_odd, dtype=bool)]])
        found[places if column.rows is None else column.rows[places]] = True
    return found


def variant_columns(table: pa.Table) -> Iterator[VariantColumn]:
    """Every column of variants, also those within a list of structs. The table has one chunk."""
    for field in table.schema:
        column = table[field.name].combine_chunks()
        if is_variant(field):
            yield VariantColumn(field.name, column, None)
        elif pa.types.is_list(field.type) and pa.types.is_struct(field.type.value_type):
            for inner in field.type.value_type:
                if is_variant(inner):
                    elements = column.flatten()
                    rows = np.repeat(np.arange(len(column)), np.diff(offsets(column)))
                    yield VariantColumn(f"{field.name}.{inner.name}", elements.field(inner.name), rows)


def is_variant(field: pa.Field) -> bool:
    return (field.metadata or {}).get(b"ARROW:extension:name") == b"arrow.parquet.variant"


def _paths_of_distinct(column: VariantColumn) -> Iterator[tuple[set[str], int]]:
    codes, dictionaries = _distinct_metadata(column)
    deep = np.array([_is_deep(metadata) for metadata in dictionaries], dtype=bool)
    counts = np.bincount(codes, minlength=len(dictionaries))
    for code in np.flatnonzero(~deep):
        yield set(_flat_paths(column.name, dictionaries[code])), int(counts[code])
    for paths in _deep_paths(column, np.flatnonzero(deep[codes])):
        yield paths, 1


def _distinct_metadata(column: VariantColumn) -> tuple[npt.NDArray[np.int64], list[bytes]]:
    """Each value's number of its dictionary of keys, and these. Spans of one operation share theirs."""
    encoded = column.values.field("metadata").dictionary_encode()
    return numbers(encoded.indices).astype(np.int64), encoded.dictionary.to_pylist()


def _is_deep(metadata: bytes) -> bool:
    return metadata[0] == DEEP_METADATA_HEADER


def _flat_paths(column: str, metadata: bytes) -> Iterator[str]:
    return (f"{column}{SEPARATOR}{key}" for key in keys_of(metadata))


def _deep_paths(column: VariantColumn, places: npt.NDArray[np.int64]) -> Iterator[set[str]]:
    taken = column.values.take(arrow(places))
    for metadata, value in zip(
        taken.field("metadata").to_pylist(), taken.field("value").to_pylist(), strict=True
    ):
        yield {SEPARATOR.join((column.name, *path)) for path, _ in walk(metadata, value) if path}
