"""Rows whose VARIANT values are stored as bytes: DuckDB cannot shred them, so keys do not change the cost."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from collector.decode.buffers import arrow, offsets
from collector.decode.paths import is_variant


def pack(table: pa.Table) -> pa.Table:
    """The same columns, each variant as `metadata || value`, which `variant_bytes_to_variant` takes."""
    columns = {}
    for field in table.schema:
        column = table[field.name].combine_chunks()
        if is_variant(field):
            column = _bytes_of(column)
        elif pa.types.is_list(field.type) and pa.types.is_struct(field.type.value_type):
            column = _pack_elements(column)
        columns[field.name] = column
    return pa.table(columns)


def _pack_elements(lists: pa.ListArray) -> pa.ListArray:
    fields = list(lists.type.value_type)
    if not any(map(is_variant, fields)):
        return lists
    elements = lists.flatten()
    parts = [
        _bytes_of(elements.field(field.name)) if is_variant(field) else elements.field(field.name)
        for field in fields
    ]
    starts = offsets(lists) - offsets(lists)[0] if len(lists) else offsets(lists)
    return pa.ListArray.from_arrays(
        arrow(starts), pa.StructArray.from_arrays(parts, names=[field.name for field in fields])
    )


def _bytes_of(variants: pa.StructArray) -> pa.BinaryArray:
    """NULL where there is no value."""
    joined = pc.binary_join_element_wise(variants.field("metadata"), variants.field("value"), b"")
    return pc.if_else(pc.is_valid(variants), joined, pa.scalar(None, joined.type))
