"""Scores services by their share of the time lost on the critical paths.

Only spans beyond the 90th percentile of their operation's own usual time count, with what they took beyond
its median; the score also weighs each operation by r, so that an operation whose times always vary does not
stand for the one that changed. All shares fade when nothing has become three times as slow: then hardly any
time was lost, and who holds it says little. Edges are charged to their ends as in `edge_time`. An operation
that was never seen has no usual time: all of its time is excess.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc

from detectors.localise.attribution.slowdown import CLEAR_RATIO, Slow
from detectors.localise.evidence.edge_time import Ends, edge_finding, edge_operations
from detectors.localise.evidence.finding import Finding, Place, Scores
from detectors.localise.evidence.self_time import own_finding
from detectors.localise.traces import Traces
from detectors.stats.arrays import BoolArray, FloatArray, IntArray
from detectors.trace.critical_path import critical_paths
from detectors.trace.self_time import NO_PARENT

_UNUSUAL_QUANTILE = 0.9
_LEAST_FACTOR = 1.25
_LEAST_EXCESS_NS = 1e6
_NEW_OPERATION_RATIO = 1.0
_LEAST_SHARE = 0.02  # a smaller excess is noise


class TimeShare(NamedTuple):
    """The scores, each service's plain share of the excess for people, and where it was looked for."""

    scores: Scores
    shares: dict[str, float]
    on_path: BoolArray  # as from `on_critical_paths`


def time_share(traces: Traces, own: list[Slow], edges: list[Slow], ends: Ends) -> TimeShare:
    """Scores from 0 to 1. Shares sum to 1 over all services, and so do scores where much time was lost."""
    on_path = on_critical_paths(traces)
    weighed: dict[Place, float] = defaultdict(float)
    plain: dict[str, float] = defaultdict(float)
    causes: dict[Place, list[Slow]] = defaultdict(list)
    for slow in [*own, *edges]:
        lost = float(excess_ns(slow)[on_path[slow.rows]].sum())
        if not lost:
            continue
        ratio = slow.ratio if slow.usual.sample_count else _NEW_OPERATION_RATIO
        for part, operation in _charged(traces, slow, ends):
            weighed[operation] += part * lost * ratio
            plain[operation[0]] += part * lost
            if part > 0.5:
                causes[operation].append(slow)
    slowest = max((slow.effect for slow in (*own, *edges)), default=0.0)
    if any(not slow.usual.sample_count for found in causes.values() for slow in found):
        slowest = max(slowest, _NEW_OPERATION_RATIO)
    return TimeShare(
        _scores(traces, weighed, causes, min(slowest / CLEAR_RATIO, 1.0) ** 2), _normalised(plain), on_path
    )


def excess_ns(slow: Slow) -> FloatArray:
    """The time of each span beyond the median, if it took unusually long; else 0. And the time that it held
    up.
    """
    if slow.held_ns is not None:
        return slow.values_ns + slow.held_ns
    if not slow.usual.sample_count:
        return slow.values_ns
    limit = slow.usual.quantile(_UNUSUAL_QUANTILE) * _LEAST_FACTOR + _LEAST_EXCESS_NS
    return np.where(slow.values_ns > limit, slow.values_ns - slow.usual.quantile(0.5), 0.0)


def longest_holder(
    traces: Traces, slows: list[Slow], ends: Ends, on_path: BoolArray
) -> tuple[Place, Finding] | None:
    """The operation that holds most of what the traces took beyond the medians, unusual or not.

    An operation whose past knows the same slowness is never unusual, and still it is where the time went.
    None where the traces took less than a millisecond more than usual, or nobody holds half of it.
    """
    held: dict[Place, float] = defaultdict(float)
    largest: dict[Place, tuple[float, Slow]] = {}
    for slow in slows:
        median = slow.usual.quantile(0.5) if slow.usual.sample_count else 0.0
        excess = float(np.maximum(slow.values_ns - median, 0.0)[on_path[slow.rows]].sum())
        for part, operation in _charged(traces, slow, ends):
            held[operation] += part * excess
            if part * excess > largest.get(operation, (0.0, slow))[0]:
                largest[operation] = part * excess, slow
    trace_count = len(pc.unique(traces.table.slice(0, int(traces.incident.sum()))["trace_id"]))
    total = sum(held.values())
    if total < _LEAST_EXCESS_NS * trace_count:
        return None
    operation = max(held, key=lambda name: (held[name], name))
    if held[operation] < total / 2:
        return None
    return operation, _finding(traces, largest[operation][1], held[operation] / total, operation)


def on_critical_paths(traces: Traces) -> BoolArray:
    """Marks the incident's spans on the critical path of their trace, from its longest root."""
    count = int(traces.incident.sum())  # they come first, and no parent lies outside a trace
    spans = traces.table.slice(0, count)
    parent, start = traces.parent[:count], traces.aligned_start[:count]
    duration: IntArray = spans["duration_ns"].to_numpy()
    roots = np.flatnonzero(parent == NO_PARENT)
    codes = spans["trace_id"].combine_chunks().dictionary_encode().indices.to_numpy()[roots]
    longest = roots[np.lexsort((-duration[roots], codes))]
    first = np.unique(np.sort(codes), return_index=True)[1]
    marked = np.zeros(len(traces.incident), dtype=np.bool_)
    marked[critical_paths(parent, start, duration, longest[first].tolist())] = True
    return marked


def _charged(traces: Traces, slow: Slow, ends: Ends) -> list[tuple[float, Place]]:
    if slow.callee is None:
        return [(1.0, (slow.key.service_name, slow.key.operation))]
    share = ends.callee_share(slow, traces.services)
    return list(zip((share, 1 - share), edge_operations(traces, slow), strict=True))


def _scores(
    traces: Traces, weighed: dict[Place, float], causes: dict[Place, list[Slow]], lost: float
) -> Scores:
    scores = Scores()
    total = sum(weighed.values()) or 1.0
    for operation, value in weighed.items():
        share = lost * value / total
        scores.services[operation[0]] += share
        if share < _LEAST_SHARE or not causes[operation]:
            continue
        largest = max(causes[operation], key=lambda s: float(excess_ns(s).sum()))
        scores.add(operation, _finding(traces, largest, share, operation))
    return scores


def _finding(traces: Traces, slow: Slow, share: float, operation: Place) -> Finding:
    if slow.callee is None:
        return own_finding(traces, slow, share)
    return edge_finding(traces, slow, share, queued=operation[0] == traces.services[slow.callee])


def _normalised(values: dict[str, float]) -> dict[str, float]:
    total = sum(values.values())
    return {name: value / total for name, value in values.items()} if total else {}
