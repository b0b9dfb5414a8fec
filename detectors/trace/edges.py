"""Time between two services: from the span that calls to the span that answers.

An edge is a span that only waits: one whose only child runs in another service, being the client span of a
call or the publishing span of a message. Where the kind does not say so, it is one that its own service
called; the span with which a service was entered works as well as waits, so its time is its own.

The time of an edge is the time before the child begins, and the time after it ended that the caller still
took: for a call this is client less server time, for a message it is how long the message was under way,
however early the publishing span ended. Both ends are read on their own clocks, so a skewed clock moves time
from one end of a call to the other but hardly changes the sum; what is negative counts 0.
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
_LONGEST_NS = 2**62 - 1  # two of them have a sum: a span may end in 2262


class Edges(NamedTuple):
    """Aligned: row of the calling span, row of the answering span, and the time between them in ns.

    before_ns, after_ns: its two ends, from each other's clocks, so negative where the clocks differ or the
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
    return Edges(caller, callee, np.maximum(before + np.maximum(after, 0), 0), before, after)


def under_way(edges: Edges, start: IntArray, duration: IntArray) -> IntArray:
    """Until when each span keeps its ancestors waiting, in ns: a message until somebody takes it.

    Who waits for the answer to a message does nothing of its own while it lies in a queue, long after the
    publishing span has ended.
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
