"""Whole columns of OTLP attributes to shredded Parquet Variants: each frequent key is a column of its type.

What DuckDB's COPY makes of a VARIANT, 14 µs a span of nine attributes, is put together here while keys and
values are still columns: decoding takes 2.8 µs a span, with values as bytes 3.5. A row with a key that gets
no column is left out (NULL), and so is one with a map: a reader that finds a rest of unshredded values in a
row group reads all of its values whole.

Encoding: Variant Shredding, https://github.com/apache/parquet-format/blob/master/VariantShredding.md
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collector.decode.anyvalue import EMPTY_METADATA, encode_value
from collector.decode.buffers import Bools, Ints, arrow, lengths, valid
from collector.decode.keys import Chosen, choose
from collector.decode.variant import (
    EMPTY_OBJECT,
    MEMBERS,
    any_value,
    check_oneof,
    empty_objects,
    encode_column,
    encode_flat_values,
    encode_values,
)

SHREDDED_COLUMNS = ("attributes", "resource_attributes", "scope_attributes")
# Columns of keys in one table: DuckDB's own are 128 (`store/typed_paths.py`).
KEYS_MAX = 128
_KEY_CHARS_MAX = 256
_TYPES = {
    "string_value": pa.string(),
    "bool_value": pa.bool_(),
    "int_value": pa.int64(),
    "double_value": pa.float64(),
    "bytes_value": pa.binary(),
}
# An AnyValue's kind as a number: its member's place in MEMBERS and one; 0: no value was sent.
_METADATA = pa.field("metadata", pa.binary(), nullable=False)
_VALUE = pa.field("value", pa.binary())
Kinds = npt.NDArray[np.int8]
Types = Mapping[str, Mapping[str, pa.DataType]]  # of each column's keys


class Unlike(ValueError):
    """Tables have too many keys together for one schema, or keys that differ by case alone."""


class _Values(NamedTuple):
    """What the columns of keys are made of."""

    values: pa.StructArray  # AnyValues, all items of all rows
    kinds: Kinds  # of each item
    lists: dict[int, bytes]  # value bytes of the items that are lists
    row_count: int

    def field(self, items: Ints, rows: Ints) -> pa.StructArray:
        """One key's column: typed where a value has the key's most frequent type, else Variant bytes.

        Args:
            items: that have the key.
            rows: that own them.
        """
        own = self.kinds[items]
        counts = np.bincount(own, minlength=len(_TYPES) + 1)[1 : len(_TYPES) + 1]
        kind = int(np.argmax(counts)) + 1
        typed = self.values.field(MEMBERS[kind - 1]).take(_scattered(items, rows, self.row_count))
        other = np.flatnonzero(own != kind)
        if len(other) == 0:
            return _field(pa.nulls(self.row_count, pa.binary()), typed)
        plain = encode_flat_values(self.values.take(arrow(items[other]))).to_pylist()
        exact = [
            self.lists.get(item, value) for item, value in zip(items[other].tolist(), plain, strict=True)
        ]
        places = _scattered(np.arange(len(other)), rows[other], self.row_count)
        return _field(pa.array(exact, pa.binary()).take(places), typed)


def shred_attributes(attributes: pa.ListArray, keys_max: int = KEYS_MAX) -> pa.StructArray:
    """A column of `list<struct<key, value: AnyValue>>` to Variant objects with a typed column a key.

    NULL where a row has a key beyond the `keys_max` most frequent ones, or a map, or a list of more than
    plain values. Without any attribute, there are no typed columns, and `value` holds empty objects.
    """
    items = attributes.flatten()
    if len(items) == 0:
        return empty_objects(len(attributes))
    values = items.field("value")
    check_oneof(values, MEMBERS)
    chosen = choose(items.field("key").cast(pa.binary()), lengths(attributes))
    kinds = _kinds(values)
    rows = np.repeat(np.arange(len(attributes)), chosen.counts)
    codes = chosen.codes[chosen.items]
    typed = _most_frequent(chosen, codes, keys_max)
    lists, is_left_out = _lists(values, kinds, chosen.items)
    source = _Values(values, kinds, lists, len(attributes))
    odd = np.zeros(len(attributes), dtype=bool)
    odd[rows[is_left_out | ~np.isin(codes, list(typed))]] = True

    order = np.argsort(codes.astype(np.uint16) if len(chosen.names) <= 0xFFFF else codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(chosen.names)))
    names, fields = [], []
    for code, name in sorted(typed.items(), key=lambda item: item[1]):
        places = order[ends[code - 1] if code else 0 : ends[code]]
        names.append(name)
        fields.append(source.field(chosen.items[places], rows[places]))
    if not fields:  # every row has a key that is none
        return empty_objects(len(attributes)).take(pa.nulls(len(attributes), pa.int64()))
    return _variants(chosen.metadata, names, fields, mask=odd)


def shred_values(values: pa.StructArray) -> pa.StructArray:
    """A column of `AnyValue` structs, such as bodies of logs, to Variants whose texts have a column;
    NULL where no value was sent."""
    check_oneof(values, MEMBERS)
    texts = values.field("string_value")
    others = np.flatnonzero(~valid(texts))
    encoded = encode_values(values.take(arrow(others)))
    places = _scattered(np.arange(len(others)), others, len(values))
    is_absent = np.zeros(len(values), dtype=bool)
    is_absent[others] = ~valid(encoded)
    return pa.StructArray.from_arrays(
        [
            pc.fill_null(encoded.field("metadata").take(places), EMPTY_METADATA),
            encoded.field("value").take(places),
            texts,
        ],
        fields=[_METADATA, _VALUE, pa.field("typed_value", texts.type)],
        mask=pa.array(is_absent),
    )


def align(tables: list[pa.Table]) -> list[pa.Table]:
    """The same rows under one schema: a key that a table lacks is absent from its rows, and of two types that
    a key has, the rarer becomes Variant bytes.

    Raises:
        Unlike: see `common_types`.
    """
    types = common_types([table.schema for table in tables], list(map(len, tables)))
    return [with_types(table, types) for table in tables]


def common_types(schemas: Sequence[pa.Schema], weights: Sequence[int], keys_max: int = KEYS_MAX) -> Types:
    """For each shredded column the keys of all tables, each with its most frequent type.

    Raises:
        Unlike: a column would have too many keys, or keys that DuckDB takes for the same.
    """
    common: dict[str, dict[str, pa.DataType]] = {}
    for name in SHREDDED_COLUMNS:
        counts: dict[str, Counter[pa.DataType]] = {}
        for schema, weight in zip(schemas, weights, strict=True):
            for key, kind in keys_of(schema.field(name).type).items():
                counts.setdefault(key, Counter())[kind] += weight
        if len(counts) > keys_max or len({key.lower() for key in counts}) < len(counts):
            raise Unlike(f"{name} has {len(counts)} keys")
        common[name] = {key: max(kinds, key=kinds.__getitem__) for key, kinds in sorted(counts.items())}
    return common


def with_types(table: pa.Table, types: Types) -> pa.Table:
    """The same rows with these keys and types, which have all that the table has."""
    for name, wanted in types.items():
        if list(keys_of(table.schema.field(name).type).items()) != list(wanted.items()):
            column = table[name].combine_chunks()
            _check_shredded(column)
            changed = _variants(
                column.field("metadata"), list(wanted), list(_fields_with(column, wanted, len(table)))
            )
            place = table.schema.get_field_index(name)
            table = table.set_column(place, pa.field(name, changed.type), changed)
    return table


def keys_of(column: pa.DataType) -> dict[str, pa.DataType]:
    """The typed keys of a shredded column, and their types."""
    place = column.get_field_index("typed_value")
    if place < 0:
        return {}
    return {field.name: field.type.field("typed_value").type for field in column.field(place).type}


def _kinds(values: pa.StructArray) -> Kinds:
    kinds = np.zeros(len(values), dtype=np.int8)
    for place, member in enumerate(MEMBERS):
        column = values.field(member)
        if column.null_count < len(column):
            kinds[valid(column)] = place + 1
    return kinds


def _most_frequent(chosen: Chosen, codes: npt.NDArray[Any], keys_max: int) -> dict[int, str]:
    """The codes of the keys that get a column, and their names."""
    counts = np.bincount(codes, minlength=len(chosen.names))
    typed: dict[int, str] = {}
    seen: set[str] = set()
    for code in np.argsort(-counts, kind="stable").tolist():
        if len(typed) >= keys_max or counts[code] == 0:
            break
        name = chosen.names[code].decode()
        # DuckDB has no STRUCT with two names that differ by case alone.
        if 0 < len(name) <= _KEY_CHARS_MAX and name.isprintable() and name.lower() not in seen:
            seen.add(name.lower())
            typed[code] = name
    return typed


def _lists(values: pa.StructArray, kinds: Kinds, items: Ints) -> tuple[dict[int, bytes], Bools]:
    """Value bytes of each list of plain values, by item, and which of `items` cannot be written at all."""
    encoded: dict[int, bytes] = {}
    is_left_out = np.zeros(len(items), dtype=bool)
    for place in np.flatnonzero(kinds[items] > len(_TYPES)).tolist():
        item = int(items[place])
        value = any_value(values[item].as_py())
        is_plain = value.WhichOneof("value") == "array_value" and all(
            element.WhichOneof("value") not in ("array_value", "kvlist_value")
            for element in value.array_value.values
        )
        is_left_out[place] = not is_plain
        if is_plain:
            encoded[item] = encode_value(value)[1]
    return encoded, is_left_out


def _scattered(items: Ints, rows: Ints, row_count: int) -> pa.Array:
    """For each row the item that it owns; NULL where none."""
    if len(items) == row_count:  # each row has one
        return arrow(items)
    index = np.full(row_count, -1, dtype=np.int64)
    index[rows] = items
    return arrow(index, absent=index < 0)


def _field(value: pa.BinaryArray, typed: pa.Array) -> pa.StructArray:
    return pa.StructArray.from_arrays([value, typed], fields=[_VALUE, pa.field("typed_value", typed.type)])


def _variants(
    metadata: pa.BinaryArray, names: list[str], fields: list[pa.StructArray], mask: Bools | None = None
) -> pa.StructArray:
    typed = pa.StructArray.from_arrays(
        fields,
        fields=[
            pa.field(name, field.type, nullable=False) for name, field in zip(names, fields, strict=True)
        ],
    )
    return pa.StructArray.from_arrays(
        [metadata, pa.nulls(len(metadata), pa.binary()), typed],
        fields=[_METADATA, _VALUE, pa.field("typed_value", typed.type)],
        mask=None if mask is None else pa.array(mask),
    )


def _check_shredded(column: pa.StructArray) -> None:
    """Nothing of a row may stand in `value` but an empty object: it would be lost with that.

    Raises:
        Unlike: something does.
    """
    value = column.field("value")
    rest = value if keys_of(column.type) else value.filter(pc.not_equal(value, EMPTY_OBJECT))
    if rest.null_count < len(rest):
        raise Unlike("a value stands in no column of its own")


def _fields_with(
    column: pa.StructArray, types: Mapping[str, pa.DataType], row_count: int
) -> Iterator[pa.StructArray]:
    present = keys_of(column.type)
    for key, kind in types.items():
        if key not in present:
            yield _field(pa.nulls(row_count, pa.binary()), pa.nulls(row_count, kind))
            continue
        field = column.field("typed_value").field(key)
        if present[key] == kind:
            yield field
        else:
            encoded = encode_column(field.field("typed_value"))
            yield _field(pc.coalesce(field.field("value"), encoded), pa.nulls(row_count, kind))
