"""Starts of spans as if all hosts had one clock.

A call is answered while its caller waits. Where an answering span is no longer than the span that waits for
it, and yet begins before it or ends after it, the clocks of their hosts differ: the answer and all below it
are moved by what puts it in the middle of the wait. A message is taken whenever its consumer wants, so it
says nothing about clocks; nor does an answer that is longer than the wait, which its caller gave up, nor one
of several calls that were made without a span of their own.

Source: the clock skew adjustment of Jaeger's query service (half of the time under way on either side).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detectors.stats.arrays import BoolArray, IntArray
from detectors.trace.edges import Edges
from detectors.trace.self_time import NO_PARENT

_DOUBLINGS = 16  # 65,536 levels; it also ends walks around a cycle


def is_message(kind: pa.ChunkedArray) -> BoolArray:
    """Marks the spans that publish."""
    sends: BoolArray = np.asarray(pc.equal(kind, "PRODUCER").to_numpy(zero_copy_only=False))
    return sends


def aligned_starts(
    parent: IntArray, edges: Edges, start: IntArray, duration: IntArray, message: BoolArray
) -> IntArray:
    """When each span began, ns, on the clock of its trace's root; `start` itself where no clock differs.

    Args:
        parent: as from `parent_index`.
        edges: among these spans.
        start, duration: ns.
        message: whether a span publishes a message.
    """
    call = ~message[edges.caller]
    caller, callee = edges.caller[call], edges.callee[call]
    spare = np.maximum(duration[caller], 0) - np.maximum(duration[callee], 0)
    ahead = start[callee] - start[caller]
    apart = (spare >= 0) & ((ahead < 0) | (ahead > spare))
    if not apart.any():
        return start
    moved = np.zeros(len(start), dtype=np.int64)
    moved[callee[apart]] = (spare // 2 - ahead)[apart]
    above = parent.copy()
    for _ in range(_DOUBLINGS):
        below = np.flatnonzero(above != NO_PARENT)
        if not len(below):
            break
        ancestor = above[below]
        moved[below] += moved[ancestor]
        above[below] = above[ancestor]
    aligned: IntArray = start + moved
    return aligned
