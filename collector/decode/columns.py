"""Leaf functions over Arrow columns that the three signals share."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import ptars
import pyarrow as pa
import pyarrow.compute as pc

from collector.decode.buffers import Ints, arrow, lengths, numbers, offsets, truth
from collector.decode.variant import RepeatedOneof, encode_attributes, variant_field
from collector.signals import REQUEST_TYPES, Signal

UNKNOWN_SERVICE = "unknown_service"  # the OpenTelemetry default for a resource without service.name
# DuckDB reads the largest int64 as infinity, so times stop one before it.
LAST_TIME_NS = 2**63 - 2
# Two digits as one number: 1 ns a byte, where a row of two bytes for each takes 8.
_HEX_PAIRS = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), dtype=np.uint16)

Decoded = TypeVar("Decoded")
Encode = Callable[[pa.ListArray], pa.StructArray]

_pool = ptars.HandlerPool([message.DESCRIPTOR.file for message in REQUEST_TYPES.values()])


class Origin(NamedTuple):
    """Flattened `resource_x → scope_x → items`, and the columns both outer levels give each item."""

    items: pa.StructArray
    columns: dict[str, pa.Array]


def parse(signal: Signal, payloads: list[bytes]) -> pa.RecordBatch:
    """OTLP request bytes to one nested Arrow batch, a row for each request.

    Raises:
        ValueError: one of them is not valid protobuf; nothing is decoded then.
    """
    return _pool.get_for_message(REQUEST_TYPES[signal].DESCRIPTOR).list_to_record_batch(payloads)


def decode_canonical(
    signal: Signal, decode: Callable[[pa.RecordBatch], Decoded], payloads: list[bytes]
) -> Decoded:
    """`decode(parse(payloads))`; repeated in canonical form when a oneof was sent twice.

    No SDK does that, so the detour through messages may be slow.
    """
    try:
        return decode(parse(signal, payloads))
    except RepeatedOneof:
        kind = REQUEST_TYPES[signal]
        canonical = [kind.FromString(payload).SerializeToString() for payload in payloads]
        return decode(parse(signal, canonical))


def open_envelope(
    requests: pa.RecordBatch, scope_list: str, item_list: str, encode: Encode = encode_attributes
) -> Origin:
    """The items of all requests, e.g. spans, with `service_name`, `resource_…` and `scope_…` columns.

    Args:
        encode: makes a column of attributes of their lists.
    """
    resources = requests.column(0).flatten()
    scopes = resources.field(scope_list).flatten()
    items = scopes.field(item_list).flatten()
    resource_of_scope = parent_index(resources.field(scope_list))
    scope_of_item = parent_index(scopes.field(item_list))
    resource_of_item = resource_of_scope[scope_of_item]
    columns = {
        **expand(_resource_columns(resources, encode), resource_of_item),
        **expand(_scope_columns(scopes, encode), scope_of_item),
    }
    return Origin(items, columns)


def parent_index(lists: pa.ListArray) -> Ints:
    """For each element of the flattened lists, the row it came from."""
    return np.repeat(np.arange(len(lists), dtype=np.int64), lengths(lists))


def expand(columns: dict[str, pa.Array], rows: Ints) -> dict[str, pa.Array]:
    """Each column with row `rows[i]` at place i."""
    index = arrow(rows)
    return {name: column.take(index) for name, column in columns.items()}


def hex_ids(ids: pa.BinaryArray) -> pa.StringArray:
    """Lower-case hex of each id; empty stays empty."""
    ends = offsets(ids)
    data = ids.buffers()[2]
    content = np.frombuffer(data, dtype=np.uint8) if data is not None else np.zeros(0, dtype=np.uint8)
    text = _HEX_PAIRS.take(content[ends[0] : ends[-1]])
    shifted = ((ends - ends[0]) * 2).astype(np.int32)
    return pa.StringArray.from_buffers(len(ids), pa.py_buffer(shifted), pa.py_buffer(text))


def ids_or_null(ids: pa.BinaryArray, size_bytes: int) -> pa.StringArray:
    """Like `hex_ids`; NULL for an id that is all zero or of another size: OTLP treats it as absent."""
    text = hex_ids(ids)
    is_sound = pc.and_(
        pc.equal(pc.binary_length(ids), size_bytes), pc.not_equal(text, "0" * (2 * size_bytes))
    )
    return pc.if_else(is_sound, text, pa.scalar(None, pa.string()))


def null_if_empty(texts: pa.StringArray) -> pa.StringArray:
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def times(unix_nanos: pa.UInt64Array) -> pa.TimestampArray:
    """Unix nanoseconds to UTC timestamps; a time beyond int64 becomes the last possible time."""
    return arrow(nanos(unix_nanos)).cast(pa.timestamp("ns"))


def times_or_null(unix_nanos: pa.UInt64Array) -> pa.TimestampArray:
    """Like `times`, but 0, which OTLP sends for "unknown", becomes NULL."""
    values = nanos(unix_nanos)
    return arrow(values, absent=values == 0).cast(pa.timestamp("ns"))


def nanos(unix_nanos: pa.UInt64Array) -> npt.NDArray[np.int64]:
    values: npt.NDArray[np.uint64] = numbers(unix_nanos)
    return np.minimum(values, np.uint64(LAST_TIME_NS)).astype(np.int64)


def named(codes: pa.Int32Array, names: list[str]) -> pa.StringArray:
    """An enum's names; a number this version does not know reads as the first, its "unspecified"."""
    values = numbers(codes).astype(np.int64)
    known = np.where((values >= 0) & (values < len(names)), values, 0)
    return pa.array(names).take(arrow(known))


