"""Decides which end of a slow edge delays it.

Of a call: what leaves a service late was held by that service. A delay only on the way there is the caller's
(it was slow to send), a delay on the way back the callee's, and so is one on both ways: a slow network card
holds what it takes in as well as what it sends. The caller's part falls from 1 to 0 as the way back takes
from none to a quarter of the time that was lost.

Of a message there is no way back. While its publishing span lasts, nobody has taken it: where publishing
fills at least half of what was lost, the sender (or its broker) held it. Later it waits in a queue, whose
consumer is busy with others; where spans of the consumer fill less than half of the wait, something else held
it. A consumer may also pause without a span: then each message waits differently, from not at all to as long
as the pause, while what is held on its way waits about the same. So the delay is on the sender's side when
the consumer was idle and the delayed messages differ by less than a factor of 2 (20th against 80th
percentile).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from detectors.stats.arrays import FloatArray, IntArray
from detectors.trace.edges import Edges

_USUAL_MIN = 5  # edges to compare with; with fewer the answer is unknown
_UNUSUAL_QUANTILE = 0.9
_LEAST_FACTOR = 1.25
_LEAST_EXCESS_NS = 1e6
_WAY_BACK_SHARE = 0.25
_STEADY_RATIO = 0.5
_BUSY_SHARE = 0.5
_PUBLISHING_SHARE = 0.5


class Times(NamedTuple):
    """When spans begin and end, in ns; one element each."""

    start: IntArray
    end: IntArray


class Busy:
    """When a service was at work: the union of some spans of it, each given by start and end in ns."""

    def __init__(self, start: IntArray, end: IntArray) -> None:
        order = np.argsort(start, kind="stable")
        start, reached = start[order], np.maximum.accumulate(np.maximum(end, start)[order])
        new = np.r_[True, start[1:] > reached[:-1]] if len(start) else np.empty(0, dtype=np.bool_)
        first = np.flatnonzero(new)
        self._start, self._end = (
            start[first],
            reached[np.r_[first[1:], len(start)] - 1] if len(start) else start,
        )
        self._before = np.r_[0, np.cumsum(self._end - self._start)]

    def share(self, start: IntArray, end: IntArray) -> float:
        """The share of these intervals in which it was at work; 0 for no time."""
        length = float((end - start).sum())
        return float((self._until(end) - self._until(start)).sum()) / length if length > 0 else 0.0

    def _until(self, moment: IntArray) -> IntArray:
        """How long it had worked by then, in ns."""
        if not len(self._start):
            return np.zeros(len(moment), dtype=np.int64)
        index = np.searchsorted(self._start, moment, side="right") - 1
        last = np.maximum(index, 0)
        inside = np.clip(moment, self._start[last], self._end[last]) - self._start[last]
        worked: IntArray = np.where(index < 0, 0, self._before[last] + inside)
        return worked


def sender_of_message(edges: Edges, now: IntArray, usual: IntArray, times: Times, consumer: Busy) -> float:
    """The publisher's part in the delay of messages, 0 or 1.

    Args:
        now, usual: positions in `edges` of one publishing operation and consuming service.
        times: of all spans.
    """
    if len(usual) < _USUAL_MIN:
        return 0.0
    delay = delays_ns(edges.before_ns[now], edges.before_ns[usual])
    late = now[delay > 0]
    if not len(late):
        return 0.0
    if _publishing_ns(edges, late, times).sum() >= _PUBLISHING_SHARE * delay.sum():
        return 1.0
    if consumer.share(times.start[edges.caller[late]], times.start[edges.callee[late]]) >= _BUSY_SHARE:
        return 0.0
    least, most = np.quantile(delay[delay > 0], (0.2, 0.8))
    return float(least >= _STEADY_RATIO * most)


def _publishing_ns(edges: Edges, late: IntArray, times: Times) -> IntArray:
    """How long each message was being published before somebody took it."""
    caller = edges.caller[late]
    published: IntArray = np.minimum(times.end[caller], times.start[edges.callee[late]]) - times.start[caller]
    return np.maximum(published, 0)


def sender_share(edges: Edges, now: IntArray, usual: IntArray) -> float:
    """The caller's part in the delay of calls, 0 to 1; 0 where that cannot be known.

    Args:
        now, usual: positions in `edges` of one calling operation and called service.
    """
    if len(usual) < _USUAL_MIN:
        return 0.0
    there = delays_ns(edges.before_ns[now], edges.before_ns[usual])
    lost_there = float(there.sum())
    if not lost_there:
        return 0.0
    back = float(delays_ns(edges.after_ns[now], edges.after_ns[usual]).sum())
    return max(1.0 - back / (back + lost_there) / _WAY_BACK_SHARE, 0.0)


def delays_ns(now: IntArray, usual: IntArray) -> FloatArray:
    """What each took beyond the usual median, if it took unusually long; else 0."""
    median, unusual = np.quantile(usual, (0.5, _UNUSUAL_QUANTILE))
    # Clocks may differ by anything: only the spread above the median can be multiplied.
    limit = median + _LEAST_FACTOR * (unusual - median) + _LEAST_EXCESS_NS
    return np.where(now > limit, now - median, 0.0)
