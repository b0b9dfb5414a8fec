"""Names a service that is no longer heard of inside the spans that always called it.

Where callers have no client spans, a call leaves a trace only below the span that made it: of a dead callee
nothing is left, and its caller alone fails or takes long. So a service is missed in an operation (no call
itself) of which nine in ten usual spans called it and hardly any does now, most of which fail or take far
longer than usual, while it is heard of nowhere else in these traces. Of several that are missed in one
operation the one that is usually called first is: behind it nobody went on.

Whoever sends a message does not notice that nobody takes it. So a consumer is missed, too, of which there
were spans below a publishing operation's and there are hardly any now.

A caller that fails before it calls looks the same. What it raised decides: a connection that fails is the
callee's; anything else leaves both named, the callee with half of the weight.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detectors.localise.behaviour import BEYOND_CHANCE_Z, signed_root
from detectors.localise.dead import SPANS_WITHOUT, Dead
from detectors.localise.traces import Traces
from detectors.stats.arrays import BoolArray, IntArray
from detectors.trace.self_time import NO_PARENT

_CALLING = pa.array(["CLIENT", "PRODUCER"])
_ALWAYS_SHARE = 0.9  # of the usual spans of the caller
_LEAST_USUAL = 10  # of them
_ALIVE_SHARE = 0.2  # of the present ones: with more it is not dead
_TROUBLED_SHARE = 0.5  # of those that lack it: they fail or take long; else it is no longer called
_FAR_TIMES, _FAR_NS = 5.0, 20_000_000  # beyond the usual median
_LEAST_Z = 2.0
_UNSURE = 0.5
_CONNECTION = re.compile(
    r"connect|refused|reset|unreachable|unavailable|time[d ]?.?out|deadline|no route|resolve|getaddrinfo"
    r"|name or service|dns|broken ?pipe|hang ?up|eof\b|socket|503|504",
    re.IGNORECASE,
)


def unheard(traces: Traces, failed: IntArray, said: Mapping[int, str]) -> tuple[list[Dead], IntArray]:
    """Services that are missed, and the failed spans that surely are theirs.

    Args:
        failed: rows of the spans that failed first.
        said: by row, what a failed span raised.
    """
    kinds = pc.is_in(traces.table["span_kind"], value_set=_CALLING).to_numpy(zero_copy_only=False)
    below = np.flatnonzero(traces.parent != NO_PARENT)
    above = traces.parent[below]
    called = (traces.service[below] != traces.service[above]) & ~kinds[above]
    children, callers = below[called], above[called]
    fails = np.zeros(len(traces.parent), dtype=np.bool_)
    fails[failed] = True
    found: list[Dead] = []
    theirs: list[int] = []
    for operation in np.unique(traces.operation[failed]).tolist():
        rows = np.flatnonzero(traces.operation == operation)
        missed = _missed(traces, rows, children, callers, fails)
        if missed is None:
            continue
        place, lost, share, z = missed
        told = [said[row] for row in lost.tolist() if said.get(row)]
        sure = not told or any(_CONNECTION.search(text) for text in told)
        caller = traces.keys[operation]
        where = f"inside {caller.operation} in {caller.service_name}, which always called it"
        found.append(Dead(place, lost, where, share, z if sure else z * _UNSURE, unit=SPANS_WITHOUT))
        theirs += lost[fails[lost]].tolist() if sure else []
    return [*found, *_without_consumer(traces)], np.array(theirs, dtype=np.int64)


def _missed(
    traces: Traces, rows: IntArray, children: IntArray, callers: IntArray, fails: BoolArray
) -> tuple[int, IntArray, float, float] | None:
    """(operation that is missed first, the spans that lack it, their share, certainty) of one operation.

    Args:
        rows: its spans.
        children, callers: spans of other services and the spans that called them.
    """
    now = traces.incident[rows]
    usual, present = rows[~now], rows[now]
    if len(usual) < _LEAST_USUAL or not len(present):
        return None
    mine = np.isin(callers, rows)
    best: tuple[float, int, IntArray, float, float] | None = None
    for service in np.unique(traces.service[children[mine]]).tolist():
        of_it = mine & (traces.service[children] == service)
        has = np.isin(rows, callers[of_it])
        lost = rows[now & ~has]
        elsewhere = int((traces.incident & (traces.service == service)).sum())
        if has[~now].mean() < _ALWAYS_SHARE or elsewhere > _ALIVE_SHARE * len(present) or not len(lost):
            continue
        if (fails[lost] | _long(traces, lost, usual)).mean() < _TROUBLED_SHARE:
            continue
        numbers = (np.array([n]) for n in (len(lost), len(present), int((~has[~now]).sum()), len(usual)))
        z = min(float(signed_root(*numbers)[0]), BEYOND_CHANCE_Z)
        if z < _LEAST_Z:
            continue
        first = children[of_it & ~traces.incident[callers]]
        after_ns = float(np.median(traces.aligned_start[first] - traces.aligned_start[traces.parent[first]]))
        operations, counts = np.unique(traces.operation[first], return_counts=True)
        if best is None or after_ns < best[0]:
            best = after_ns, int(operations[counts.argmax()]), lost, len(lost) / len(present), z
    return best[1:] if best else None


def _long(traces: Traces, lost: IntArray, usual: IntArray) -> BoolArray:
    """Which of these spans took far longer than usual."""
    took = traces.table["duration_ns"].to_numpy()
    median = float(np.median(took[usual]))
    return np.asarray(took[lost] > max(_FAR_TIMES * median, median + _FAR_NS), dtype=np.bool_)


def _without_consumer(traces: Traces) -> list[Dead]:
    """Services that no longer take the messages of an operation that goes on sending them."""
    kinds = pc.equal(traces.table["span_kind"], "PRODUCER").to_numpy(zero_copy_only=False)
    takes = pc.equal(traces.table["span_kind"], "CONSUMER").to_numpy(zero_copy_only=False)
    taken = np.flatnonzero(takes & (traces.parent != NO_PARENT))
    taken = taken[kinds[traces.parent[taken]]]
    found: list[Dead] = []
    for operation in np.unique(traces.operation[kinds & traces.incident]).tolist():
        rows = np.flatnonzero(traces.operation == operation)
        now = traces.incident[rows]
        of_it = taken[np.isin(traces.parent[taken], rows)]
        for service in np.unique(traces.service[of_it]).tolist():
            has = np.isin(rows, traces.parent[of_it[traces.service[of_it] == service]])
            usual, left = float(has[~now].mean()), float(has[now].mean())
            elsewhere = int((traces.incident & (traces.service == service)).sum())
            expected = usual * now.sum()
            if (
                (~now).sum() < _LEAST_USUAL
                or left > _ALIVE_SHARE * usual
                or elsewhere > _ALIVE_SHARE * expected
            ):
                continue
            numbers = (np.array([n]) for n in (has[now].sum(), now.sum(), has[~now].sum(), (~now).sum()))
            z = min(-float(signed_root(*numbers)[0]), BEYOND_CHANCE_Z)
            if z < _LEAST_Z:
                continue
            names, counts = np.unique(
                traces.operation[of_it[traces.service[of_it] == service]], return_counts=True
            )
            sender = traces.keys[operation]
            where = f"to {sender.operation} in {sender.service_name}, whose messages it took"
            lost = rows[now & ~np.isin(rows, traces.parent[of_it])]
            share = 1 - left / usual
            found.append(Dead(int(names[counts.argmax()]), lost, where, share, z, unit=SPANS_WITHOUT))
    return found