def rebuild_lists(lists: pa.ListArray, elements: pa.StructArray) -> pa.ListArray:
    """The same lists over new elements."""
    places = np.concatenate([[0], np.cumsum(lengths(lists))]).astype(np.int32)
    return pa.ListArray.from_arrays(arrow(places), elements)


def as_table(columns: dict[str, pa.Array]) -> pa.Table:
    """Columns to a table in which every `…attributes` and `body` column is marked as VARIANT."""
    fields = [
        variant_field(name)
        if name == "body" or name.endswith(("attributes", "metadata"))
        else pa.field(name, column.type)
        for name, column in columns.items()
    ]
    return pa.Table.from_arrays(list(columns.values()), schema=pa.schema(fields))


def _resource_columns(resources: pa.StructArray, encode: Encode) -> dict[str, pa.Array]:
    resource = resources.field("resource")
    return {
        "service_name": _service_names(resource.field("attributes")),
        "resource_attributes": encode(resource.field("attributes")),
        "resource_dropped_attributes_count": pc.fill_null(resource.field("dropped_attributes_count"), 0),
        "resource_schema_url": resources.field("schema_url"),
    }


def _scope_columns(scopes: pa.StructArray, encode: Encode) -> dict[str, pa.Array]:
    scope = scopes.field("scope")
    return {
        "scope_name": pc.fill_null(scope.field("name"), ""),
        "scope_version": pc.fill_null(scope.field("version"), ""),
        "scope_attributes": encode(scope.field("attributes")),
        "scope_dropped_attributes_count": pc.fill_null(scope.field("dropped_attributes_count"), 0),
        "scope_schema_url": scopes.field("schema_url"),
    }


def _service_names(attributes: pa.ListArray) -> pa.StringArray:
    items = attributes.flatten()
    text = items.field("value").field("string_value")
    found = truth(
        pc.and_(pc.equal(items.field("key"), "service.name"), pc.not_equal(pc.fill_null(text, ""), ""))
    )
    places = np.flatnonzero(found)
    source = np.full(len(attributes), -1, dtype=np.int64)
    source[parent_index(attributes)[places]] = places
    return pc.fill_null(text.take(arrow(source, absent=source < 0)), UNKNOWN_SERVICE)
