"""Scores services by calls made more often than usual: N+1 queries, retries, messages delivered twice.

A call is surplus when its parent has made as many of the same kind before it as 99 of 100 such parents
usually make at all. The surplus call decides, not its parent: a message that arrives twice counts for the
consumer, a query in a loop for the service that sends it.
"""

from __future__ import annotations

import numpy as np

from detectors.localise.behaviour import BEYOND_CHANCE_Z, Deviation, Events
from detectors.localise.evidence.finding import EVIDENCE_MAX, Finding, Scores, evidence
from detectors.localise.traces import Traces
from detectors.model.text import share_text
from detectors.stats.arrays import IntArray
from detectors.trace.self_time import NO_PARENT

REPEATS = "repeats"
_USUAL_QUANTILE = 0.99


def repeat_events(traces: Traces) -> Events:
    """The surplus calls of each operation."""
    rows = surplus_calls(traces)
    return Events(
        REPEATS, rows, np.zeros(len(rows), dtype=np.int64), ["repeated"], np.array([True]), np.array([False])
    )


def surplus_calls(traces: Traces) -> IntArray:
    """Rows beyond the usual number of calls from one parent; none where that number is not known."""
    child = np.flatnonzero(traces.parent != NO_PARENT)
    if not len(child):
        return child
    parent, operation = traces.parent[child], traces.operation[child]
    start = traces.table["start_unix_nano"].to_numpy()[child]
    order = np.lexsort((start, operation, parent))
    group = parent[order] * len(traces.keys) + operation[order]
    first = np.r_[True, group[1:] != group[:-1]]
    begins = np.flatnonzero(first)
    number = np.arange(len(group)) - begins[np.cumsum(first) - 1]  # 0 for the first call of its kind
    counts = np.diff(np.r_[begins, len(group)])
    kind = traces.operation[parent[order]] * len(traces.keys) + operation[order]
    limit = _usual_counts(kind[begins], counts, ~traces.incident[parent[order][begins]])
    rows: IntArray = child[order][number >= limit[np.cumsum(first) - 1]]
    return rows


def _usual_counts(kind: IntArray, counts: IntArray, usual: np.ndarray) -> IntArray:
    """The number of calls that 99 of 100 usual parents do not exceed, by group; infinite without any."""
    limit = np.full(len(kind), np.iinfo(np.int64).max)
    known = np.flatnonzero(usual)
    order = known[np.lexsort((counts[known], kind[known]))]
    kinds, begins, sizes = np.unique(kind[order], return_index=True, return_counts=True)
    if not len(kinds):
        return limit
    place = begins + np.ceil(_USUAL_QUANTILE * (sizes - 1)).astype(np.int64)
    at = np.minimum(np.searchsorted(kinds, kind), len(kinds) - 1)
    found = kinds[at] == kind
    limit[found] = counts[order][place][at[found]]
    return limit


def repeats(traces: Traces, found: list[Deviation]) -> Scores:
    """Scores in units of z, at most 8: the strongest deviation of each service."""
    scores = Scores()
    traces.prepare(int(row) for deviation in found for row in deviation.rows[:EVIDENCE_MAX])
    for deviation in found:
        key = traces.keys[deviation.operation]
        score = min(deviation.z, BEYOND_CHANCE_Z) * deviation.own
        text = (
            f"{key.operation} was called again by the same span in {share_text(deviation.share)} of its "
            f"calls, usually in {share_text(deviation.usual_share)}"
        )
        items = [evidence("count", traces.span(int(row)), text) for row in deviation.rows[:EVIDENCE_MAX]]
        scores.services[key.service_name] = max(scores.services[key.service_name], score)
        scores.add((key.service_name, key.operation), Finding(score, "count", items))
    return scores
