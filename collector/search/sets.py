"""Sets of spans: `&&`, `||`, structure, groups and figures, over all spans of some traces at once.

A span is a row number, a set is an array of truth values, and a group is a number for each span; without
`by`, the groups are the traces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from collector.errors import InvalidInput
from collector.search.syntax import (
    Aggregate,
    Coalesce,
    Expression,
    Filter,
    GroupBy,
    Operation,
    Pipeline,
    ScalarFilter,
    Select,
    Spanset,
    Stage,
)

Truth = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
# Pointer jumping doubles the levels that it has looked at each time: enough for a million levels, and an
# end for parents in a circle.
_JUMPS_MAX = 20


class Spans(NamedTuple):
    """What the sets are made of, for n spans."""

    trace: Ints  # number of the trace, from 0
    parent: Ints  # row of the parent, -1 without one
    conditions: Mapping[Filter, Truth]
    figures: Mapping[Expression, Floats]  # operands of aggregates; NaN where a span has none
    keys: Mapping[GroupBy, Ints]  # number of the group's key


class Found(NamedTuple):
    members: Truth
    group: Ints


def find(pipeline: Pipeline, spans: Spans) -> Found:
    """The spans that a search finds, and their groups."""
    found = Found(np.ones(len(spans.trace), dtype=np.bool_), spans.trace)
    for stage in pipeline.stages:
        found = _stage(stage, found, spans)
    return found


def _stage(stage: Stage, found: Found, spans: Spans) -> Found:
    match stage:
        case Filter() | Operation() | Pipeline():
            return found._replace(members=_spanset(stage, found, spans))
        case ScalarFilter():
            return found._replace(members=found.members & _kept(stage, found, spans))
        case GroupBy():
            pairs = np.stack([found.group, spans.keys[stage]])
            return found._replace(group=np.unique(pairs, axis=1, return_inverse=True)[1].reshape(-1))
        case Coalesce():
            return found._replace(group=spans.trace)
        case Select():
            return found


def _spanset(spanset: Spanset, found: Found, spans: Spans) -> Truth:
    match spanset:
        case Filter():
            return found.members & spans.conditions[spanset]
        case Pipeline():
            inner = found
            for stage in spanset.stages:
                inner = _stage(stage, inner, spans)
            return inner.members
        case Operation():
            left, right = (_spanset(side, found, spans) for side in (spanset.left, spanset.right))
            return _operation(spanset.op, left, right, found.group, spans)


def _operation(op: str, left: Truth, right: Truth, group: Ints, spans: Spans) -> Truth:
    match op:
        case "||":
            return left | right
        case "&&":
            both = _in_groups(left, group) & _in_groups(right, group)
            return (left | right) & both
    relation = op.lstrip("!&")
    related = _RELATIONS[relation](left, spans)
    if op.startswith("!"):
        return right & ~related
    matched = right & related
    if op.startswith("&"):
        back = _RELATIONS[_OPPOSITES[relation]](right, spans)
        return matched | (left & back)
    return matched


def _in_groups(members: Truth, group: Ints) -> Truth:
    """For each span whether its group has a member."""
    counts = np.bincount(group, weights=members, minlength=int(group.max(initial=-1)) + 1)
    return counts[group] > 0


def _children(members: Truth, spans: Spans) -> Truth:
    return _of_parent(members, spans.parent)


def _parents(members: Truth, spans: Spans) -> Truth:
    marked = np.zeros_like(members)
    above = spans.parent[members]
    marked[above[above >= 0]] = True
    return marked


def _descendants(members: Truth, spans: Spans) -> Truth:
    marked, above = _of_parent(members, spans.parent), spans.parent
    for _ in range(_JUMPS_MAX):
        if (above < 0).all():
            break
        marked = marked | _of_parent(marked, above)
        above = np.where(above >= 0, above[above], -1)
    return marked


def _ancestors(members: Truth, spans: Spans) -> Truth:
    marked, above = _parents(members, spans), spans.parent
    for _ in range(_JUMPS_MAX):
        has_one = above >= 0
        if not has_one.any():
            break
        marked = marked.copy()
        marked[above[has_one & marked]] = True
        above = np.where(has_one, above[above], -1)
    return marked


def _siblings(members: Truth, spans: Spans) -> Truth:
    """Those that share their parent with a member other than themselves."""
    has_parent = spans.parent >= 0
    counts = np.bincount(spans.parent[members & has_parent], minlength=len(members))
    others = np.zeros(len(members), dtype=np.int64)
    others[has_parent] = counts[spans.parent[has_parent]]
    return (others - (members & has_parent)) > 0


def _of_parent(members: Truth, parent: Ints) -> Truth:
    return np.where(parent >= 0, members[parent], False)


_RELATIONS: dict[str, Callable[[Truth, Spans], Truth]] = {
    ">": _children,
    ">>": _descendants,
    "<": _parents,
    "<<": _ancestors,
    "~": _siblings,
}
_OPPOSITES = {">": "<", ">>": "<<", "<": ">", "<<": ">>", "~": "~"}
_COMPARE: dict[str, Callable[[Floats, float], Truth]] = {
    "=": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


def _kept(stage: ScalarFilter, found: Found, spans: Spans) -> Truth:
    """For each span whether the figure of its group passes."""
    figure, is_there = _figures(stage.aggregate, found, spans)
    with np.errstate(invalid="ignore"):
        passes = _COMPARE[stage.op](figure, stage.value) & is_there
    return passes[found.group]


def _figures(aggregate: Aggregate, found: Found, spans: Spans) -> tuple[Floats, Truth]:
    """The figure of each group, over its members that have the value, and whether any has."""
    size = int(found.group.max(initial=-1)) + 1
    if aggregate.operand is None:
        counts = np.bincount(found.group[found.members], minlength=size)
        return counts.astype(np.float64), counts > 0
    values = spans.figures[aggregate.operand]
    has_value = found.members & ~np.isnan(values)
    group, values = found.group[has_value], values[has_value]
    counts = np.bincount(group, minlength=size)
    match aggregate.function:
        case "min" | "max":
            is_min = aggregate.function == "min"
            figures = np.full(size, np.inf if is_min else -np.inf)
            (np.minimum if is_min else np.maximum).at(figures, group, values)
        case _:
            figures = np.bincount(group, weights=values, minlength=size)
            if aggregate.function == "avg":
                figures = figures / np.maximum(counts, 1)
    return figures, counts > 0


def check_groups(pipeline: Pipeline) -> None:
    """Raises InvalidInput for structure within groups, which has no meaning here."""
    is_grouped = False
    for stage in pipeline.stages:
        if is_grouped and isinstance(stage, Operation) and stage.op not in ("&&", "||"):
            raise InvalidInput(f"{stage.op} follows by(…)", hint="structure comes first, then by(…)")
        is_grouped = (is_grouped or isinstance(stage, GroupBy)) and not isinstance(stage, Coalesce)
