"""Scores services by numeric attributes far from their usual values: a price, a quantity, a size.

For each operation, by the two above it, and numeric attribute, on the log scale, with median m and the 1st
and 99th percentiles a, b of its usual values, x is out of range beyond a - (m - a) or b + (b - m): as far
again from the ordinary as the ordinary's own edge, and by at least 1%. What a number means often depends on
another attribute (a price on what is priced), so the attribute with few values that narrows the spread
most, if it halves it at least, splits the usual values first. k of n spans out of range against k₀ of n₀
give z as in `behaviour`. A value is passed on, so the topmost span that carries one out of range speaks,
and none below it.

Left out are codes (at most ten different usual values) and counters (which follow the clock).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from detectors.localise.behaviour import BEYOND_CHANCE_Z, signed_root
from detectors.localise.carried import CODES_MAX, Carried
from detectors.localise.evidence.finding import EVIDENCE_MAX, Finding, Scores, evidence
from detectors.localise.traces import Traces
from detectors.stats.arrays import BoolArray, FloatArray, IntArray
from detectors.trace.self_time import NO_PARENT

VALUES = "values"
_USUAL_MIN = 30
_DEPTH = 3
_FACETS_MAX = 20
_NARROWER = 0.5
_COUNTER_RANK_CORRELATION = 0.99
_LEAST_Z = 3.0
_LEAST_LOG = 0.01
_LEVELS_MAX = 128  # ancestors; ends walks around a cycle


@dataclass(frozen=True, slots=True)
class _Measure:
    """The values of one numeric attribute of one operation that can be judged; aligned."""

    operation: int
    key: str
    row: IntArray
    value: FloatArray
    low: FloatArray
    high: FloatArray
    split: str  # the key that the usual values were split by; empty without

    @property
    def out(self) -> BoolArray:
        return (self.value < self.low) | (self.value > self.high)


def values(traces: Traces, carried: Carried) -> Scores:
    """Scores in units of z, at most 8: the strongest deviation of each service."""
    measures = list(_measures(traces, carried))
    topmost = (
        _topmost(traces, np.unique(np.concatenate([m.row[m.out] for m in measures]))) if measures else None
    )
    scores = Scores()
    for measure in measures:
        assert topmost is not None
        out = measure.out & topmost[measure.row]
        now = traces.incident[measure.row]
        counts = [int(c.sum()) for c in (out & now, now, out & ~now, ~now)]
        z = float(signed_root(*(np.array([count]) for count in counts))[0])
        if z < _LEAST_Z:
            continue
        z = min(z, BEYOND_CHANCE_Z)
        key = traces.keys[measure.operation]
        finding = Finding(z, "value", _evidence(traces, measure, np.flatnonzero(out & now)))
        scores.services[key.service_name] = max(scores.services[key.service_name], z)
        scores.add((key.service_name, key.operation), finding)
    return scores


def _evidence(traces: Traces, measure: _Measure, found: IntArray) -> list[dict[str, Any]]:
    far = np.maximum(measure.low[found] - measure.value[found], measure.value[found] - measure.high[found])
    name = traces.keys[measure.operation].operation
    items = []
    for i in found[np.argsort(-far, kind="stable")[:EVIDENCE_MAX]].tolist():
        value, low, high = (float(np.exp(x[i])) for x in (measure.value, measure.low, measure.high))
        alike = f" for its {measure.split}" if measure.split else ""
        text = f"{name} carried {measure.key} = {value:.6g}, usually within {low:.6g} and {high:.6g}{alike}"
        span = traces.span(int(measure.row[i]))
        items.append(evidence("value", span, text, observed=value, expected=float(np.sqrt(low * high))))
    return items


def _measures(traces: Traces, carried: Carried) -> Iterator[_Measure]:
    number = carried.numbers()
    chosen = np.flatnonzero(number > 0)
    # By the operations above too: the size of an answer depends on the request.
    code = traces.contexts(_DEPTH)[carried.row[chosen]] * max(len(carried.keys), 1) + carried.key[chosen]
    for group in _groups(code):
        at = chosen[group]
        measure = _measure(traces, carried, at, np.log(number[at]))
        if measure is not None:
            yield measure


def _measure(traces: Traces, carried: Carried, at: IntArray, value: FloatArray) -> _Measure | None:
    row = carried.row[at]
    usual = ~carried.incident[at]
    if usual.all() or usual.sum() < _USUAL_MIN or len(np.unique(value[usual])) <= CODES_MAX:
        return None
    if _follows_clock(value[usual], traces.table["start_unix_nano"].to_numpy()[row[usual]]):
        return None
    facet, split = _facet(traces, carried, row, value, usual)
    low, high = np.full(len(at), -np.inf), np.full(len(at), np.inf)
    known = np.zeros(len(at), dtype=np.bool_)
    for number in np.unique(facet[usual]):
        same = facet == number
        before = value[same & usual]
        if len(before) >= _USUAL_MIN:
            least, median, most = np.quantile(before, (0.01, 0.5, 0.99))
            low[same], high[same] = 2 * least - median - _LEAST_LOG, 2 * most - median + _LEAST_LOG
            known[same] = True
    key = carried.keys[int(carried.key[at[0]])]
    return _Measure(
        int(traces.operation[row[0]]), key, row[known], value[known], low[known], high[known], split
    )


def _facet(
    traces: Traces, carried: Carried, row: IntArray, value: FloatArray, usual: BoolArray
) -> tuple[IntArray, str]:
    """(a number for the kind of each value, the key that separates the kinds)."""
    best, spread, split = np.zeros(len(row), dtype=np.int64), _spread(value[usual]) * _NARROWER, ""
    wanted = np.isin(carried.row, row)
    for key in np.unique(carried.key[wanted]).tolist():
        chosen = wanted & (carried.key == key)
        pair_of = np.full(len(traces.parent), -1, dtype=np.int64)
        pair_of[carried.row[chosen]] = carried.pair[chosen]
        pair = pair_of[row]
        kinds, counts = np.unique(pair[usual], return_counts=True)
        if not 2 <= len(kinds) <= _FACETS_MAX:
            continue
        inside = sum(
            float(count) * _spread(value[usual & (pair == kind)])
            for kind, count in zip(kinds, counts, strict=True)
        )
        if inside / float(counts.sum()) < spread:
            best, spread, split = pair, inside / float(counts.sum()), carried.keys[key]
    return best, split


def _spread(value: FloatArray) -> float:
    low, high = np.quantile(value, (0.25, 0.75))
    return float(high - low)


def _follows_clock(value: FloatArray, start: IntArray) -> bool:
    by_time = value[np.argsort(start, kind="stable")]
    ranks = np.argsort(np.argsort(by_time, kind="stable"), kind="stable")
    return abs(float(np.corrcoef(ranks, np.arange(len(ranks)))[0, 1])) > _COUNTER_RANK_CORRELATION


def _topmost(traces: Traces, rows: IntArray) -> BoolArray:
    """Marks those of `rows` that have none of them above."""
    marked = np.zeros(len(traces.parent), dtype=np.bool_)
    marked[rows] = True
    below, above = rows, traces.parent[rows]
    covered = np.zeros(len(traces.parent), dtype=np.bool_)
    for _ in range(_LEVELS_MAX):
        onward = above != NO_PARENT
        below, above = below[onward], above[onward]
        if not len(above):
            break
        covered[below[marked[above]]] = True
        above = traces.parent[above]
    return marked & ~covered


def _groups(codes: IntArray) -> list[IntArray]:
    if not len(codes):
        return []
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
