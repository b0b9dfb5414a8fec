"""Seconds of span time as slots of a ring that all window detectors share.

The newest second is where most of a batch lies, not its latest span: one host whose clock is ahead must
not make everything else late. What lies outside the ring (a host that lags, a clock that jumped) counts at
its newest second, so that no service is ever invisible; when all of a batch is that old, time itself has
jumped back, and the ring begins anew. It leaps ahead by more than a day only when a second batch in a row
says so: a sender whose clock stands in another century, alone in its batch, would take all seconds with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from detectors.stats.arrays import IntArray
from detectors.stats.slots import SLOTS

SETTLE_S = 20  # a second is learned at this age: by then an alarm about it has been raised
_STEP_S = 32  # a batch that covers more time is judged in steps, as if it had landed live
_AHEAD_S = 5  # a span may be ahead of nine tenths of its batch by this much, and by as much as these are wide
_LEAP_S = 86_400  # further ahead than any backlog is behind, and than a clock that is only badly set
_NS = 1_000_000_000


class Step(NamedTuple):
    """A step of time, and the spans that fall into the present.

    settled: seconds to learn, in this order: first learn, then clear, then count.
    cleared: slots that begin anew.
    rows: the spans of the batch that this step counts.
    ticks: the second of each.
    late: whether each came too late for its own second.
    head: the newest second.
    """

    settled: IntArray
    cleared: IntArray
    rows: IntArray
    ticks: IntArray
    late: np.ndarray[tuple[int], np.dtype[np.bool_]]
    head: int


class Ring:
    """The position in time. Not thread-safe."""

    def __init__(self) -> None:
        self.head: int | None = None
        self.begun: int = 0  # the first whole second since the start or the last jump
        self._learned = 0  # seconds up to here were learned
        self._leaping = False  # the newest batch lay beyond a leap

    def steps(self, end_unix_nano: IntArray) -> Iterator[Step]:
        """Take the ends of a batch of spans, in any order."""
        if not len(end_unix_nano):
            return
        ticks = np.maximum(end_unix_nano, 0) // _NS
        low, high = len(ticks) // 10, (len(ticks) * 9) // 10
        ordered = np.partition(ticks, (low, high))
        usual, width = int(ordered[high]), int(ordered[high] - ordered[low])
        newest = int(ticks[ticks <= usual + width + _AHEAD_S].max())
        leaping = self.head is not None and usual > self.head + _LEAP_S
        if self.head is not None and leaping and not self._leaping:
            usual = newest = self.head
        self._leaping = leaping
        jumped = self.head is None or usual <= self.head - SLOTS
        if jumped:
            first = int(ticks[ticks > usual - _LEAP_S].min()) if self.head is None else usual
            self._begin(first)
        head = self.head if self.head is not None else newest
        late = (ticks <= head - SLOTS) | (ticks > newest + _LEAP_S)
        ticks = np.where(ticks > newest, newest, np.where(late, head, ticks))
        stage = np.maximum(ticks - head - 1, -1) // _STEP_S  # -1: not beyond the present
        if stage.max(initial=-1) <= 0 and ticks[~late].min(initial=newest) > newest - SETTLE_S:
            stage[:] = stage.max()  # the step learns and clears none of these seconds, so one index is enough
        stages = np.unique(stage).tolist()
        for number in stages:
            rows = np.flatnonzero(stage == number)
            cleared, settled = self._advance(int(ticks[rows].max()))
            if jumped and number == stages[0]:
                cleared, settled = np.arange(SLOTS), np.empty(0, dtype=np.int64)
            yield Step(settled, cleared, rows, ticks[rows], late[rows], self.head or 0)

    def _begin(self, first: int) -> None:
        self.head = first
        self.begun = first + 1
        self._learned = first

    def _advance(self, newest: int) -> tuple[IntArray, IntArray]:
        head = self.head if self.head is not None else newest
        newest = max(newest, head)
        cleared = np.arange(max(head + 1, newest - SLOTS + 1), newest + 1) % SLOTS
        due = newest - SETTLE_S
        # Seconds before the ring began are neither learned nor missed.
        settled = np.arange(max(self._learned + 1, head - SLOTS + 1), min(due, head) + 1)
        self._learned = max(self._learned, due)
        self.head = newest
        return cleared, settled
