"""Counts of spans and slow spans of each operation by moments (short bins of time).

Columnar over all operations, bounded in time and number. Of a span it uses only operation, start and
slowness.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import bdtrc

from detectors.model.operation import Operation
from detectors.stats.arrays import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]

MOMENT_NS = 500_000_000
# A stall slows all running spans, so also those that began up to their own duration before it. Moments of
# twice the median keep a stall of 0.75 s within two moments, and a longer stall where operations are longer.
_MEDIANS_PER_MOMENT = 2
_KEPT_MOMENTS = 64  # of one operation; twice the longest window
_FORGET_AFTER_MOMENTS = 120  # without a span; for short operations 60 s of the detector's clock
_KEPT_RARE, _FORGET_RARE_S = 12, 1_800.0
_NUMBER_BITS = 35  # 2^63 ns are fewer moments than this
# On a shared machine one moment in 50 is slow without a fault: never assume less.
CHANCE_MIN = 0.02
_CHANCE_PRIOR_MOMENTS = 100.0
# A moment is slow in part when its share of slow spans is this many times the usual one, and more than one
# span is slow.
_PART_TIMES, _PART_SPANS_MIN = 3.0, 2
_PAST_MOMENTS_MAX = 4_000.0  # then all counts are halved: about half an hour


class Series(NamedTuple):
    """The moments of one operation that are complete enough to judge, in order of time."""

    keys: IntArray
    at: IntArray  # the number of each moment
    slow: BoolArray  # whether most of its spans are slow
    chance: float  # how often a moment is slow without a fault
    part: BoolArray  # whether clearly more of its spans than usual are slow
    part_chance: float
    share: FloatArray  # the share of slow spans in each moment


class Moments:
    """Counts of spans and slow spans. Not thread-safe."""

    def __init__(self, span_chance: float) -> None:
        """
        Args:
            span_chance: how often a single ordinary span is slow.
        """
        self._span_chance = span_chance
        self._codes: dict[Operation, int] = {}
        self._width_ns: IntArray = np.empty(0, dtype=np.int64)  # by code, as are the three below
        self._past: FloatArray = np.empty(0)
        self._past_slow: FloatArray = np.empty(0)
        self._past_part: FloatArray = np.empty(0)
        # Aligned, sorted by key: code << 35 | number.
        self._keys: IntArray = np.empty(0, dtype=np.int64)
        self._span_counts: IntArray = np.empty(0, dtype=np.int64)
        self._slow_counts: IntArray = np.empty(0, dtype=np.int64)
        self._touched_s: FloatArray = np.empty(0)
        self._marked: BoolArray = np.empty(0, dtype=bool)

    def code(self, operation: Operation, p50_ns: float) -> int:
        """The number of an operation; its first span sets the width of its moments."""
        known = self._codes.get(operation)
        if known is not None:
            return known
        width = MOMENT_NS * max(1, int(np.ceil(_MEDIANS_PER_MOMENT * p50_ns / MOMENT_NS)))
        self._codes[operation] = len(self._codes)
        self._width_ns = np.append(self._width_ns, width)
        self._past = np.append(self._past, 0.0)
        self._past_slow = np.append(self._past_slow, 0.0)
        self._past_part = np.append(self._past_part, 0.0)
        return len(self._codes) - 1

    def width_s(self, code: int) -> float:
        return float(self._width_ns[code]) / 1e9

    def add(self, codes: IntArray, start_unix_nano: IntArray, slow: BoolArray, now_s: float) -> IntArray:
        """Count spans; returns the key of each one's moment."""
        numbers = np.maximum(start_unix_nano, 0) // self._width_ns[codes]
        keys: IntArray = (codes.astype(np.int64) << _NUMBER_BITS) | numbers
        new, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
        slow_counts = np.bincount(inverse, weights=slow, minlength=len(new)).astype(np.int64)
        merged, place = np.unique(np.concatenate([self._keys, new]), return_inverse=True)
        old = place[: len(self._keys)]
        fresh = place[len(self._keys) :]
        self._span_counts = _sums(len(merged), old, self._span_counts, fresh, counts)
        self._slow_counts = _sums(len(merged), old, self._slow_counts, fresh, slow_counts)
        touched, marked = np.zeros(len(merged)), np.zeros(len(merged), dtype=bool)
        touched[old], marked[old] = self._touched_s, self._marked
        touched[fresh] = now_s
        self._keys, self._touched_s, self._marked = merged, touched, marked
        return keys

    def series(self, code: int) -> Series:
        """The moments of an operation that are complete enough to judge."""
        first, end = np.searchsorted(self._keys, [code << _NUMBER_BITS, (code + 1) << _NUMBER_BITS])
        counts = self._span_counts[first:end]
        # The newest moment may still fill. It counts once it has half as many spans as the others.
        if end - first > 1 and counts[-1] < counts[:-1].mean() / 2:
            end, counts = end - 1, counts[:-1]
        keys, slow_counts = self._keys[first:end], self._slow_counts[first:end]
        return Series(
            keys,
            keys & ((1 << _NUMBER_BITS) - 1),
            slow_counts * 2 > counts,
            self._chance(code, counts // 2, counts, self._past_slow),
            self._in_part(slow_counts, counts),
            self._chance(code, self._part_least(counts) - 1, counts, self._past_part),
            slow_counts / np.maximum(counts, 1),
        )

    def suspicious(
        self, codes: IntArray, whole: Sequence[tuple[int, int]], part: tuple[int, int] | None = None
    ) -> IntArray:
        """The operations among `codes` that have enough slow moments.

        Args:
            whole: pairs (k, n): k of any n consecutive moments are slow.
            part: (k, n): or k of any n consecutive moments are slow in part.
        """
        owners = self._keys >> _NUMBER_BITS
        slow = self._slow_counts * 2 > self._span_counts
        found = [_owners_of_dense(owners, slow, *least) for least in whole]
        if part is not None:
            found.append(_owners_of_dense(owners, self._in_part(self._slow_counts, self._span_counts), *part))
        suspects = np.unique(np.concatenate(found))
        return codes[np.isin(codes, suspects)] if len(suspects) else codes[:0]

    def mark(self, keys: IntArray) -> None:
        """Mark moments that belong to a shift: they are excluded from the rate of slow moments by chance."""
        self._marked[np.searchsorted(self._keys, keys)] = True

    def has(self, keys: IntArray) -> BoolArray:
        return np.isin(keys, self._keys)

    def forget(self, now_s: float) -> None:
        """Drop moments that are old, or too many of one operation; they become the operation's past."""
        if not len(self._keys):
            return
        codes = self._keys >> _NUMBER_BITS
        age_s = now_s - self._touched_s
        old = age_s > _FORGET_AFTER_MOMENTS * self._width_ns[codes] / 1e9
        old[self._of_rare_calls(codes, old & (age_s <= _FORGET_RARE_S), ~old)] = False
        if not old.any() and np.bincount(codes).max() <= _KEPT_MOMENTS:
            return
        # Ordered by arrival, so that a clock that jumped ahead and back does no harm.
        order = np.lexsort((self._keys, self._touched_s, codes))
        ends = np.searchsorted(codes[order], codes[order], side="right")
        surplus = np.empty(len(order), dtype=bool)
        surplus[order] = ends - np.arange(len(order)) > _KEPT_MOMENTS
        gone = old | surplus
        if not gone.any():
            return
        past = np.flatnonzero(gone & ~self._marked)
        slow = self._slow_counts[past] * 2 > self._span_counts[past]
        size = len(self._codes)
        self._past += np.bincount(codes[past], minlength=size)
        self._past_slow += np.bincount(codes[past], weights=slow, minlength=size)
        part = self._in_part(self._slow_counts[past], self._span_counts[past])
        self._past_part += np.bincount(codes[past], weights=part, minlength=size)
        fade = np.where(self._past > _PAST_MOMENTS_MAX, 0.5, 1.0)
        self._past, self._past_slow = self._past * fade, self._past_slow * fade
        self._past_part = self._past_part * fade
        for name in ("_keys", "_span_counts", "_slow_counts", "_touched_s", "_marked"):
            setattr(self, name, getattr(self, name)[~gone])

    def _of_rare_calls(self, codes: IntArray, old: BoolArray, fresh: BoolArray) -> IntArray:
        """Old moments that are kept: rarely called operations can only be judged by their newest ones."""
        count = np.bincount(codes[fresh], minlength=len(self._codes))
        spare = np.flatnonzero(old & (count[codes] < _KEPT_RARE))
        spare = spare[np.lexsort((self._touched_s[spare], codes[spare]))]
        owners = codes[spare]
        newer = np.searchsorted(owners, owners, side="right") - np.arange(len(owners))
        return np.asarray(spare[newer + count[owners] <= _KEPT_RARE], dtype=np.int64)

    def _part_least(self, span_counts: IntArray) -> IntArray:
        """The least number of slow spans with which moments of so many spans are slow in part."""
        least = np.ceil(_PART_TIMES * self._span_chance * span_counts).astype(np.int64)
        return np.asarray(np.maximum(least, _PART_SPANS_MIN), dtype=np.int64)

    def _in_part(self, slow_counts: IntArray, span_counts: IntArray) -> BoolArray:
        return np.asarray(slow_counts >= self._part_least(span_counts), dtype=np.bool_)

    def _chance(self, code: int, most: IntArray, span_counts: IntArray, past_slow: FloatArray) -> float:
        """The rate of moments with more slow spans than `most`: the larger of the past rate and the rate of
        independent spans."""
        if not len(span_counts):
            return CHANCE_MIN
        prior = CHANCE_MIN * _CHANCE_PRIOR_MOMENTS
        past = (past_slow[code] + prior) / (self._past[code] + _CHANCE_PRIOR_MOMENTS)
        independent = bdtrc(np.minimum(most, span_counts), span_counts, self._span_chance).mean()
        return float(max(CHANCE_MIN, past, independent))


def _owners_of_dense(owners: IntArray, marked: BoolArray, k: int, n: int) -> IntArray:
    """The owners of runs of n elements with k marked ones.

    >>> _owners_of_dense(np.array([1, 1, 1, 2, 2, 2]), np.array([1, 0, 1, 1, 1, 0], dtype=bool), 2, 2)
    array([2])
    """
    if len(owners) < n:
        return owners[:0]
    total = np.concatenate([[0], np.cumsum(marked)])
    dense = (total[n:] - total[:-n] >= k) & (owners[n - 1 :] == owners[: len(owners) - n + 1])
    return np.asarray(owners[: len(dense)][dense], dtype=np.int64)


def _sums(size: int, old: IntArray, before: IntArray, fresh: IntArray, added: IntArray) -> IntArray:
    total = np.zeros(size, dtype=np.int64)
    total[old] = before
    total[fresh] += added
    return total
