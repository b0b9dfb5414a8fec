"""Two traces side by side, with their call trees merged. Pure.

A call is identified by its path: service, span name and kind of itself and of all its ancestors. Calls of one
parent with the same name are one row with a count, so a loop of 20 statements is compared with a loop of 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Key = tuple[str, str, str]


@dataclass(slots=True)
class Side:
    """Calls of one row in one trace. `self_ns` is their time without their children's."""

    count: int = 0
    total_ns: int = 0
    self_ns: int = 0
    errors: int = 0
    first_span_id: str = ""


@dataclass(slots=True)
class Row:
    """One call of the merged tree, parents before children."""

    key: Key
    depth: int
    left: Side = field(default_factory=Side)
    right: Side = field(default_factory=Side)

    @property
    def self_difference_ns(self) -> int:
        """How much longer the self time of these calls is in the left trace."""
        return self.left.self_ns - self.right.self_ns

    @property
    def only(self) -> str:
        """`left` or `right` where the other trace has no such call, else empty."""
        return "" if self.left.count and self.right.count else "left" if self.left.count else "right"


@dataclass(slots=True)
class _Node:
    row: Row
    children: dict[Key, _Node] = field(default_factory=dict)


def compare(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[Row]:
    """Rows of the merged tree, depth first; both traces in the API's shape, their spans depth first."""
    top = _Node(Row(("", "", ""), -1))
    _lay(top, left["spans"], "left")
    _lay(top, right["spans"], "right")
    rows: list[Row] = []
    waiting = list(reversed(top.children.values()))
    while waiting:
        node = waiting.pop()
        rows.append(node.row)
        waiting.extend(reversed(node.children.values()))
    return rows


def _lay(top: _Node, spans: Sequence[Mapping[str, Any]], name: str) -> None:
    path: list[_Node] = []
    for span in spans:
        del path[span["depth"] :]
        above = path[-1] if path else top
        key = (span["service_name"], span["span_name"], span.get("span_kind") or "")
        node = above.children.get(key)
        if node is None:
            node = above.children[key] = _Node(Row(key, above.row.depth + 1))
        side: Side = getattr(node.row, name)
        side.count += 1
        side.total_ns += span["duration_ns"]
        side.self_ns += _self_ns(span)
        side.errors += span.get("status_code") == "ERROR"
        side.first_span_id = side.first_span_id or span["span_id"]
        path.append(node)


def _self_ns(span: Mapping[str, Any]) -> int:
    own = span.get("self_time_ns")
    return int(span["duration_ns"] if own is None else own)


def telling(rows: Sequence[Row], most: int) -> list[Row]:
    """The rows in which both traces differ, at most `most`, in the order of the tree: calls of one side only,
    with another count or other errors, and the largest differences of self time."""
    differs = [
        row
        for row in rows
        if row.only
        or row.left.count != row.right.count
        or row.left.errors != row.right.errors
        or row.self_difference_ns
    ]
    differs.sort(key=lambda row: (row.left.errors == row.right.errors, -abs(row.self_difference_ns)))
    kept = {id(row) for row in differs[:most]}
    return [row for row in rows if id(row) in kept]
