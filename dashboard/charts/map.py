"""The services as a layered map: callers left of their callees. Pure: rows in, places in pixels out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dashboard import format as fmt
from dashboard.theme import service_colours

NODE_WIDTH_PX = 210
NODE_HEIGHT_PX = 52
COLUMN_PX = 380  # with room for the text of an arrow
ROW_PX = 78
MARGIN_PX = 18
FAILING_SHARE = 0.05
NODES_MAX = 120


def layers(names: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The column of each service: one beyond its deepest caller; a circle does not count its closing edge.

    >>> layers(["a", "b", "c"], [("a", "b"), ("b", "c"), ("a", "c")])
    {'a': 0, 'b': 1, 'c': 2}
    >>> layers(["a", "b"], [("a", "b"), ("b", "a")])
    {'a': 0, 'b': 1}
    """
    callees: dict[str, list[str]] = {name: [] for name in names}
    called: set[str] = set()
    for caller, callee in edges:
        if caller in callees and callee in callees and caller != callee:
            callees[caller].append(callee)
            called.add(callee)
    column: dict[str, int] = {}
    roots = [name for name in names if name not in called] or list(names[:1])
    open_edges = _forward_edges(roots + [name for name in names if name not in roots], callees)
    incoming: dict[str, list[str]] = {}
    for caller, callee in open_edges:
        incoming.setdefault(callee, []).append(caller)
    remaining = list(names)
    while remaining:
        ready = [name for name in remaining if all(before in column for before in incoming.get(name, ()))]
        for name in ready:
            column[name] = max((column[before] + 1 for before in incoming.get(name, ())), default=0)
        remaining = [name for name in remaining if name not in column]
    return {name: column[name] for name in names}


def _forward_edges(order: Sequence[str], callees: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """The edges without those that close a cycle, found depth first, without recursion."""
    state: dict[str, int] = {}
    kept: list[tuple[str, str]] = []
    for start in order:
        if start in state:
            continue
        state[start] = 1
        stack = [(start, iter(callees[start]))]
        while stack:
            name, rest = stack[-1]
            callee = next(rest, None)
            if callee is None:
                state[name] = 2
                stack.pop()
            elif state.get(callee) != 1:
                kept.append((name, callee))
                if callee not in state:
                    state[callee] = 1
                    stack.append((callee, iter(callees[callee])))
    return kept


def picture(
    topology: Mapping[str, Any],
    red: Mapping[str, Mapping[str, Any]],
    abnormal: set[str],
    troubled: set[str],
    href: Callable[[str], str],
) -> dict[str, Any]:
    """Places in pixels: boxes by column, each column in the middle, and the arrows between them.

    Args:
        red: rows by service with requests, errors and p95.
        abnormal: services that fail, are slow or silent now.
        troubled: services of open incidents.
        href: gives the link of a service's box.
    """
    edges = [(edge["caller"], edge["callee"]) for edge in topology["edges"]]
    known = {service["service_name"] for service in topology["services"]} | set(red)
    names = sorted(known | {name for edge in edges for name in edge})[:NODES_MAX]
    columns = layers(names, edges)
    colours = service_colours(names)
    members: dict[int, list[str]] = {}
    for name in names:
        members.setdefault(columns[name], []).append(name)
    height = 2 * MARGIN_PX + ROW_PX * max([1, *(len(column) for column in members.values())])
    places = {
        name: (
            MARGIN_PX + column * COLUMN_PX,
            (height - ROW_PX * len(inside)) // 2 + ROW_PX * place + (ROW_PX - NODE_HEIGHT_PX) // 2,
        )
        for column, inside in members.items()
        for place, name in enumerate(inside)
    }
    nodes = [
        {
            "name": fmt.plain(name, 60),
            "x": places[name][0],
            "y": places[name][1],
            "tone": "bad" if name in abnormal else "warn" if name in troubled else "",
            "colour": colours[name],
            "figures": _figures(red.get(name, {})),
            "href": href(name),
        }
        for name in names
    ]
    most = max([1, *(edge["count"] for edge in topology["edges"])])
    lines = [
        _arrow(edge, places, most)
        for edge in topology["edges"]
        if edge["caller"] in places and edge["callee"] in places
    ]
    return {
        "nodes": nodes,
        "edges": lines,
        "width": 2 * MARGIN_PX + COLUMN_PX * max([1, *(column + 1 for column in members)]),
        "height": height,
        "node_width": NODE_WIDTH_PX,
        "node_height": NODE_HEIGHT_PX,
    }


def calls_per_s(edge: Mapping[str, Any]) -> float:
    """Calls a second since the edge was first seen in the time range.

    >>> calls_per_s({"count": 90, "observed_s": 60.0})
    1.5
    """
    return float(edge["count"] / edge["observed_s"])


def _arrow(edge: Mapping[str, Any], places: Mapping[str, tuple[int, int]], most: int) -> dict[str, Any]:
    (x1, y1), (x2, y2) = places[edge["caller"]], places[edge["callee"]]
    share = edge["errors"] / edge["count"] if edge["count"] else 0.0
    failing = f", {fmt.percent(share)} fail" if edge["errors"] else ""
    middle = NODE_HEIGHT_PX // 2
    return {
        "line": [x1 + NODE_WIDTH_PX, y1 + middle, x2 - 3, y2 + middle],
        "width": round(1.2 + 3 * edge["count"] / most, 1),
        "bad": share > FAILING_SHARE,
        "label": f"{fmt.rate(calls_per_s(edge))}{failing}, p95 {fmt.duration(edge['p95_ns'])}",
    }


def _figures(row: Mapping[str, Any]) -> str:
    count = row.get("request_count") or 0
    if not count:
        return "no request in the last minute"
    errors = fmt.percent(row["error_count"] / count)
    return f"{fmt.rate(count / 60)} · {errors} err · p95 {fmt.duration(row['p95_ns'])}"
