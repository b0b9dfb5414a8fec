"""A trace as a depth-first list without attributes: each row has its path from the root.

At least three siblings of one operation that call nothing and succeed become one row: their count, and the
longest as exemplar. Otherwise loops of a thousand statements would hide everything else.
"""

from __future__ import annotations

import pyarrow as pa

from detectors.trace.analysis import analyse_trace
from detectors.trace.tree import build_tree

GROUPED_FROM = 3
MAX_PATH_CHARS = 160


def outline(spans: pa.Table) -> list[list[object]]:
    """Rows of path, span id, kind, duration and self time in ms, whether it failed, number of spans in the
    row.

    Args:
        spans: of one trace, the columns of `queries/trace_spans.sql`.
    """
    tree = build_tree(spans)
    found = analyse_trace(spans, tree.parent)
    names = [
        f"{service}:{operation}"
        for service, operation in zip(
            spans["service_name"].to_pylist(), spans["span_name"].to_pylist(), strict=True
        )
    ]
    ids, kinds, status = (spans[name].to_pylist() for name in ("span_id", "span_kind", "status_code"))
    hidden, counts = _grouped(tree.children, names, status, found.duration.tolist())
    paths: dict[int, str] = {}
    rows: list[list[object]] = []
    for index in tree.order:
        parent = int(tree.parent[index])
        above = paths.get(parent, "")
        paths[index] = _cut(f"{above}/{names[index]}" if above else names[index])
        if index not in hidden:
            rows.append(
                [paths[index], ids[index], kinds[index], round(float(found.duration[index]) / 1e6, 3),
                 round(float(found.self_time_ns[index]) / 1e6, 3), status[index] == "ERROR",
                 counts.get(index, 1)]
            )  # fmt: skip
    return rows


def _grouped(
    children: list[list[int]], names: list[str], status: list[str], duration: list[int]
) -> tuple[set[int], dict[int, int]]:
    """The spans that another span represents, and how many each representative stands for."""
    hidden: set[int] = set()
    counts: dict[int, int] = {}
    for parent in range(len(names)):
        alike: dict[str, list[int]] = {}
        for child in children[parent]:
            if not children[child] and status[child] != "ERROR":
                alike.setdefault(names[child], []).append(child)
        for group in alike.values():
            if len(group) >= GROUPED_FROM:
                longest = max(group, key=lambda index: duration[index])
                counts[longest] = len(group)
                hidden.update(index for index in group if index != longest)
    return hidden, counts


def _cut(path: str) -> str:
    """Cut a deep path in front: its end names the caller of the span."""
    return path if len(path) <= MAX_PATH_CHARS else f"…{path[-MAX_PATH_CHARS:]}"
