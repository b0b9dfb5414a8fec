"""Keeps durable records in memory until they have landed, so that they land even from a damaged segment."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter

from collector.wal.segment import HEADER_SIZE_BYTES, Position, Record

# Landing is a fraction of a second behind: at 90 MB/s of telemetry that is less than this.
UNLANDED_MAX_BYTES = 32 * 1024 * 1024
_position = attrgetter("position")


class Unlanded:
    """The newest records, without a gap between them. Not thread-safe."""

    def __init__(self, first: Position, max_bytes: int = UNLANDED_MAX_BYTES) -> None:
        """
        Args:
            first: nothing between it and the first record that is added will have to be read.
        """
        self._first = first
        self._max_bytes = max_bytes
        self._records: list[Record] = []
        self._bytes = 0

    def add(self, records: Sequence[Record]) -> None:
        self._records += records
        self._bytes += _size_bytes(records)
        excess, index = self._bytes - self._max_bytes, 0
        while excess > 0 and index < len(self._records):
            excess -= _size_bytes(self._records[index : index + 1])
            index += 1
        self._drop(index)

    def since(self, position: Position, max_bytes: int) -> list[Record] | None:
        """Records from `position` on, at least one and otherwise at most `max_bytes`.

        None when memory does not reach back so far.
        """
        if position < self._first:
            return None
        start = end = bisect_left(self._records, position, key=_position)
        for record in self._records[start:]:
            max_bytes -= HEADER_SIZE_BYTES + len(record.payload)
            if max_bytes < 0 and end > start:
                break
            end += 1
        return self._records[start:end]

    def forget(self, landed: Position) -> None:
        """Everything before `landed` is in the store."""
        self._drop(bisect_left(self._records, landed, key=_position))

    def _drop(self, count: int) -> None:
        if count:
            self._first = self._records[count - 1].end
        self._bytes -= _size_bytes(self._records[:count])
        del self._records[:count]


def _size_bytes(records: Sequence[Record]) -> int:
    return sum(HEADER_SIZE_BYTES + len(record.payload) for record in records)
