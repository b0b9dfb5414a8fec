"""The attributes of the incident's spans and of usual ones, as aligned numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detectors.localise.traces import ATTRIBUTE_COLUMNS, Traces
from detectors.stats.arrays import BoolArray, FloatArray, IntArray

_NUMBER = r"^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
CODES_MAX = 10  # different numbers; with more, they measure something, with fewer they are names
_SEPARATOR = "\x1f"
_SCHEMA = pa.schema([(name, pa.string()) for name in ATTRIBUTE_COLUMNS])


@dataclass(frozen=True, slots=True)
class Carried:
    """One element for each attribute of a span.

    row: of the span in `Traces`; trace: a number for its trace; incident: whether that is the incident's.
    key, pair: numbers for the key, and for key and value together; `keys` and `pairs` name them.
    value: as text.
    """

    row: IntArray
    trace: IntArray
    incident: BoolArray
    key: IntArray
    pair: IntArray
    value: pa.Array
    keys: list[str]
    pairs: list[tuple[str, str]]

    @classmethod
    def of(cls, traces: Traces, *tables: pa.Table | None) -> Carried:
        """
        Args:
            tables: columns `ATTRIBUTE_COLUMNS`, of both kinds of traces; rows of others are left out.
        """
        spans = traces.table
        parts = [table.select(ATTRIBUTE_COLUMNS) for table in tables if table is not None]
        attributes = pa.concat_tables(parts) if parts else _SCHEMA.empty_table()
        wanted = pc.binary_join_element_wise(attributes["trace_id"], attributes["span_id"], _SEPARATOR)
        known = pc.binary_join_element_wise(spans["trace_id"], spans["span_id"], _SEPARATOR)
        rows = pc.index_in(wanted, value_set=known)
        held = pc.and_(pc.is_valid(rows), pc.is_valid(attributes["value"]))
        table = attributes.append_column("row", rows).filter(held).combine_chunks()
        row = np.asarray(table["row"].to_numpy(), dtype=np.int64)
        trace, _ = _codes(spans["trace_id"])
        key, keys = _codes(table["key"])
        value, values = _codes(table["value"])
        both = key * max(len(values), 1) + value
        kinds, pair = np.unique(both, return_inverse=True)
        names = [(keys[int(k) // max(len(values), 1)], values[int(k) % max(len(values), 1)]) for k in kinds]
        return cls(
            row, trace[row], traces.incident[row], key, pair, table["value"].combine_chunks(), keys, names
        )

    def texts(self, keys: Sequence[str]) -> dict[int, str]:
        """By row, a span's value of the first of these keys that it has."""
        found: dict[int, str] = {}
        for key in keys:
            if key in self.keys:
                places = np.flatnonzero(self.key == self.keys.index(key))
                texts = self.value.take(pa.array(places)).to_pylist()
                for row, text in zip(self.row[places].tolist(), texts, strict=True):
                    found.setdefault(row, text)
        return found

    def numbers(self) -> FloatArray:
        """Each value as a number; NaN where it is none."""
        numeric = pc.match_substring_regex(self.value, _NUMBER).to_numpy(zero_copy_only=False)
        number = np.full(len(numeric), np.nan)
        text = self.value.filter(pa.array(numeric))
        number[numeric] = pc.cast(text, pa.float64()).to_numpy(zero_copy_only=False)
        return number

    def measures(self) -> BoolArray:
        """By key: whether its values are numbers that measure something, rather than name it."""
        number = self.numbers()
        held = ~np.isnan(number)
        pairs = np.unique(self.pair[held])
        key_of = np.zeros(len(self.pairs), dtype=np.int64)
        key_of[self.pair] = self.key
        different = np.bincount(key_of[pairs], minlength=len(self.keys))
        share = np.bincount(self.key, weights=held, minlength=len(self.keys))
        everywhere = share == np.bincount(self.key, minlength=len(self.keys))
        found: BoolArray = everywhere & (different > CODES_MAX)
        return found


def _codes(column: pa.ChunkedArray) -> tuple[IntArray, list[str]]:
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):  # an empty column stays chunked
        return np.empty(0, dtype=np.int64), []
    return np.asarray(encoded.indices.to_numpy(), dtype=np.int64), encoded.dictionary.to_pylist()
