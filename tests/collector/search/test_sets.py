"""Structure of large and odd traces, on sets of spans alone."""

from __future__ import annotations

import numpy as np
import pytest

from collector.search.parser import parse
from collector.search.sets import Spans, find
from collector.search.syntax import Filter, Operation


def found(op: str, parent: list[int], left: list[int], right: list[int]) -> list[int]:
    """Rows that `{ left } op { right }` finds in one trace."""
    query = parse(f"{{ name = `l` }} {op} {{ name = `r` }}")
    (stage,) = query.pipeline.stages
    assert isinstance(stage, Operation)
    size = len(parent)
    conditions = {}
    for side, rows in ((stage.left, left), (stage.right, right)):
        assert isinstance(side, Filter)
        conditions[side] = np.isin(np.arange(size), rows)
    spans = Spans(np.zeros(size, dtype=np.int64), np.array(parent, dtype=np.int64), conditions, {}, {})
    return [int(row) for row in np.flatnonzero(find(query.pipeline, spans).members)]


def test_deep_trace() -> None:
    """A chain of 50,000 spans is followed to its end, both ways."""
    size = 50_000
    chain = [*range(-1, size - 1)]
    assert found(">>", chain, [0], [size - 1]) == [size - 1]
    assert found("<<", chain, [size - 1], [0]) == [0]
    assert found(">>", chain, [size - 1], [0]) == []
    assert found("!>>", chain, [10], [5, 15]) == [5]


@pytest.mark.parametrize(("op", "expected"), [(">>", [0, 1, 2]), ("<<", [0, 1, 2]), (">", [1]), ("<", [2])])
def test_circle(op: str, expected: list[int]) -> None:
    """Spans that are their own ancestors come to an end."""
    assert found(op, [2, 0, 1], [0], [0, 1, 2]) == expected


def test_siblings() -> None:
    """A span is no sibling of itself, and roots have none."""
    assert found("~", [-1, 0, 0, -1], [1], [0, 1, 2, 3]) == [2]
    assert found("~", [-1, 0, 0, -1], [1, 2], [1, 2]) == [1, 2]
    assert found("&~", [-1, 0, 0, -1], [1], [2]) == [1, 2]
