"""Moments in which everything stood still while one span worked: a collector that stops the world, a call
that holds up an event loop.

Whatever is under way in the same process waits then, in all its services, and afterwards all of it looks
slow; most of it slower than the culprit, of which there is only one span at a time. But the culprit is the
span that began last: nothing can begin once the world stands still. So among the spans that overlap and took
unusually long, each by itself, the one that began last is the *kernel* of a stall, if no other trace shows a
start or an end within it. An operation is *stalling* when

- at least three of its spans are kernels, and so are at least half of its slow spans that began last;
- so much silence has a probability below 10⁻⁴: of m traces that begin within a kernel or as long before and
  after it, none does within, (2/3)ᵐ;
- kernels are of it more often, among all slow spans that began last, than chance explains (binomial tail
  below 10⁻⁴): a pause of the machine meets whatever happens to run. With L traces under way, one of them is
  at an operation that usually has the share s of all self time with probability 1 - (1 - s)ᴸ.

Own times and waits are then read on a clock that stands still while the world does, and the kernels keep
their time. Several processes are never silent together by chance for long, so nothing changes for a fault
that lets others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import bdtrc

from detectors.model.operation import Operation
from detectors.stats.arrays import FloatArray, IntArray
from detectors.stats.sketch import Sketch

BoolArray = npt.NDArray[np.bool_]
OwnTime = Callable[[str, str, str], Sketch]  # of (service, operation, kind), in ns
STALLS = "stalls"
_LEAST_NS = 10e6  # shorter ones are no more than what schedulers do
_USUAL_QUANTILE = 0.99
_LEAST_FACTOR = 1.25
_OWN_SHARE = 0.9  # of a kernel, the time in which nothing below it worked
_EDGE_NS = 1e6  # of both ends of a kernel: what waited begins and ends about then
_LEAST_KERNELS = 3
_SILENT_SHARE = 0.5
_CHANCE = 1e-4
_SILENCE = 2 / 3


class Stalls(NamedTuple):
    """rows: of the kernels, ascending by start; start_ns, end_ns: when they stood in the way, never two at
    once."""

    rows: IntArray
    start_ns: IntArray
    end_ns: IntArray

    def clock(self, moment_ns: IntArray) -> IntArray:
        """What a clock shows that stands still during stalls."""
        stood = np.r_[0, np.cumsum(self.end_ns - self.start_ns)]
        index = np.searchsorted(self.start_ns, moment_ns, side="right")
        last = np.maximum(index - 1, 0)
        still = np.minimum(moment_ns, self.end_ns[last]) - self.start_ns[last]
        shown: IntArray = moment_ns - np.where(index > 0, stood[last] + still, 0)
        return shown


class Timeline(NamedTuple):
    """The incident's spans and, after them, usual ones; one element each. Times in ns.

    trace: a number for the trace; operation: index into `keys`; self_time_ns: of each span.
    """

    trace: IntArray
    operation: IntArray
    start: IntArray
    duration: IntArray
    self_time_ns: IntArray
    incident: BoolArray


def find_stalls(spans: Timeline, keys: Sequence[Operation], usual: OwnTime) -> Stalls | None:
    """The stalls of the incident, or None; `keys` are (service, operation, kind)."""
    slow = _slow(spans, keys, usual)
    if len(slow) < _LEAST_KERNELS:
        return None
    last = _began_last(slow, spans.start, spans.start + spans.duration)
    silent = last[~_interrupted(last, spans)]
    if len(silent) < _LEAST_KERNELS:
        return None
    stalling = _stalling(silent, last, spans)
    rows = silent[np.isin(spans.operation[silent], stalling)]
    if not len(rows):
        return None
    start = spans.start[rows]
    # Kernels overlap by what clocks and rounding leave; the later one ends the earlier.
    end = np.minimum(start + spans.duration[rows], np.r_[start[1:], np.iinfo(np.int64).max])
    return Stalls(rows, start, end)


def _slow(spans: Timeline, keys: Sequence[Operation], usual: OwnTime) -> IntArray:
    """Rows of the incident that took unusually long by themselves, by start."""
    long = spans.incident & (spans.self_time_ns >= np.maximum(_LEAST_NS, _OWN_SHARE * spans.duration))
    limit = np.full(len(keys), np.inf)
    for code in np.unique(spans.operation[long]).tolist():
        sketch = usual(*keys[code])
        if sketch.sample_count:
            limit[code] = max(sketch.quantile(_USUAL_QUANTILE), 0.0) * _LEAST_FACTOR
    rows = np.flatnonzero(long & (spans.self_time_ns > limit[spans.operation]))
    return rows[np.argsort(spans.start[rows], kind="stable")]


def _began_last(rows: IntArray, start: IntArray, end: IntArray) -> IntArray:
    """Of rows by start, those within which no other begins."""
    following = np.r_[start[rows[1:]], np.iinfo(np.int64).max]
    last: IntArray = rows[following >= end[rows] - int(_EDGE_NS)]
    return last


def _interrupted(rows: IntArray, spans: Timeline) -> BoolArray:
    """Whether another trace of the incident begins or ends a span within each of these."""
    inside = np.flatnonzero(spans.incident)
    moment = np.concatenate([spans.start[inside], spans.start[inside] + spans.duration[inside]])
    trace = np.concatenate([spans.trace[inside]] * 2)
    order = np.argsort(moment, kind="stable")
    moment, trace = moment[order], trace[order]
    first = np.searchsorted(moment, spans.start[rows] + int(_EDGE_NS), side="left")
    end = np.searchsorted(moment, spans.start[rows] + spans.duration[rows] - int(_EDGE_NS), side="right")
    return np.array(
        [
            bool((trace[a:b] != own).any())
            for a, b, own in zip(first.tolist(), end.tolist(), spans.trace[rows].tolist(), strict=True)
        ],
        dtype=np.bool_,
    )


def _stalling(silent: IntArray, last: IntArray, spans: Timeline) -> IntArray:
    """The operations that stop the world, as said above."""
    began, ended = _lifetimes(spans)
    chance = _met_by_chance(last, spans, began, ended)
    codes, counts = np.unique(spans.operation[silent], return_counts=True)
    found = []
    for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
        own = silent[spans.operation[silent] == code]
        quiet = _SILENCE ** _beginning_around(own, spans, began)
        enough = count >= max(_LEAST_KERNELS, _SILENT_SHARE * int((spans.operation[last] == code).sum()))
        if enough and quiet < _CHANCE and float(bdtrc(count - 1, len(last), chance[code])) < _CHANCE:
            found.append(code)
    return np.array(found, dtype=np.int64)


def _lifetimes(spans: Timeline) -> tuple[IntArray, IntArray]:
    """When the incident's traces begin and end, each ascending."""
    inside = np.flatnonzero(spans.incident)
    trace = np.unique(spans.trace[inside], return_inverse=True)[1]
    began = np.full(int(trace.max()) + 1, np.iinfo(np.int64).max)
    ended = np.zeros_like(began)
    np.minimum.at(began, trace, spans.start[inside])
    np.maximum.at(ended, trace, spans.start[inside] + spans.duration[inside])
    return np.sort(began), np.sort(ended)


