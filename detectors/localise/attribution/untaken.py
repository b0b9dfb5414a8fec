"""Finds services that took nothing for a while, and the spans that waited for them meanwhile.

A service that dies and comes back within seconds leaves no failure of its own: what was sent to it waits, and
is taken at once when it is back. That is told from calls that are held on their way by three signs. At least
half of the wait of each the service began nothing at all (of what these traces show); several waited for the
same moment; and what was sent over a stretch of time was taken within half of that stretch or less, while
what is held on its way, or behind a caller that pauses, arrives as spread out as it was sent.

Who sends a message and waits for its answer in a span of its own (a reply queue, a future) does no work
while nobody takes the message, however its spans lie: that span's time is a wait for the service, and so is
its failure. It is such a span if it usually ends after the message was taken, if it now takes far longer, and
if at least half of its time passed while the message waited.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import pyarrow.compute as pc

from detectors.localise.traces import Traces
from detectors.stats.arrays import BoolArray, IntArray
from detectors.trace.self_time import NO_PARENT

_USUAL_MIN = 10  # to compare with
_FAR_TIMES, _FAR_NS = 5.0, 20_000_000  # beyond the usual median
_SILENT_SHARE = 0.5  # of the wait
_LEAST_WAITING = 3  # for one moment
_LEAST_STRETCH = 0.1  # of the wait: what is sent at one moment arrives at one however it is held
_BUNCHED = 0.5  # of the stretch over which they were sent
_MOST_SHARE = 0.5  # of what is late
_ALWAYS_SHARE = 0.9
_OWN_SHARE = 0.5  # of a waiting span's time
_NEVER = np.iinfo(np.int64).max
_LATE_MAX = 2_000  # of one service: more change nothing


@dataclass(frozen=True, slots=True)
class Waiting:
    """Spans of one operation that waited for a service that took nothing.

    rows: of the spans; waited_ns: of each; service: index into `Traces.services`; taken: a row of what takes
    it there.
    """

    rows: IntArray
    waited_ns: IntArray
    service: int
    taken: int


@dataclass(frozen=True, slots=True)
class Untaken:
    """edges: (calling operation, called service) whose late ones waited for a service that was away."""

    edges: frozenset[tuple[int, int]] = frozenset()
    waiting: list[Waiting] = field(default_factory=list)

    def rows(self) -> IntArray:
        """All spans that waited."""
        return np.concatenate([np.empty(0, dtype=np.int64), *(found.rows for found in self.waiting)])


@dataclass(frozen=True, slots=True)
class _Sent:
    """Messages and calls that wait long: rows of the calling spans, when they were sent and taken (ns), and
    one of the spans that take such."""

    rows: IntArray
    sent: IntArray
    taken: IntArray
    taker: int


def untaken(traces: Traces) -> Untaken:
    """What waited for services that were away."""
    by_service = _late(traces)
    edges: set[tuple[int, int]] = set()
    waiting: list[Waiting] = []
    start = traces.table["start_unix_nano"].to_numpy()
    for service, groups in by_service.items():
        begins = np.sort(start[traces.incident & (traces.service == service)])
        for operation, late in groups.items():
            waits = _waits_for_a_return(late.sent, late.taken, begins)
            if waits.mean() < _MOST_SHARE:
                continue
            edges.add((operation, service))
            if _is_message(traces, late.taker):
                waiting += _beside(traces, service, operation, late)
    return Untaken(frozenset(edges), waiting)


def _is_message(traces: Traces, taker: int) -> bool:
    return bool(traces.table["span_kind"][int(traces.parent[taker])].as_py() == "PRODUCER")


def _late(traces: Traces) -> dict[int, dict[int, _Sent]]:
    """By service and calling operation, what is taken far later than usual; never is later than any time."""
    edges, incident = traces.edges, traces.incident
    found: dict[int, dict[int, _Sent]] = defaultdict(dict)
    if not len(edges.caller) or incident.all():
        return found
    start, duration = (traces.table[name].to_numpy() for name in ("start_unix_nano", "duration_ns"))
    sends = pc.equal(traces.table["span_kind"], "PRODUCER").to_numpy(zero_copy_only=False)
    last = int((start + np.maximum(duration, 0))[incident].max())
    answered = np.zeros(len(incident), dtype=np.bool_)
    answered[edges.caller] = True
    service = traces.service[edges.callee]
    pairs = traces.operation[edges.caller] * len(traces.services) + service
    now = incident[edges.caller]
    order = np.argsort(pairs, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(pairs[order])) + 1):
        present, usual = part[now[part]], part[~now[part]]
        if len(usual) < _USUAL_MIN:
            continue
        median = float(np.median(edges.before_ns[usual]))
        limit = max(_FAR_TIMES * median, median + _FAR_NS)
        late = present[edges.before_ns[present] > limit]
        rows, taken = edges.caller[late], start[edges.callee[late]]
        operation = int(traces.operation[edges.caller[part[0]]])
        if sends[edges.caller[part[0]]]:
            same = np.flatnonzero(traces.operation == operation)
            lost = same[incident[same] & ~answered[same]]
            if answered[same[~incident[same]]].mean() >= _ALWAYS_SHARE:
                rows = np.r_[rows, lost[last - start[lost] > limit]]
                taken = np.r_[taken, np.full(len(rows) - len(taken), last)]
        if len(rows) >= _LEAST_WAITING:
            rows, taken = rows[:_LATE_MAX], taken[:_LATE_MAX]
            found[int(service[part[0]])][operation] = _Sent(
                rows, start[rows], taken, int(edges.callee[part[0]])
            )
    return found


def _waits_for_a_return(sent: IntArray, taken: IntArray, begins: IntArray) -> BoolArray:
    """Which of these waited for a service to take anything again.

    Args:
        begins: when the service began anything, sorted.
    """
    ends = np.zeros(len(sent), dtype=np.int64)  # of the longest silence within each wait
    for place, (begin, end) in enumerate(zip(sent.tolist(), taken.tolist(), strict=True)):
        inside = begins[np.searchsorted(begins, begin, side="right") : np.searchsorted(begins, end)]
        moments = np.r_[begin, inside, end]
        silences = np.diff(moments)
        longest = int(silences.argmax())
        if silences[longest] >= _SILENT_SHARE * (end - begin):
            ends[place] = moments[longest + 1]
    waits = np.zeros(len(sent), dtype=np.bool_)
    for moment in np.unique(ends[ends > 0]).tolist():
        same = np.flatnonzero(ends == moment)
        stretch = _spread(sent[same])
        over_time = stretch >= _LEAST_STRETCH * np.median(taken[same] - sent[same])
        if len(same) >= _LEAST_WAITING and over_time and _spread(taken[same]) <= _BUNCHED * stretch:
            waits[same] = True
    return waits


def _spread(moments: IntArray) -> float:
    least, most = np.quantile(moments, (0.1, 0.9))
    return float(most - least)


def _beside(traces: Traces, service: int, operation: int, late: _Sent) -> list[Waiting]:
    """The spans of the sender's service that waited for its answer."""
    start = traces.table["start_unix_nano"].to_numpy()
    end = start + np.maximum(traces.table["duration_ns"].to_numpy(), 0)
    trace = traces.table["trace_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    sender = int(traces.service[late.rows[0]])
    sent = np.full(int(trace.max()) + 1, _NEVER, dtype=np.int64)
    taken = np.zeros_like(sent)
    np.minimum.at(sent, trace[late.rows], late.sent)
    np.maximum.at(taken, trace[late.rows], late.taken)
    mine = np.flatnonzero((traces.service == sender) & (traces.operation != operation))
    now = mine[traces.incident[mine] & (taken[trace[mine]] > 0)]
    waited = np.minimum(end[now], taken[trace[now]]) - np.maximum(start[now], sent[trace[now]])
    waited = np.minimum(waited, traces.self_time_ns[now])
    usually = _usually_taken(traces, trace, start, service, operation)
    found = []
    for code in np.unique(traces.operation[now]).tolist():
        of_it = mine[~traces.incident[mine] & (traces.operation[mine] == code)]
        of_it = of_it[usually[trace[of_it]] > 0]
        if len(of_it) < _USUAL_MIN or (end[of_it] >= usually[trace[of_it]]).mean() < _ALWAYS_SHARE:
            continue
        median = float(np.median(traces.self_time_ns[of_it]))
        own = traces.self_time_ns[now]
        chosen = (traces.operation[now] == code) & (own > max(_FAR_TIMES * median, median + _FAR_NS))
        chosen &= waited >= _OWN_SHARE * own
        if chosen.any():
            found.append(Waiting(now[chosen], waited[chosen], service, late.taker))
    return found


def _usually_taken(
    traces: Traces, trace: IntArray, start: IntArray, service: int, operation: int
) -> IntArray:
    """By usual trace when such a message was first taken; 0 where none was."""
    edges = traces.edges
    chosen = (traces.operation[edges.caller] == operation) & (traces.service[edges.callee] == service)
    taken = edges.callee[chosen]
    first = np.full(int(trace.max()) + 1, _NEVER, dtype=np.int64)
    np.minimum.at(first, trace[taken], start[taken])
    return np.where(first == _NEVER, 0, first)


def waited_above(traces: Traces, rows: IntArray) -> BoolArray:
    """Marks these spans and those that wait for them."""
    marked = np.zeros(len(traces.parent), dtype=np.bool_)
    while len(rows):
        rows = rows[~marked[rows]]
        marked[rows] = True
        rows = traces.parent[rows]
        rows = np.unique(rows[rows != NO_PARENT])
    return marked
