"""Compares how often the spans of operations show an event with how often they usually do.

An event is a failure, a call to another operation, or a log message. For each operation, alone and by the two
operations above it, k of its n spans show an event; usually k₀ of n₀ do. How surely the shares differ is

    z = ± √(2 (L(k, n) + L(k₀, n₀) - L(k + k₀, n + n₀))),   L(k, n) = k log(k/n) + (n - k) log(1 - k/n)

the signed root of the log-likelihood ratio (the G-test: Sokal & Rohlf 1981), which stays honest where a share
is 0 or 1 and n is small. It speaks from |z| = 3: of what usually happens (k₀/n₀ ≥ 0.8) and now does not, of
calls that are often made (k₀/n₀ ≥ 0.3) and now hardly ever, and of failures, errors and what is unusual
(k₀/n₀ < 0.5) and now happens.

An operation by itself is compared with what its usual spans would do if they were called as now: usual
shares are weighed by the operations above (direct standardisation), since more cancels among the orders are
no fault of the publisher that serves both.

A fault below shows above: who gets no answer does not go on. So a span that deviates is *explained* when one
below it in another service deviates too, and a deviation counts for the share of its spans that are not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import xlogy

from detectors.localise.traces import Traces
from detectors.stats.arrays import BoolArray, FloatArray, IntArray
from detectors.trace.self_time import NO_PARENT

AnyArray = IntArray | FloatArray
_DEPTHS = (1, 3)  # an operation by itself; and with those two above, as many are called in several ways
_LEAST_Z = 3.0
BEYOND_CHANCE_Z = 8.0  # a larger z shows the number of spans, not the certainty
_USUAL_SHARE = 0.8
# Calls that fewer spans make are missed when hardly any makes them: a loop that no longer picks its tools.
_OFTEN_SHARE, _LEFT = 0.3, 0.2
_UNUSUAL_SHARE = 0.5
_KEPT_MAX = 3  # of one operation in one source
_NOTHING = 1e-12
_LEVELS_MAX = 128  # ancestors; ends walks around a cycle


@dataclass(frozen=True, slots=True)
class Events:
    """(rows, codes) are unique pairs: a span shows an event once or not at all. The rest is by code.

    more_is_bad, less_is_bad: which change counts; part_is_bad: so does less of what a part of the spans show.
    """

    source: str
    rows: IntArray
    codes: IntArray
    labels: Sequence[str]
    more_is_bad: BoolArray
    less_is_bad: BoolArray
    part_is_bad: bool = False


@dataclass(frozen=True, slots=True)
class Deviation:
    """One event of one operation in one context.

    share, usual_share: of the spans; rows: the spans that show it (`more`) or lack it; of these, `own` is
    the share that nothing below explains.
    """

    source: str
    operation: int  # index into Traces.keys
    label: str
    more: bool
    z: float
    share: float
    usual_share: float
    rows: IntArray
    own: float = 1.0

    @property
    def score(self) -> float:
        return self.z * self.own


def deviations(traces: Traces, events: Sequence[Events], waited: BoolArray | None = None) -> list[Deviation]:
    """The deviating events, each with the share that is the operation's own.

    Args:
        waited: marks spans of which another service's silence explains whatever they show.
    """
    contexts = [traces.contexts(depth) for depth in _DEPTHS]
    found = [
        deviation
        for context in contexts
        for kind in events
        for deviation in _compare(traces, kind, context, contexts[-1])
    ]
    if not found:
        return []
    rows = np.concatenate([d.rows for d in found])
    begins = np.cumsum([0, *(len(d.rows) for d in found[:-1])])
    marked = _explained(traces, np.unique(rows))
    explained = (marked if waited is None else marked | waited)[rows].astype(np.float64)
    own = 1 - np.add.reduceat(explained, begins) / np.diff(np.r_[begins, len(rows)])
    judged = sorted(zip(found, own.tolist(), strict=True), key=lambda d: (-d[0].z * d[1], d[0].label))
    best: dict[tuple[str, int, str, bool], Deviation] = {}
    kept: Counter[tuple[str, int]] = Counter()
    for deviation, share in judged:
        key = (deviation.source, deviation.operation, deviation.label, deviation.more)
        if key not in best and kept[key[:2]] < _KEPT_MAX:
            best[key] = replace(deviation, own=share)
            kept[key[:2]] += 1
    return list(best.values())


def _compare(traces: Traces, events: Events, context: IntArray, deep: IntArray) -> list[Deviation]:
    size = int(context.max()) + 1
    n = np.bincount(context[traces.incident], minlength=size)
    usual_n = np.bincount(context[~traces.incident], minlength=size)
    key = context[events.rows] * len(events.labels) + events.codes
    pairs, place = np.unique(key, return_inverse=True)
    now = traces.incident[events.rows]
    k = np.bincount(place[now], minlength=len(pairs))
    weights = _weights(traces, deep)
    usual_k = np.bincount(place[~now], weights[events.rows[~now]], minlength=len(pairs))
    usual_weight = np.bincount(context[~traces.incident], weights[~traces.incident], minlength=size)
    at, code = pairs // max(len(events.labels), 1), pairs % max(len(events.labels), 1)
    n, usual_n = n[at], usual_n[at]
    # Weighted by the call mix of the incident, and scaled back to the number that was seen.
    usual_k = usual_k * usual_n / np.maximum(usual_weight[at], _NOTHING)
    known = (n > 0) & (usual_weight[at] > 0)
    z = signed_root(k, n, usual_k, usual_n)
    share, usual_share = k / np.maximum(n, 1), usual_k / np.maximum(usual_n, 1)
    more = known & (z >= _LEAST_Z) & events.more_is_bad[code] & (usual_share < _UNUSUAL_SHARE)
    gone = (usual_share >= _OFTEN_SHARE) & (share <= _LEFT * usual_share) & events.part_is_bad
    less = known & (z <= -_LEAST_Z) & events.less_is_bad[code] & ((usual_share >= _USUAL_SHARE) | gone)
    striking = np.flatnonzero(more | less)
    members = _groups(np.where(traces.incident, context, -1), at[striking])
    shown = _groups(place, striking)
    found = []
    shows_it = np.zeros(
        len(context), dtype=np.bool_
    )  # one for all: a search in sets would cost twice as much
    for i, inside, showing in zip(striking.tolist(), members, shown, strict=True):
        rows = events.rows[showing]
        shows_it[rows] = True
        shows = shows_it[inside]
        shows_it[rows] = False
        found.append(
            Deviation(
                events.source,
                int(traces.operation[inside[0]]),
                events.labels[int(code[i])],
                bool(more[i]),
                abs(float(z[i])),
                float(share[i]),
                float(usual_share[i]),
                inside[shows if more[i] else ~shows],
            )
        )
    return found


def _weights(traces: Traces, context: IntArray) -> FloatArray:
    """How often each usual span would occur if its context were as frequent as in the incident."""
    size = int(context.max()) + 1
    now = np.bincount(context[traces.incident], minlength=size)
    usual = np.bincount(context[~traces.incident], minlength=size)
    return (now / np.maximum(usual, 1))[context]


def _groups(numbers: IntArray, wanted: IntArray) -> Iterator[IntArray]:
    """The positions of each wanted number in an array, found without a scan for each."""
    order = np.argsort(numbers, kind="stable")
    sorted_numbers = numbers[order]
    begins = np.searchsorted(sorted_numbers, wanted).tolist()
    ends = np.searchsorted(sorted_numbers, wanted, side="right").tolist()
    return (order[begin:end] for begin, end in zip(begins, ends, strict=True))


def signed_root(k: AnyArray, n: AnyArray, usual_k: AnyArray, usual_n: AnyArray) -> FloatArray:
    """z as above, for n > 0 and n₀ > 0."""
    ratio = _likelihood(k, n) + _likelihood(usual_k, usual_n) - _likelihood(k + usual_k, n + usual_n)
    sign = np.sign(k * usual_n - usual_k * n).astype(np.float64)
    z: FloatArray = sign * np.sqrt(2.0 * np.maximum(ratio, 0.0))
    return z


def _likelihood(k: AnyArray, n: AnyArray) -> FloatArray:
    some = np.maximum(n, 1)
    k = np.minimum(k, n)
    return np.asarray(xlogy(k, k / some) + xlogy(n - k, (n - k) / some), dtype=np.float64)


def _explained(traces: Traces, rows: IntArray) -> BoolArray:
    """Marks the spans that have one of `rows` below them in another service."""
    marked = np.zeros(len(traces.parent), dtype=np.bool_)
    below, above = rows, traces.parent[rows]
    for _ in range(_LEVELS_MAX):
        onward = above != NO_PARENT
        below, above = below[onward], above[onward]
        if not len(above):
            break
        marked[above[traces.service[above] != traces.service[below]]] = True
        above = traces.parent[above]
    return marked
