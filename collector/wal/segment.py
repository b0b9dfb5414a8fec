"""The bytes of a spool segment: pure functions, no files."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import google_crc32c

# Starts every record, so that reading finds the next one after a damaged length.
MAGIC = b"\xf5sph"  # 0xf5 never occurs in UTF-8 text
_HEADER = struct.Struct("<4sIIB")
HEADER_SIZE_BYTES = _HEADER.size


class Position(NamedTuple):
    """A place in the spool. Positions are ordered as records were written."""

    segment_id: int
    offset_bytes: int


class Record(NamedTuple):
    """One request as it was acknowledged."""

    position: Position
    signal: int
    payload: bytes

    @property
    def end(self) -> Position:
        return Position(
            self.position.segment_id, self.position.offset_bytes + HEADER_SIZE_BYTES + len(self.payload)
        )


class DamagedRecord(NamedTuple):
    """Bytes whose checksum does not fit: `size_bytes` of them, to the next place that can be read."""

    position: Position
    size_bytes: int

    @property
    def end(self) -> Position:
        return Position(self.position.segment_id, self.position.offset_bytes + self.size_bytes)


def encode_record(signal: int, payload: bytes) -> tuple[bytes, bytes]:
    """Header and payload, apart, so that a large payload is not copied."""
    return _HEADER.pack(MAGIC, len(payload), _checksum(signal, payload), signal), payload


def read_records(content: bytes, segment_id: int, base_bytes: int = 0) -> Iterator[Record | DamagedRecord]:
    """The records of `content`, which starts `base_bytes` into its segment at a record's first byte.

    Bytes that are no whole record, up to the next one that is, come out as one damaged record: nothing is
    skipped in silence. A record that the end cuts off is damaged too.
    """
    offset = 0
    while offset < len(content):
        found = _read_one(content, offset)
        position = Position(segment_id, base_bytes + offset)
        if found is not None:
            signal, payload = found
            yield Record(position, signal, payload)
            offset += HEADER_SIZE_BYTES + len(payload)
        else:
            resumed = _next_record(content, offset + 1)
            yield DamagedRecord(position, resumed - offset)
            offset = resumed


def whole_size_bytes(content: bytes) -> int:
    """Where the last whole record of a segment ends: what follows is a torn tail."""
    end = 0
    for record in read_records(content, 0):
        if isinstance(record, Record):
            end = record.end.offset_bytes
    return end


def missing_segments(landed: Position, segment_ids: Iterable[int]) -> list[int]:
    """Ids of segments from `landed` on that are not there although a later one, or `landed`, says they were.

    Segments are numbered without a gap. At position 0 a database begins with whatever spool there is.
    """
    there = {number for number in segment_ids if number >= landed.segment_id}
    first = landed.segment_id or min(there, default=1)
    last = max(there, default=landed.segment_id)
    return [number for number in range(first, last + 1) if number not in there]


def _next_record(content: bytes, offset: int) -> int:
    while (offset := content.find(MAGIC, offset)) >= 0:
        if _read_one(content, offset) is not None:
            return offset
        offset += 1
    return len(content)


def _read_one(content: bytes, offset: int) -> tuple[int, bytes] | None:
    """`(signal, payload)` of the record at `offset`; None when there is no whole one."""
    start = offset + HEADER_SIZE_BYTES
    if start > len(content):
        return None
    magic, length, checksum, signal = _HEADER.unpack_from(content, offset)
    if magic != MAGIC or start + length > len(content):
        return None
    payload = content[start : start + length]
    return (signal, payload) if checksum == _checksum(signal, payload) else None


def _checksum(signal: int, payload: bytes) -> int:
    return int(google_crc32c.extend(google_crc32c.value(bytes([signal])), payload))
