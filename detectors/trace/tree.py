"""The tree of one trace. Handles orphans, duplicates and cycles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detectors.stats.arrays import IntArray
from detectors.trace.self_time import NO_PARENT, PARENT_COLUMNS, parent_index


@dataclass(frozen=True, slots=True)
class Tree:
    """Indices into the spans it was built from.

    `order` is depth-first, siblings by start; it leaves out duplicates of a span id and kind. `orphan` marks
    spans that name a parent which is not there, and the one span at which a cycle was cut.
    """

    parent: IntArray
    children: list[list[int]]
    order: list[int]
    depth: list[int]
    orphan: list[bool]
    roots: list[int]


def build_tree(spans: pa.Table) -> Tree:
    """From columns `trace_id, span_id, parent_span_id, span_kind, start_unix_nano` of one trace."""
    parent_array = parent_index(*(spans[name] for name in PARENT_COLUMNS))
    start = spans["start_unix_nano"].to_numpy()
    names_parent = spans["parent_span_id"].is_valid().to_numpy(zero_copy_only=False)
    is_first = _first_of_each(pc.binary_join_element_wise(spans["span_id"], spans["span_kind"], ":"))
    parent_array[~is_first] = NO_PARENT
    count = len(parent_array)
    # Lists from here on: a scan of an array by Python takes three times as long.
    by_start, parent = np.lexsort((np.arange(count), start)).tolist(), parent_array.tolist()
    children: list[list[int]] = [[] for _ in range(count)]
    for span in by_start:
        if parent[span] != NO_PARENT:
            children[parent[span]].append(span)
    order: list[int] = []
    depth = [0] * count
    seen = [False] * count
    roots: list[int] = []
    first = is_first.tolist()
    candidates = [span for span in by_start if first[span] and parent[span] == NO_PARENT]
    # Spans that no root reaches hang on a cycle: cut it at its earliest span.
    for root in [*candidates, *(span for span in by_start if first[span])]:
        if seen[root]:
            continue
        if parent[root] != NO_PARENT:
            children[parent[root]].remove(root)
            parent[root] = NO_PARENT
            parent_array[root] = NO_PARENT
        roots.append(root)
        _walk(root, children, order, depth, seen)
    orphan = (names_parent & (parent_array == NO_PARENT)).tolist()
    return Tree(parent_array, children, order, depth, orphan, roots)


def _walk(root: int, children: list[list[int]], order: list[int], depth: list[int], seen: list[bool]) -> None:
    seen[root] = True
    stack = [root]
    while stack:
        span = stack.pop()
        order.append(span)
        for child in reversed(children[span]):
            if not seen[child]:
                seen[child] = True
                depth[child] = depth[span] + 1
                stack.append(child)


def _first_of_each(ids: pa.ChunkedArray) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    values = ids.combine_chunks().dictionary_encode()
    codes = (values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values).indices.to_numpy()
    mask = np.zeros(len(codes), dtype=np.bool_)
    mask[np.unique(codes, return_index=True)[1]] = True
    return mask
