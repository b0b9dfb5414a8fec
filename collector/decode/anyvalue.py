"""OTLP values to Parquet Variant bytes, one at a time: the exact path for nested values.

Encoding: Parquet Variant, https://github.com/apache/parquet-format/blob/master/VariantEncoding.md
Flat values take the columnar path in `variant.py`; both write the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from operator import itemgetter

from opentelemetry.proto.common.v1.common_pb2 import AnyValue

# Header bytes of the primitives: type id << 2, basic type 0 in the low bits.
NULL = 0x00
TRUE = 1 << 2
FALSE = 2 << 2
INT64 = 6 << 2
DOUBLE = 7 << 2
BINARY = 15 << 2
STRING = 16 << 2
# Objects and arrays always use four-byte offsets, ids and counts here: DuckDB re-encodes them anyway.
OBJECT = (0b1_11_11 << 2) | 2
_ARRAY = (0b1_11 << 2) | 3
METADATA_HEADER = 0b11_0_1_0001  # version 1, sorted keys, four-byte offsets
# Used for keys at several levels: the bit "sorted" is not set, which promises less and is still correct. By
# this bit `paths.py` finds rows with nested keys without reading any value.
DEEP_METADATA_HEADER = 0b11_0_0_0001

EMPTY_METADATA = struct.pack("<BII", METADATA_HEADER, 0, 0)


def encode_object(items: Iterable[tuple[str, AnyValue]]) -> tuple[bytes, bytes]:
    """Attributes to `(metadata, value)` bytes of one Variant object; the last of equal keys wins."""
    pairs = dict(items)
    keys = sorted({key.encode() for key in _all_keys(pairs)})
    ids = {key: number for number, key in enumerate(keys)}
    header = DEEP_METADATA_HEADER if any(map(_is_deep, pairs.values())) else METADATA_HEADER
    return encode_metadata(keys, header), _object(pairs, ids)


def encode_value(value: AnyValue) -> tuple[bytes, bytes]:
    """Any value to `(metadata, value)` bytes of one Variant."""
    keys = sorted({key.encode() for key in _keys_of(value)})
    ids = {key: number for number, key in enumerate(keys)}
    header = METADATA_HEADER if _is_flat_map(value) else DEEP_METADATA_HEADER
    return encode_metadata(keys, header), _value(value, ids)


def encode_metadata(sorted_keys: list[bytes], header: int = METADATA_HEADER) -> bytes:
    """The dictionary of a Variant's keys."""
    offsets, joined = _joined(sorted_keys)
    return struct.pack("<BI", header, len(sorted_keys)) + offsets + joined


def _value(value: AnyValue, ids: dict[bytes, int]) -> bytes:  # noqa: PLR0911  # one for each member
    match value.WhichOneof("value"):
        case "string_value":
            return _sized(STRING, value.string_value.encode())
        case "bool_value":
            return bytes([TRUE if value.bool_value else FALSE])
        case "int_value":
            return struct.pack("<Bq", INT64, value.int_value)
        case "double_value":
            return struct.pack("<Bd", DOUBLE, value.double_value)
        case "bytes_value":
            return _sized(BINARY, value.bytes_value)
        case "array_value":
            offsets, joined = _joined([_value(item, ids) for item in value.array_value.values])
            return struct.pack("<BI", _ARRAY, len(value.array_value.values)) + offsets + joined
        case "kvlist_value":
            return _object({item.key: item.value for item in value.kvlist_value.values}, ids)
        case _:
            return bytes([NULL])


def _object(pairs: dict[str, AnyValue], ids: dict[bytes, int]) -> bytes:
    fields = sorted(((key.encode(), value) for key, value in pairs.items()), key=itemgetter(0))
    offsets, joined = _joined([_value(value, ids) for _, value in fields])
    field_ids = b"".join(struct.pack("<I", ids[key]) for key, _ in fields)
    return struct.pack("<BI", OBJECT, len(fields)) + field_ids + offsets + joined


def _joined(parts: list[bytes]) -> tuple[bytes, bytes]:
    offsets = [0]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    return struct.pack(f"<{len(offsets)}I", *offsets), b"".join(parts)


def _sized(header: int, content: bytes) -> bytes:
    return struct.pack("<BI", header, len(content)) + content


def _all_keys(pairs: dict[str, AnyValue]) -> Iterable[str]:
    yield from pairs
    for value in pairs.values():
        yield from _keys_of(value)


def _keys_of(value: AnyValue) -> Iterable[str]:
    match value.WhichOneof("value"):
        case "array_value":
            for item in value.array_value.values:
                yield from _keys_of(item)
        case "kvlist_value":
            for pair in value.kvlist_value.values:
                yield pair.key
                yield from _keys_of(pair.value)


def _is_flat_map(value: AnyValue) -> bool:
    return value.WhichOneof("value") == "kvlist_value" and not any(
        _is_deep(pair.value) for pair in value.kvlist_value.values
    )


def _is_deep(value: AnyValue) -> bool:
    """Whether the value is a map, or a list with more than plain values."""
    match value.WhichOneof("value"):
        case "kvlist_value":
            return True
        case "array_value":
            return any(
                item.WhichOneof("value") in ("kvlist_value", "array_value")
                for item in value.array_value.values
            )
        case _:
            return False
