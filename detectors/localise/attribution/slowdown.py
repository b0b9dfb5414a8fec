"""How much slower than usual: by operation for self time, by edge for the time between two services.

    r = log((q + 1 ms) / (q₀ + 1 ms)) · n / (n + 3) · n₀ / (n₀ + 3)

with q, q₀ the 80th percentiles of n observed and n₀ usual values. On the log scale an operation of 1 ms
that takes 100 says more than one of 500 ms that takes 800; the millisecond keeps what nobody would notice
out, and the last factors shrink what rests on few spans. A fault that hits one call in five still moves
the 80th percentile, while the pauses of a shared machine do not.

A fault that hits one call in ten moves only the tail: r at the 95th percentile, where more values lie beyond
the usual 99th than chance explains. Tails differ from hour to hour for no reason, so they speak of services
only when no bulk has moved at all. They do name the operation of a service that is accused anyway: one call
in ten that holds up a queue makes all others wait.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import pdtrc

from detectors.localise.attribution.direction import Busy, Times, sender_of_message, sender_share
from detectors.localise.attribution.untaken import Untaken
from detectors.localise.traces import Traces
from detectors.model.operation import Operation
from detectors.stats.arrays import FloatArray, IntArray
from detectors.stats.sketch import Sketch

BULK_QUANTILE = 0.8
_TAIL_QUANTILE = 0.95
CLEAR_RATIO = math.log(3)  # below, no bulk has moved and no delay has a direction
_FLOOR_NS = 1e6
_SHRINK = 3.0
_BEYOND_QUANTILE = 0.99
_BEYOND_FACTOR = 1.25
_BEYOND_SHARE = 0.02  # of ordinary values: twice that quantile's own
_BEYOND_CHANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Slow:
    """Spans of one operation in the incident, against what is usual for it.

    rows: of the spans; for an edge of the calling spans. answers: for an edge the rows of the answers.
    callee: index into `Traces.services`, or None for self time.
    ratio: r above, at least 0; usual: empty where nothing is known.
    peak: r of the tail where that grew, else `ratio`.
    effect, peak_effect: the same without what few spans take off. Gates ask how large a change is, weights
        also how sure it is: one trace whose call was held for 200 ms has a direction like a hundred of them.
    sender: of an edge, how far the delay is the caller's, 0 to 1 (`direction`).
    waits: of an edge, whether the service was away meanwhile (`untaken`).
    held_ns: what everything else lost while each of these spans worked, if all stood still (`stalls`).
    """

    key: Operation
    rows: IntArray
    values_ns: FloatArray
    usual: Sketch
    ratio: float
    peak: float
    effect: float
    peak_effect: float
    callee: int | None = None
    answers: IntArray | None = None
    sender: float = 0.0
    held_ns: FloatArray | None = None
    waits: bool = False

    @property
    def bulk_lost_ns(self) -> float:
        """How much longer than usual its bulk took."""
        return float(np.quantile(self.values_ns, BULK_QUANTILE)) - self.usual.quantile(BULK_QUANTILE)

    @property
    def weight(self) -> float:
        """How much it counts among the operations of its service."""
        return math.sqrt(len(self.rows))

    def worst(self, count: int) -> list[int]:
        """Positions of the largest values, largest first."""
        return [int(i) for i in np.argsort(-self.values_ns, kind="stable")[:count]]


def slowdowns(traces: Traces, away: Untaken) -> tuple[list[Slow], list[Slow]]:
    """(self time by operation, time by edge): by the bulk, or by the tails when no bulk has moved.

    Args:
        away: what waited for services that took nothing for a while.
    """
    own = [*self_times(traces, away.rows()), *stalling_times(traces)]
    edges = [*edge_times(traces, away), *waiting_times(traces, away)]
    if max((slow.effect for slow in (*own, *edges)), default=0.0) >= CLEAR_RATIO:
        return own, edges
    return _by_tails(own), _by_tails(edges)


def _by_tails(found: list[Slow]) -> list[Slow]:
    return [
        slow
        if (slow.ratio, slow.effect) == (slow.peak, slow.peak_effect)
        else replace(slow, ratio=slow.peak, effect=slow.peak_effect)
        for slow in found
    ]


def slowdown(values_ns: FloatArray, usual: Sketch, quantile: float = BULK_QUANTILE) -> tuple[float, float]:
    """(r as above, the same without its last factors); 0 where nothing usual is known."""
    known = usual.sample_count
    if not known or not len(values_ns):
        return 0.0, 0.0
    now = float(np.quantile(values_ns, quantile)) + _FLOOR_NS
    effect = max(math.log(max(now, 1.0) / (max(usual.quantile(quantile), 0.0) + _FLOOR_NS)), 0.0)
    beyond = (1 - quantile) / (1 - BULK_QUANTILE)  # fewer values stand for a higher quantile
    return effect * _shrunk(beyond * len(values_ns)) * _shrunk(beyond * known), effect


def tail_grew(values_ns: FloatArray, usual: Sketch) -> bool:
    """Whether more values lie beyond what 99 of 100 usually stay below than chance explains."""
    if not usual.sample_count:
        return False
    limit = max(usual.quantile(_BEYOND_QUANTILE), 0.0) * _BEYOND_FACTOR + _FLOOR_NS
    beyond = int((values_ns > limit).sum())
    return beyond > 0 and float(pdtrc(beyond - 1, _BEYOND_SHARE * len(values_ns))) <= _BEYOND_CHANCE


def self_times(traces: Traces, waited: IntArray) -> list[Slow]:
    """Every operation of the incident whose self time is its own: calls to other services are edges.

    Args:
        waited: rows of spans whose time is a wait for another service.
    """
    chosen = traces.incident & ~traces.is_call
    chosen[traces.edges.caller] = False
    chosen[waited] = False
    if traces.stalls is not None:
        chosen[traces.stalls.rows] = False
    rows = np.flatnonzero(chosen)
    found = []
    for part in _by(traces.operation[rows]):
        key = traces.keys[int(traces.operation[rows[part[0]]])]
        values = traces.self_time_ns[rows[part]].astype(np.float64)
        usual = traces.usual.self_time(*key)
        found.append(Slow(key, rows[part], values, usual, *_ratios(values, usual)))
    return found


def stalling_times(traces: Traces) -> list[Slow]:
    """The operations during which everything stood still, by those of their spans that did it."""
    if traces.stalls is None:
        return []
    rows = traces.stalls.rows
    values = traces.self_time_ns[rows].astype(np.float64)
    held = traces.held_ns * values / values.sum()
    found = []
    for part in _by(traces.operation[rows]):
        key = traces.keys[int(traces.operation[rows[part[0]]])]
        usual = traces.usual.self_time(*key)
        ratio, effect = slowdown(values[part], usual)
        ratios = ratio, ratio, effect, effect
        found.append(Slow(key, rows[part], values[part], usual, *ratios, held_ns=held[part]))
    return found


def waiting_times(traces: Traces, away: Untaken) -> list[Slow]:
    """Spans that waited for an answer while nobody took the question, as edges to who did not."""
    found = []
    for waiting in away.waiting:
        key = traces.keys[int(traces.operation[waiting.rows[0]])]
        values = waiting.waited_ns.astype(np.float64)
        usual = traces.usual.self_time(*key)
        answers = np.array([waiting.taken])
        ratios = _ratios(values, usual)
        found.append(Slow(key, waiting.rows, values, usual, *ratios, waiting.service, answers, waits=True))
    return found


def edge_times(traces: Traces, away: Untaken) -> list[Slow]:
    """Every pair of a calling operation and a called service in the incident."""
    edges = traces.edges
    between = edges.time_ns.astype(np.float64)
    callee = traces.service[edges.callee]
    now = traces.incident[edges.caller]
    found = []
    for both in _by(traces.operation[edges.caller] * len(traces.services) + callee):
        part, before = both[now[both]], both[~now[both]]
        if not len(part):
            continue
        key = traces.keys[int(traces.operation[edges.caller[part[0]]])]
        called = int(callee[part[0]])
        usual = traces.usual.edge(*key, traces.services[called])
        ratios = _ratios(between[part], usual)
        sender = 0.0
        waits = (int(traces.operation[edges.caller[part[0]]]), called) in away.edges
        if not waits and ratios[3] >= CLEAR_RATIO:
            sender = _sender(traces, part, before, message=key.span_kind == "PRODUCER")
        answers = edges.callee[part]
        found.append(
            Slow(
                key, edges.caller[part], between[part], usual, *ratios,
                callee=called, answers=answers, sender=sender, waits=waits,
            )
        )  # fmt: skip
    return found


def _sender(traces: Traces, now: IntArray, usual: IntArray, *, message: bool) -> float:
    if not message:
        return sender_share(traces.edges, now, usual)
    called = traces.service[traces.edges.callee[now[0]]]
    rows = np.flatnonzero(traces.incident & (traces.service == called))
    start = traces.table["start_unix_nano"].to_numpy()
    times = Times(start, start + traces.table["duration_ns"].to_numpy())
    return sender_of_message(traces.edges, now, usual, times, Busy(start[rows], times.end[rows]))


def _ratios(values_ns: FloatArray, usual: Sketch) -> tuple[float, float, float, float]:
    """(ratio, peak, effect, peak_effect) of `Slow`."""
    ratio, effect = slowdown(values_ns, usual)
    tail, tail_effect = 0.0, 0.0
    if tail_grew(values_ns, usual):
        tail, tail_effect = slowdown(values_ns, usual, _TAIL_QUANTILE)
    return ratio, max(ratio, tail), effect, max(effect, tail_effect)


def _shrunk(count: float) -> float:
    return count / (count + _SHRINK)


def _by(codes: IntArray) -> Iterator[IntArray]:
    """Positions of each code, one array for each."""
    if len(codes):
        order = np.argsort(codes, kind="stable")
        yield from np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
