"""How much slower than usual: by operation for own time, by edge for the time between two services.

    r = log((q + 1 ms) / (q₀ + 1 ms)) · n / (n + 3) · n₀ / (n₀ + 3)

with q, q₀ the 80th percentiles of n observed and n₀ usual values. On the log scale an operation of 1 ms
that takes 100 says more than one of 500 ms that takes 800; the millisecond keeps what nobody would notice
out, and the last factors shrink what rests on few spans. A fault that hits one call in five still moves
the 80th percentile, while the pauses of a shared machine do not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from detectors.baseline.sketch import FloatArray, IntArray, Sketch
from detectors.localise.traces import OperationKey, Traces

_QUANTILE = 0.8
_FLOOR_NS = 1e6
_SHRINK = 3.0


@dataclass(frozen=True, slots=True)
class Slow:
    """Spans of one operation in the incident, against what is usual for it.

    rows: of the spans; for an edge of the calling spans. answers: for an edge the rows of the answers.
    callee: index into `Traces.services`, or None for own time.
    ratio: r above, at least 0; usual: empty where nothing is known.
    """

    key: OperationKey
    rows: IntArray
    values_ns: FloatArray
    usual: Sketch
    ratio: float
    callee: int | None = None
    answers: IntArray | None = None

    @property
    def weight(self) -> float:
        """How much it counts among the operations of its service."""
        return math.sqrt(len(self.rows))

    def worst(self, count: int) -> list[int]:
        """Positions of the largest values, largest first."""
        return [int(i) for i in np.argsort(-self.values_ns, kind="stable")[:count]]


def slowdown(values_ns: FloatArray, usual: Sketch) -> float:
    """r as above; 0 where nothing usual is known."""
    known = usual.sample_count
    if not known or not len(values_ns):
        return 0.0
    now = float(np.quantile(values_ns, _QUANTILE)) + _FLOOR_NS
    ratio = math.log(now / (max(usual.quantile(_QUANTILE), 0.0) + _FLOOR_NS))
    return max(ratio, 0.0) * len(values_ns) / (len(values_ns) + _SHRINK) * known / (known + _SHRINK)


def own_times(traces: Traces) -> list[Slow]:
    """Every operation of the incident whose own time is its own: calls to other services are edges."""
    chosen = traces.incident & ~traces.is_call
    chosen[traces.edges.caller] = False
    rows = np.flatnonzero(chosen)
    found = []
    for part in _by(traces.operation[rows]):
        key = traces.keys[int(traces.operation[rows[part[0]]])]
        values = traces.exclusive[rows[part]].astype(np.float64)
        usual = traces.usual.exclusive(*key)
        found.append(Slow(key, rows[part], values, usual, slowdown(values, usual)))
    return found


def edge_times(traces: Traces) -> list[Slow]:
    """Every pair of a calling operation and a called service in the incident."""
    edges = traces.edges
    chosen = np.flatnonzero(traces.incident[edges.caller])
    caller, answer = edges.caller[chosen], edges.callee[chosen]
    gap = edges.gap_ns[chosen].astype(np.float64)
    callee = traces.service[answer]
    found = []
    for part in _by(traces.operation[caller] * len(traces.services) + callee):
        key = traces.keys[int(traces.operation[caller[part[0]]])]
        called = int(callee[part[0]])
        usual = traces.usual.edge(*key, traces.services[called])
        found.append(
            Slow(key, caller[part], gap[part], usual, slowdown(gap[part], usual), called, answer[part])
        )
    return found


def _by(codes: IntArray) -> Iterator[IntArray]:
    """Positions of each code, one array for each."""
    if len(codes):
        order = np.argsort(codes, kind="stable")
        yield from np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
