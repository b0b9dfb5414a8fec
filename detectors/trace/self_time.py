"""Self time of many spans of many traces at once.

A span's self time is its duration less the union of the intervals of all its descendants, clamped to the
span. All descendants count, not only children: the consumer of a message is a child of the publishing span,
which ended long ago, while the request that waits for the reply is an ancestor further up. So each span
covers its parent as far as both overlap, and the rest of the span covers the next ancestor. Clamping also
makes clock skew harmless. Cost is O(n log n).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detectors.stats.arrays import IntArray

NO_PARENT = -1
PARENT_COLUMNS = ("trace_id", "span_id", "parent_span_id", "span_kind")  # the columns of `parent_index`
# The most ancestors that one span may outlive; a message handler outlives two or three. The bound keeps the
# cost linear for a hostile chain in which each span outlives all above it. It also ends walks around a cycle.
LEVELS_MAX = 32
_KEY_LIMIT = 2**62


def parent_index(
    trace_ids: pa.ChunkedArray,
    span_ids: pa.ChunkedArray,
    parent_ids: pa.ChunkedArray,
    span_kinds: pa.ChunkedArray,
) -> IntArray:
    """Row number of each span's parent in the same table, -1 for roots and orphans.

    For a duplicated span id the first row counts; a span that names itself is a root. Where a CLIENT and a
    SERVER share an id, as in Zipkin's B3 propagation, the SERVER is the CLIENT's child, and children of the
    id are the SERVER's.
    """
    own = pc.binary_join_element_wise(trace_ids, span_ids, ":")
    wanted = pc.binary_join_element_wise(trace_ids, parent_ids, ":")  # NULL for a root
    found = pc.fill_null(pc.index_in(wanted, value_set=own), NO_PARENT)
    index = np.asarray(found.to_numpy(), dtype=np.int64)
    clients = np.flatnonzero(pc.equal(span_kinds, "CLIENT").to_numpy(zero_copy_only=False))
    servers = np.flatnonzero(pc.equal(span_kinds, "SERVER").to_numpy(zero_copy_only=False))
    halves = pc.index_in(own.take(pa.array(servers)), value_set=own.take(pa.array(clients)))
    if halves.null_count < len(servers):
        shared = np.flatnonzero(halves.is_valid().to_numpy(zero_copy_only=False))
        server, client = servers[shared], clients[np.asarray(halves.drop_null().to_numpy(), dtype=np.int64)]
        stands_for = np.arange(len(index))
        stands_for[client] = server
        index = np.where(index == NO_PARENT, NO_PARENT, stands_for[index])
        index[server] = client
    index[index == np.arange(len(index))] = NO_PARENT
    return index


def self_time_ns(
    parent: IntArray, start: IntArray, duration: IntArray, busy_until: IntArray | None = None
) -> IntArray:
    """Self time of each span in ns; `parent` as from `parent_index`, times in ns.

    Args:
        busy_until: when the work that each span began ends, if that is later than its own end
            (`edges.under_way`).
    """
    length = np.maximum(duration, 0)
    end = start + length
    owner, lower, upper = _coverage(parent, start, end if busy_until is None else np.maximum(end, busy_until))
    covered = np.zeros(len(start), dtype=np.int64)
    if len(owner):
        _add_union_lengths(covered, owner, lower - start[owner], upper - start[owner])
    return length - np.minimum(covered, length)


def _coverage(parent: IntArray, start: IntArray, end: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """(ancestor, from, to) of every overlap of a span with an ancestor from which it is subtracted."""
    child = np.flatnonzero(parent != NO_PARENT)
    ancestor = parent[child]
    owners, lowers, uppers = [], [], []
    for _ in range(LEVELS_MAX):
        if not len(child):
            break
        lower = np.maximum(start[child], start[ancestor])
        upper = np.minimum(end[child], end[ancestor])
        overlapping = upper > lower
        owners.append(ancestor[overlapping])
        lowers.append(lower[overlapping])
        uppers.append(upper[overlapping])
        onward = (end[child] > end[ancestor]) & (parent[ancestor] != NO_PARENT) & (parent[ancestor] != child)
        child, ancestor = child[onward], parent[ancestor[onward]]
    if not owners:
        nothing = np.empty(0, dtype=np.int64)
        return nothing, nothing, nothing
    return np.concatenate(owners), np.concatenate(lowers), np.concatenate(uppers)


def _add_union_lengths(covered: IntArray, owner: IntArray, lower: IntArray, upper: IntArray) -> None:
    """Add to `covered[owner]` the length of the union of that owner's intervals, from 0 on."""
    order = np.lexsort((lower, owner))
    owner, lower, upper = owner[order], lower[order], upper[order]
    group: IntArray = np.cumsum(np.r_[0, owner[1:] != owner[:-1]]).astype(np.int64)
    ends, stride = upper, int(upper.max()) + 1
    ranked = (int(group[-1]) + 1) * stride > _KEY_LIMIT
    if ranked:  # millions of hours-long spans, or one of centuries: only their order is needed
        known, ends = np.unique(upper, return_inverse=True)
        stride = len(known)
    # Shifting each owner by its own stride lets one running maximum serve all owners.
    base = group * stride
    reached = np.maximum.accumulate(ends + base) - base
    if ranked:
        reached = known[reached]
    before = np.r_[0, reached[:-1]]
    before[np.r_[True, owner[1:] != owner[:-1]]] = 0
    np.add.at(covered, owner, np.maximum(reached - np.maximum(lower, before), 0))
