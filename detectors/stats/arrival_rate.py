"""The number of spans that an operation begins in ten seconds: mean and dispersion by hour of week.

Counts cover ten seconds, since single seconds of a busy service are no independent draws. Each cell keeps
number, sum and sum of squares, which add up. The hour of week is used once it has five minutes of its own,
else the hour of day, else the whole operation. Variance beyond Poisson becomes the dispersion of a negative
binomial.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detectors.stats.arrays import FloatArray, IntArray
from detectors.stats.seasonality import HOURS_PER_WEEK, hour_of_week
from detectors.stats.slots import SLOTS

BUCKET_S = 10
READY_BUCKETS = 30
_DISPERSION_MIN = 0.05  # traffic is never Poisson: rates of users and retries vary by a fifth
_NS = 1_000_000_000


class Usual(NamedTuple):
    """Usual figures of some operations now: spans a second, dispersion, and learned buckets (0: learning)."""

    rate_per_s: FloatArray
    dispersion: FloatArray
    buckets: IntArray


class Arrivals:
    """Counts of all operations over the ring, and their past. Not thread-safe."""

    def __init__(self) -> None:
        self.counts: npt.NDArray[np.float32] = np.zeros((64, SLOTS), dtype=np.float32)
        self.past = np.zeros((64, HOURS_PER_WEEK, 3), dtype=np.float32)  # buckets, sum, sum of squares
        self.changed = np.zeros(64, dtype=bool)
        self._born: IntArray = np.zeros(64, dtype=np.int64)  # first second of each operation
        self.spoilt_until: IntArray = np.zeros(64, dtype=np.int64)  # buckets up to here are not learned
        self._bucket: FloatArray = np.zeros(64)
        self._bucket_from = -1  # first second of the bucket that fills; -1: wait for the start of a bucket
        self.count = 0

    def grow(self, count: int, tick: int) -> None:
        first, self.count = self.count, max(self.count, count)
        while self.count > len(self._born):
            for name in ("counts", "past", "changed", "_born", "spoilt_until", "_bucket"):
                array = getattr(self, name)
                setattr(self, name, np.concatenate([array, np.zeros_like(array)]))
        self._born[first : self.count] = tick

    def move(self, settled: IntArray, cleared: IntArray, begun: int) -> None:
        """Learn seconds that are over, bucket by bucket, then clear the slots of new seconds.

        Args:
            settled: seconds, in order.
            begun: the first second that was fully observed.
        """
        for tick in settled.tolist():
            start = tick - tick % BUCKET_S
            if self._bucket_from != start:
                self._bucket[:] = 0
                # Skip a bucket that was not observed from its first second on.
                self._bucket_from = start if tick == start and tick >= begun else -1
            if self._bucket_from < 0:
                continue
            self._bucket[: self.count] += self.counts[: self.count, tick % SLOTS]
            if tick == start + BUCKET_S - 1:
                self._learn(start)
        self.counts[:, cleared] = 0

    def _learn(self, start: int) -> None:
        n = self.count
        chosen = np.flatnonzero((self._born[:n] < start) & (self.spoilt_until[:n] < start))
        hour = int(hour_of_week(start * _NS))
        seen = self._bucket[chosen]
        self.past[chosen, hour, 0] += 1
        self.past[chosen, hour, 1] += seen
        self.past[chosen, hour, 2] += seen**2
        self.changed[chosen] = True

    def add(self, codes: IntArray, ticks: IntArray, kept: npt.NDArray[np.bool_]) -> None:
        """Count spans; spans that came too late for their second are not counted."""
        np.add.at(self.counts.reshape(-1), codes[kept] * SLOTS + ticks[kept] % SLOTS, np.float32(1.0))

    def usual(self, tick: int) -> Usual:
        """The usual figures of all operations, for the hour of this second."""
        hour = int(hour_of_week(tick * _NS))
        past = self.past[: self.count]
        whole = past.sum(axis=1, dtype=np.float64)
        day = past[:, hour % 24 :: 24].sum(axis=1, dtype=np.float64)
        week = past[:, hour].astype(np.float64)
        cell = np.where(day[:, :1] >= READY_BUCKETS, day, whole)
        cell = np.where(week[:, :1] >= READY_BUCKETS, week, cell)
        buckets, total, squares = cell.T
        mean = total / np.maximum(buckets, 1)
        variance = np.maximum(squares / np.maximum(buckets, 1) - mean**2, 0.0)
        dispersion = (variance - mean) / np.maximum(mean**2, 1e-12)
        ready = np.where(buckets >= READY_BUCKETS, buckets, 0).astype(np.int64)
        return Usual(mean / BUCKET_S, np.maximum(dispersion, _DISPERSION_MIN), ready)
