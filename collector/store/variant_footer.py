"""The annotation VARIANT in the footer of a Parquet file: pyarrow 26 reads it, and cannot write it.

A file that pyarrow wrote has `struct<metadata, value, typed_value>` where a Variant is meant. Its schema is a
list at the front of the footer, in Thrift's compact protocol: each such column gets the field that says so.

Encoding: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md, and SchemaElement
in https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
"""

from __future__ import annotations

import struct
from collections.abc import Set
from pathlib import Path
from typing import NamedTuple

_MAGIC = b"PAR1"
_TAIL = struct.Struct("<I4s")  # the footer's size, and the magic
_NAME, _CHILDREN, _LOGICAL_TYPE = 4, 5, 10  # fields of SchemaElement
# LogicalType is a union: its field 16, VariantType, with specification_version = 1.
_VARIANT = bytes([0x0C, 0x20, 0x13, 0x01, 0x00, 0x00])
_BYTE, _DOUBLE, _BINARY, _STRUCT = 3, 7, 8, 12
_TRUTHS, _VARINTS, _LISTS = (1, 2), (4, 5, 6), (9, 10)


def mark_variants(path: Path, names: Set[str]) -> None:
    """Say of the file's columns `names` that they are Variants. Before anybody else reads it."""
    with path.open("r+b") as file:
        file.seek(-_TAIL.size, 2)
        size, magic = _TAIL.unpack(file.read(_TAIL.size))
        if magic != _MAGIC:
            raise ValueError(f"{path} is no Parquet file")
        begin = file.seek(-_TAIL.size - size, 2)
        footer = marked_footer(file.read(size), {name.encode() for name in names})
        file.seek(begin)
        file.write(footer + _TAIL.pack(len(footer), _MAGIC))


def marked_footer(footer: bytes, names: Set[bytes]) -> bytes:
    """The footer with the annotation at the top-level columns `names`."""
    if footer[0] != 0x15:  # field 1, i32: the version
        raise ValueError("the footer does not begin with a version")
    _, place = _varint(footer, 1)
    if footer[place] != 0x19:  # field 2, list: the schema
        raise ValueError("the footer's second field is no schema")
    count, place = _list_size(footer, place + 1)
    parts, begin = [footer[:place]], place
    below: list[int] = []  # for each open group how many children are to come
    for _ in range(count):
        element = _element(footer, place)
        place = element.end
        if len(below) == 1 and element.name in names and element.last_field < _LOGICAL_TYPE:
            field = bytes([(_LOGICAL_TYPE - element.last_field) << 4 | _STRUCT]) + _VARIANT
            parts += [footer[begin : place - 1], field]
            begin = place - 1  # its stop byte
        if below:
            below[-1] -= 1
        below.append(element.children)
        while below and below[-1] == 0:
            below.pop()
    return b"".join([*parts, footer[begin:]])


class _Element(NamedTuple):
    """What is needed of a SchemaElement."""

    name: bytes
    children: int
    last_field: int
    end: int


def _element(data: bytes, place: int) -> _Element:
    name, children, field = b"", 0, 0
    while data[place]:
        head = data[place]
        place += 1
        if head >> 4:
            field += head >> 4
        else:
            zigzag, place = _varint(data, place)
            field = zigzag >> 1
        if field == _NAME:
            size, start = _varint(data, place)
            name = data[start : start + size]
        elif field == _CHILDREN:
            children = _varint(data, place)[0] >> 1
        place = _behind(data, place, head & 15)
    return _Element(name, children, field, place + 1)


def _behind(data: bytes, place: int, kind: int) -> int:  # noqa: PLR0911  # one for each kind
    """Where a value of this kind ends."""
    if kind in _TRUTHS:
        return place
    if kind == _BYTE:
        return place + 1
    if kind in _VARINTS:
        return _varint(data, place)[1]
    if kind == _DOUBLE:
        return place + 8
    if kind == _BINARY:
        size, place = _varint(data, place)
        return place + size
    if kind in _LISTS:
        inner = data[place] & 15
        count, place = _list_size(data, place)
        for _ in range(count):
            place = place + 1 if inner in _TRUTHS else _behind(data, place, inner)
        return place
    if kind == _STRUCT:
        return _element(data, place).end
    raise ValueError(f"a footer with a field of type {kind}")


def _list_size(data: bytes, place: int) -> tuple[int, int]:
    size = data[place] >> 4
    return (size, place + 1) if size < 15 else _varint(data, place + 1)


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
