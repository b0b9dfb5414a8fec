"""Scores services by calls made more often than usual: N+1 queries, retries, messages delivered twice.

A call is surplus when its parent has made as many of the same kind before it as 99 of 100 such parents
usually make at all. The surplus call decides, not its parent: a message that arrives twice counts for the
consumer, a query in a loop for the service that sends it.

Within one calling span (automatic instrumentation hides a client's retries, some systems have no client
spans) a server span that comes again was asked for by the caller. So it counts for the calling span, unless
an attempt before it failed: then it counts for the callee, whose failure made the caller ask again.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detectors.localise.behaviour import BEYOND_CHANCE_Z, Deviation, Events
from detectors.localise.carried import Carried
from detectors.localise.evidence.finding import EVIDENCE_MAX, Finding, Scores, evidence
from detectors.localise.failures import failing_spans
from detectors.localise.traces import Traces
from detectors.model.text import share_text
from detectors.stats.arrays import BoolArray, IntArray
from detectors.trace.self_time import NO_PARENT

REPEATS = "repeats"
_USUAL_QUANTILE = 0.99
_MESSAGE_KINDS = pa.array(["PRODUCER", "CONSUMER"])
_LABELS = ["repeated", "asked again", "retried"]
_REPEATED, _ASKED_AGAIN, _RETRIED = range(3)


def repeat_events(traces: Traces, carried: Carried, /) -> Events:
    """The surplus calls of each operation, and the calling spans that asked again without a failure."""
    surplus = surplus_calls(traces)
    above = traces.parent[surplus]
    message = pc.is_in(traces.table["span_kind"], value_set=_MESSAGE_KINDS).to_numpy(zero_copy_only=False)
    asked = (traces.service[surplus] != traces.service[above]) & ~message[surplus] & ~message[above]
    retried = asked.copy()
    retried[asked] = _failed_before(traces, carried, surplus[asked])
    again = asked & ~retried
    rows = np.r_[surplus[~again], np.unique(above[again])]
    codes = np.where(retried[~again], _RETRIED, _REPEATED)
    codes = np.r_[codes, np.full(len(rows) - len(codes), _ASKED_AGAIN)].astype(np.int64)
    return Events(REPEATS, rows, codes, _LABELS, np.full(3, fill_value=True), np.full(3, fill_value=False))


def _failed_before(traces: Traces, carried: Carried, rows: IntArray) -> BoolArray:
    """Whether an earlier call of the same kind by the same parent failed."""
    failed = np.flatnonzero(failing_spans(traces, carried))
    start = traces.table["start_unix_nano"].to_numpy()
    first: dict[tuple[int, int], int] = {}
    for row in failed.tolist():
        call = int(traces.parent[row]), int(traces.operation[row])
        first[call] = min(first.get(call, int(start[row])), int(start[row]))
    never = np.iinfo(np.int64).max
    calls = zip(traces.parent[rows].tolist(), traces.operation[rows].tolist(), strict=True)
    begun = np.array([first.get(call, never) for call in calls], dtype=np.int64)
    before: BoolArray = begun < start[rows]
    return before


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


def _said(traces: Traces, deviation: Deviation) -> str:
    """What happened more often than usual, without the shares."""
    operation = traces.keys[deviation.operation].operation
    if deviation.label == _LABELS[_RETRIED]:
        return f"{operation} was called again by the same span, after it had failed,"
    if deviation.label == _LABELS[_REPEATED]:
        return f"{operation} was called again by the same span"
    row = int(deviation.rows[0])
    below = np.flatnonzero(traces.parent == row)
    below = below[traces.service[below] != traces.service[row]]
    codes, counts = np.unique(traces.operation[below], return_counts=True)
    callee = traces.keys[int(codes[np.argmax(counts)])]
    return (
        f"{operation} repeated its call: one span holds {counts.max()} of {callee.operation} in "
        f"{callee.service_name}, none of which failed, as"
    )


def repeats(traces: Traces, found: list[Deviation]) -> Scores:
    """Scores in units of z, at most 8: the strongest deviation of each service."""
    scores = Scores()
    traces.prepare(int(row) for deviation in found for row in deviation.rows[:EVIDENCE_MAX])
    for deviation in found:
        key = traces.keys[deviation.operation]
        score = min(deviation.z, BEYOND_CHANCE_Z) * deviation.own
        text = (
            f"{_said(traces, deviation)} in {share_text(deviation.share)} of its calls, usually in "
            f"{share_text(deviation.usual_share)}"
        )
        items = [evidence("count", traces.span(int(row)), text) for row in deviation.rows[:EVIDENCE_MAX]]
        scores.services[key.service_name] = max(scores.services[key.service_name], score)
        scores.add((key.service_name, key.operation), Finding(score, "count", items))
    return scores
