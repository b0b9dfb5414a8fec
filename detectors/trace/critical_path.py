"""The spans that determined when a trace was done.

The walk goes back from the end of the root: the last child to finish before the cursor is on the path, the
cursor moves to that child's start, and so on; the same inside each child. Children are clamped to their
parent. A span that lies mostly outside its parent (the consumer of a message) keeps an ancestor waiting, so
it counts as a child of the nearest ancestor that covers at least half of it.
Source: CRISP (Zhang et al., USENIX ATC 2022), made iterative and extended to asynchronous children.
"""

from __future__ import annotations

import numpy as np

from detectors.stats.arrays import IntArray
from detectors.trace.self_time import LEVELS_MAX, NO_PARENT


def waiting_parent(parent: IntArray, start: IntArray, end: IntArray) -> IntArray:
    """For each span the nearest ancestor that covers at least half of it; the parent when none does."""
    chosen = parent.copy()
    climbing = np.flatnonzero(parent != NO_PARENT)
    ancestor = parent[climbing]
    for _ in range(LEVELS_MAX):
        overlap = np.minimum(end[climbing], end[ancestor]) - np.maximum(start[climbing], start[ancestor])
        # Compare half of the span, not twice the overlap: twice a span of centuries overflows int64.
        covers = overlap >= end[climbing] - start[climbing] - np.maximum(overlap, 0)
        chosen[climbing[covers]] = ancestor[covers]
        onward = ~covers & (parent[ancestor] != NO_PARENT) & (parent[ancestor] != climbing)
        climbing, ancestor = climbing[onward], parent[ancestor[onward]]
        if not len(climbing):
            break
    return chosen


def critical_path(parent: IntArray, start: IntArray, duration: IntArray, root: int) -> list[int]:
    """The spans on the path below `root`, in the order in which they start.

    Args:
        parent: acyclic, as in `Tree.parent`.
        start, duration: ns.
    """
    path = np.array(critical_paths(parent, start, duration, [root]), dtype=np.int64)
    ordered: list[int] = path[np.lexsort((-np.maximum(duration[path], 0), start[path]))].tolist()
    return ordered


def critical_paths(parent: IntArray, start: IntArray, duration: IntArray, roots: list[int]) -> list[int]:
    """The spans on the paths below all `roots`, of as many traces, in no order.

    Args:
        parent: as from `parent_index`; spans on a cycle, and below it, are below no root.
        start, duration: ns.
    """
    ends_array = start + np.maximum(duration, 0)
    children: dict[int, list[int]] = {}
    for span, above in enumerate(waiting_parent(parent, start, ends_array).tolist()):
        if above != NO_PARENT:
            children.setdefault(above, []).append(span)
    starts, ends = start.tolist(), ends_array.tolist()
    path: list[int] = []
    stack = [(root, starts[root], ends[root]) for root in roots]
    while stack:
        span, floor, cursor = stack.pop()
        path.append(span)
        if span not in children:
            continue
        clamped = [(min(ends[c], cursor), max(starts[c], floor), c) for c in children[span]]
        clamped.sort(reverse=True)
        for child_end, child_start, child in clamped:
            # Only children that end before the cursor are waited for; the others ran beside the path.
            if child_end <= cursor and child_end > child_start:
                stack.append((child, child_start, child_end))
                cursor = child_start
    return path
