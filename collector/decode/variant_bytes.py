"""Parquet Variant bytes, read one value at a time: where keys stand, of which type their values are, and the
values themselves.

Encoding: Parquet Variant, https://github.com/apache/parquet-format/blob/master/VariantEncoding.md
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Any

ITEM = "[]"  # stands in a path for any element of a list
OBJECT, ARRAY = "OBJECT", "ARRAY"
# The DuckDB type of each primitive's number; what is not here is not shredded.
_PRIMITIVES = {
    1: "BOOLEAN",
    2: "BOOLEAN",
    3: "TINYINT",
    4: "SMALLINT",
    5: "INTEGER",
    6: "BIGINT",
    7: "DOUBLE",
    14: "FLOAT",
    15: "BLOB",
    16: "VARCHAR",
    19: "TIMESTAMP_NS",
}
Path = tuple[str, ...]


def keys_of(metadata: bytes) -> list[str]:
    """The dictionary of keys."""
    width = (metadata[0] >> 6) + 1
    count = _number(metadata, 1, width)
    first = 1 + width
    content = first + width * (count + 1)
    if width == 4 and count:  # what landing writes: half the time
        ends = memoryview(metadata)[first:content].cast("I").tolist()
    else:
        ends = [_number(metadata, first + width * place, width) for place in range(count + 1)]
    return [metadata[content + start : content + end].decode() for start, end in pairwise(ends)]


def walk(metadata: bytes, value: bytes) -> Iterator[tuple[Path, str]]:
    """Every value within a value, itself included: its path, and its type, empty for a null or a rare one."""
    yield from _walk(value, 0, (), keys_of(metadata))


def _walk(value: bytes, start: int, path: Path, keys: list[str]) -> Iterator[tuple[Path, str]]:
    header = value[start] >> 2
    match value[start] & 3:
        case 0:
            yield path, _PRIMITIVES.get(header, "")
        case 1:
            yield path, "VARCHAR"
        case 2:
            yield path, OBJECT
            id_width = (header >> 2 & 3) + 1
            count, ids = _count(value, start, is_large=bool(header >> 4 & 1))
            places, content = _offsets(value, ids + count * id_width, count, (header & 3) + 1)
            for number, place in enumerate(places):
                key = keys[_number(value, ids + number * id_width, id_width)]
                begin = content + place
                if value[begin] & 2:
                    yield from _walk(value, begin, (*path, key), keys)
                else:  # no generator for each plain value: a row of ten takes half the time
                    kind = "VARCHAR" if value[begin] & 1 else _PRIMITIVES.get(value[begin] >> 2, "")
                    yield (*path, key), kind
        case _:
            yield path, ARRAY
            count, begin = _count(value, start, is_large=bool(header >> 2 & 1))
            places, content = _offsets(value, begin, count, (header & 3) + 1)
            for place in places:
                yield from _walk(value, content + place, (*path, ITEM), keys)


def value_of(metadata: bytes, value: bytes) -> Any:
    """The value in Python: None, bool, int, float, str, bytes, a list, or a dict in the order of its keys. A
    type that OTLP does not have is a text."""
    return _value(value, 0, keys_of(metadata))


def _value(value: bytes, start: int, keys: list[str]) -> Any:
    header = value[start] >> 2
    match value[start] & 3:
        case 0:
            return _primitive(value, start + 1, header)
        case 1:
            return value[start + 1 : start + 1 + header].decode()
        case 2:
            id_width = (header >> 2 & 3) + 1
            count, ids = _count(value, start, is_large=bool(header >> 4 & 1))
            places, content = _offsets(value, ids + count * id_width, count, (header & 3) + 1)
            return {
                keys[_number(value, ids + number * id_width, id_width)]: _value(value, content + place, keys)
                for number, place in enumerate(places)
            }
        case _:
            count, begin = _count(value, start, is_large=bool(header >> 2 & 1))
            places, content = _offsets(value, begin, count, (header & 3) + 1)
            return [_value(value, content + place, keys) for place in places]


def _primitive(value: bytes, start: int, kind: int) -> Any:  # noqa: PLR0911  # one for each type
    match kind:
        case 0:
            return None
        case 1 | 2:
            return kind == 1
        case 3 | 4 | 5 | 6:
            return int.from_bytes(value[start : start + (1 << kind - 3)], "little", signed=True)
        case 7:
            return struct.unpack_from("<d", value, start)[0]
        case 14:
            return struct.unpack_from("<f", value, start)[0]
        case 15 | 16:
            size = _number(value, start, 4)
            content = value[start + 4 : start + 4 + size]
            return content.decode() if kind == 16 else content
        case 8 | 9 | 10:
            size = {8: 4, 9: 8, 10: 16}[kind]
            unscaled = int.from_bytes(value[start + 1 : start + 1 + size], "little", signed=True)
            return str(Decimal(unscaled).scaleb(-value[start]))
        case _:
            return value[start:].hex()


def _count(value: bytes, start: int, *, is_large: bool) -> tuple[int, int]:
    width = 4 if is_large else 1
    return _number(value, start + 1, width), start + 1 + width


def _offsets(value: bytes, begin: int, count: int, width: int) -> tuple[list[int], int]:
    if width == 4 and count:
        places = memoryview(value)[begin : begin + 4 * count].cast("I").tolist()
    else:
        places = [_number(value, begin + width * place, width) for place in range(count)]
    return places, begin + width * (count + 1)


def _number(content: bytes, start: int, width: int) -> int:
    return int.from_bytes(content[start : start + width], "little")
