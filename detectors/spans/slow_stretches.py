"""Stretches of time in which an operation was slower than chance explains, and their slow spans."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from detectors.model.operation import Operation

_KEPT = 1_000
_PAUSES = 5.0  # an incident also lasts five of the usual pauses between its traces


class Slowed(NamedTuple):
    """A stretch that `detectors.spans.latency_shift` found of one operation.

    since_unix_nano, until_unix_nano: start of its first and its last slow span.
    least_ns: the least duration of a slow span; spans: number of slow spans; sigma: of the stretch, not of
    its spans.
    """

    operation: Operation
    since_unix_nano: int
    until_unix_nano: int
    least_ns: float
    sigma: float
    spans: int

    @property
    def pause_ns(self) -> float:
        """The mean pause between the starts of its slow spans."""
        return (self.until_unix_nano - self.since_unix_nano) / max(self.spans - 1, 1)


class SlowStretches:
    """The newest stretches of all operations. Not thread-safe.

    Stretches that overlap, or are a few calls apart, become one.
    """

    def __init__(self) -> None:
        self._newest: OrderedDict[tuple[Operation, int], Slowed] = OrderedDict()
        self._last: dict[Operation, tuple[Operation, int]] = {}  # key of each operation's newest stretch

    def note(self, found: Slowed) -> None:
        key = self._last.get(found.operation)
        last = self._newest.get(key) if key else None
        pause_ns = max(found.pause_ns, last.pause_ns) if last else 0.0
        if key and last and found.since_unix_nano <= last.until_unix_nano + _PAUSES * pause_ns:
            since_unix_nano = min(last.since_unix_nano, found.since_unix_nano)
            until_unix_nano = max(last.until_unix_nano, found.until_unix_nano)
            # Each pass tells of the newest spans alone: the pauses between them stay as they are.
            pauses = round((until_unix_nano - since_unix_nano) / pause_ns) if pause_ns else 0
            self._newest[key] = last._replace(
                since_unix_nano=since_unix_nano,
                until_unix_nano=until_unix_nano,
                least_ns=min(last.least_ns, found.least_ns),
                sigma=max(last.sigma, found.sigma),
                spans=max(last.spans, found.spans, pauses + 1),
            )
            return
        key = self._last[found.operation] = (found.operation, found.since_unix_nano)
        self._newest[key] = found
        if len(self._newest) > _KEPT:
            gone, _ = self._newest.popitem(last=False)
            if self._last.get(gone[0]) == gone:
                del self._last[gone[0]]

    def all(self) -> list[Slowed]:
        return list(self._newest.values())
