"""Time between two services: from the span that calls to the span that answers.

An edge is a span that only waits. Its only child runs in another service, and it is the client span of a call
or the publishing span of a message. Where the kind does not say so, its own service must have called it: the
span with which a service was entered also works, so its time is its own.

The time of an edge is the time before the child begins, plus the time after the child ended during which the
caller still ran. For a call this is client less server time; for a message it is the time under way, however
early the publishing span ended. Both ends are read on their own clocks, so a skewed clock moves time from one
end of a call to the other; the sum is the same on any clock where the answer fits into the call. Where it
does not, the caller gave up or did not wait: what came after its end does not count, nor a negative sum.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from detectors.stats.arrays import IntArray
from detectors.trace.self_time import NO_PARENT

_CALLING_KINDS = ["CLIENT", "PRODUCER"]
_SERVING_KINDS = ["SERVER", "CONSUMER"]
_LONGEST_NS = 2**62 - 1  # the sum of two fits int64: a span may end in 2262


class Edges(NamedTuple):
    """Aligned: row of the calling span, row of the answering span, and the time between them in ns.

    before_ns, after_ns: the two parts, computed across both clocks; negative where the clocks differ or the
    caller did not wait.
    """

    caller: IntArray
    callee: IntArray
    time_ns: IntArray
    before_ns: IntArray
    after_ns: IntArray


def find_edges(
    parent: IntArray, service: IntArray, kind: pa.ChunkedArray, start: IntArray, duration: IntArray
) -> Edges:
    """The edges among some spans.

    Args:
        parent: as from `parent_index`.
        service: a number for the service of each span.
        kind: OpenTelemetry's span kinds, e.g. CLIENT.
        start, duration: ns.
    """
    children = child_counts(parent)
    remote = is_remote(parent, service)
    callee = np.flatnonzero(remote)
    waits = _waits(kind, entry=remote | (parent == NO_PARENT))
    callee = callee[(children[parent[callee]] == 1) & waits[parent[callee]]]
    caller = parent[callee]
    end = start + np.maximum(duration, 0)
    before = start[callee] - start[caller]
    after = end[caller] - end[callee]
    before, after = (np.clip(part, -_LONGEST_NS, _LONGEST_NS) for part in (before, after))
    waited = np.maximum(before + np.maximum(after, 0), 0)
    sends = pc.equal(kind, "PRODUCER").to_numpy(zero_copy_only=False)
    fits = before + after  # the caller's duration less the answer's
    return Edges(caller, callee, np.where(~sends[caller] & (fits >= 0), fits, waited), before, after)


def under_way(edges: Edges, start: IntArray, duration: IntArray) -> IntArray:
    """The time in ns until which each span keeps its ancestors waiting; for a message, until it is received.

    A span that waits for the answer to a message does no work of its own while the message is in a queue,
    even long after the publishing span has ended.
    """
    until = start + np.maximum(duration, 0)
    np.maximum.at(until, edges.caller, start[edges.callee])
    return until


def _waits(kind: pa.ChunkedArray, *, entry: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    calls = pc.is_in(kind, value_set=pa.array(_CALLING_KINDS)).to_numpy(zero_copy_only=False)
    serves = pc.is_in(kind, value_set=pa.array(_SERVING_KINDS)).to_numpy(zero_copy_only=False)
    waits: npt.NDArray[np.bool_] = calls | ~(serves | entry)
    return waits


def child_counts(parent: IntArray) -> IntArray:
    """How many children each span has."""
    return np.bincount(parent[parent != NO_PARENT], minlength=len(parent)).astype(np.int64)


def is_remote(parent: IntArray, service: IntArray) -> npt.NDArray[np.bool_]:
    """Whether each span was called from another service."""
    remote: npt.NDArray[np.bool_] = (parent != NO_PARENT) & (service != service[np.maximum(parent, 0)])
    return remote
