"""A mergeable sketch of positive values: a log-spaced histogram of constant relative error.

Bucket i holds the values in (γ^(i-1), γ^i]; a value read back from its bucket is off by at most
(γ - 1) / (γ + 1), 1%. Merging is addition of counts, so days, processes and machines combine in
any order to the same sketch. Source: DDSketch (Masson, Rim, Lee, VLDB 2019).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.stats.arrays import FloatArray, IntArray

GAMMA = 1.02
RELATIVE_ERROR = (GAMMA - 1) / (GAMMA + 1)
LOG_GAMMA = math.log(GAMMA)
# Zero and negative values (a clock that stepped back) land in the lowest bucket instead of failing.
MIN_VALUE = 1e-9


def bucket_of(values: npt.ArrayLike) -> IntArray:
    """The bucket index of each finite value."""
    floored = np.maximum(np.asarray(values, dtype=np.float64), MIN_VALUE)
    return np.ceil(np.log(floored) / LOG_GAMMA).astype(np.int64)


def value_of(buckets: npt.ArrayLike) -> FloatArray:
    """The value of a bucket: within 1% of all values in it."""
    return np.power(GAMMA, np.asarray(buckets, dtype=np.float64)) * (2 / (1 + GAMMA))


def upper_of(buckets: npt.ArrayLike) -> FloatArray:
    """The upper edge of each bucket."""
    return np.power(GAMMA, np.asarray(buckets, dtype=np.float64))


@dataclass(frozen=True, slots=True)
class Sketch:
    """Sorted bucket indices and how many samples each holds (all > 0)."""

    buckets: IntArray
    counts: IntArray

    @classmethod
    def of(cls, values: npt.ArrayLike) -> Sketch:
        buckets, counts = np.unique(bucket_of(values), return_counts=True)
        return cls(buckets, counts.astype(np.int64))

    @classmethod
    def from_counts(cls, buckets: npt.ArrayLike, counts: npt.ArrayLike) -> Sketch:
        """From bucket/count pairs in any order; repeated buckets add up."""
        unique, inverse = np.unique(np.asarray(buckets, dtype=np.int64), return_inverse=True)
        total = np.zeros(len(unique), dtype=np.int64)
        np.add.at(total, inverse, np.asarray(counts, dtype=np.int64))
        kept = total > 0
        return cls(unique[kept], total[kept])

    @property
    def sample_count(self) -> int:
        return int(self.counts.sum())

    def at_least(self, value: float) -> Sketch:
        """The sketch in which smaller values count as this value."""
        least = int(bucket_of(value))
        if not len(self.buckets) or self.buckets[0] >= least:
            return self
        return Sketch.from_counts(np.maximum(self.buckets, least), self.counts)

    def quantile(self, q: float) -> float:
        """The value below which a share `q` of the samples lies; NaN for an empty sketch."""
        if not len(self.buckets):
            return math.nan
        cumulated = np.cumsum(self.counts)
        rank = min(max(q, 0.0), 1.0) * (cumulated[-1] - 1)
        return float(value_of(self.buckets[int(np.searchsorted(cumulated, rank, side="right"))]))


EMPTY = Sketch(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


def merge(sketches: Iterable[Sketch]) -> Sketch:
    """The sketch of all samples together."""
    parts = list(sketches)
    if not parts:
        return EMPTY
    return Sketch.from_counts(
        np.concatenate([part.buckets for part in parts]), np.concatenate([part.counts for part in parts])
    )