def _beginning_around(rows: IntArray, spans: Timeline, began: IntArray) -> int:
    """How many other traces begin as long before these spans, and after them, as each lasts."""
    start, length = spans.start[rows], spans.duration[rows]
    before = np.searchsorted(began, start) - np.searchsorted(began, start - length)
    after = np.searchsorted(began, start + 2 * length) - np.searchsorted(began, start + length)
    return max(int((before + after).sum()) - len(rows), 0)  # its own trace begins before each


def _met_by_chance(rows: IntArray, spans: Timeline, began: IntArray, ended: IntArray) -> FloatArray:
    """By operation: the probability that a pause at these moments meets it; 1 if nobody knows what runs.

    Args:
        began, ended: of the incident's traces, each ascending.
    """
    count = int(spans.operation.max()) + 1
    usually = np.where(spans.incident, 0, spans.self_time_ns)
    worked = np.bincount(spans.operation, usually.astype(np.float64), minlength=count)
    if not worked.any():
        return np.ones(count)
    moment = spans.start[rows]
    begun = np.searchsorted(began, moment, side="right")
    under_way = begun - np.searchsorted(ended, moment, side="right")
    chance: FloatArray = 1 - (1 - worked / worked.sum()) ** max(float(under_way.mean()), 1.0)
    return chance
