from __future__ import annotations

import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.trace.critical_path import critical_path
from detectors.trace.self_time import PARENT_COLUMNS, parent_index, self_time_ns
from detectors.trace.tree import Tree, build_tree
from tests.pace import check_cpu

Row = tuple[str, str | None, int, int]  # span, parent, start, duration


def table(rows: list[Row], kinds: list[str] | None = None) -> pa.Table:
    return pa.table(
        {
            "trace_id": pa.array(["t"] * len(rows), pa.string()),
            "span_id": pa.array([row[0] for row in rows], pa.string()),
            "parent_span_id": pa.array([row[1] for row in rows], pa.string()),
            "span_kind": pa.array(kinds or ["INTERNAL"] * len(rows), pa.string()),
            "start_unix_nano": pa.array([row[2] for row in rows], pa.int64()),
            "duration_ns": pa.array([row[3] for row in rows], pa.int64()),
        }
    )


def self_times(rows: list[Row]) -> dict[str, int]:
    spans = table(rows)
    parent = parent_index(*(spans[name] for name in PARENT_COLUMNS))
    own = self_time_ns(parent, spans["start_unix_nano"].to_numpy(), spans["duration_ns"].to_numpy())
    return dict(zip([row[0] for row in rows], own.tolist(), strict=True))


def path(rows: list[Row]) -> list[str]:
    spans = table(rows)
    tree = build_tree(spans)
    start, duration = spans["start_unix_nano"].to_numpy(), spans["duration_ns"].to_numpy()
    return [rows[i][0] for i in critical_path(tree.parent, start, duration, tree.roots[0])]


def test_overlapping_children_are_counted_once():
    """Children at 10–40 and 30–60 cover 50 of their parent's 100."""
    assert self_times([("a", None, 0, 100), ("b", "a", 10, 30), ("c", "a", 30, 30)]) == {
        "a": 50,
        "b": 30,
        "c": 30,
    }


def test_child_outside_its_parent_is_clamped():
    """A child that starts early and ends late, by clock skew, covers no more than its parent."""
    assert self_times([("a", None, 100, 100), ("b", "a", 50, 500)])["a"] == 0


def test_consumer_covers_the_request_that_waits_for_it():
    """The handling of a message, a child of the finished publish, is not the waiting request's self time."""
    rows: list[Row] = [("api", None, 0, 100), ("publish", "api", 10, 5), ("match", "publish", 20, 60)]
    assert self_times(rows) == {"api": 35, "publish": 5, "match": 60}
    assert path(rows) == ["api", "publish", "match"]


def test_parallel_branch_is_not_on_the_critical_path():
    """Of two parallel calls only the one that ended last, and what came before it, is on the path."""
    rows: list[Row] = [
        ("root", None, 0, 100),
        ("first", "root", 0, 20),
        ("slow", "root", 25, 70),
        ("fast", "root", 25, 30),
    ]
    assert path(rows) == ["root", "first", "slow"]


def test_orphans_duplicates_and_cycles_do_no_harm():
    """Spans whose parent is missing are roots, a repeated id counts once, a cycle is cut."""
    rows: list[Row] = [
        ("root", None, 0, 100),
        ("root", None, 0, 100),
        ("lost", "gone", 10, 5),
        ("x", "y", 20, 5),
        ("y", "x", 21, 5),
        ("self", "self", 30, 1),
    ]
    tree = build_tree(table(rows))
    assert [rows[i][0] for i in tree.order] == ["root", "lost", "self", "x", "y"]
    assert tree.orphan == [False, False, True, True, False, True]
    assert self_times(rows)["root"] == 100


def test_zero_and_negative_durations_do_no_harm():
    """A clock that stepped back makes no negative time."""
    assert self_times([("a", None, 0, -5), ("b", "a", 0, 0), ("c", "b", 3, 10)]) == {"a": 0, "b": 0, "c": 10}


spans_strategy = st.lists(
    st.tuples(st.integers(0, 11), st.integers(0, 11), st.integers(0, 50), st.integers(-3, 60)), max_size=14
)


@settings(deadline=None)
@given(spans_strategy)
def test_any_trace_has_a_sound_tree(drawn):
    """Whatever the parents: each span once in order, parents before children, times within bounds."""
    rows: list[Row] = [(f"s{own}", f"s{above}", start, length) for own, above, start, length in drawn]
    if not rows:
        return
    spans = table(rows)
    tree: Tree = build_tree(spans)
    assert sorted({rows[i][0] for i in tree.order}) == sorted({row[0] for row in rows})
    assert len(tree.order) == len({row[0] for row in rows})
    position = {span: place for place, span in enumerate(tree.order)}
    assert all(tree.parent[i] == -1 or position[int(tree.parent[i])] < position[i] for i in tree.order)
    start, duration = spans["start_unix_nano"].to_numpy(), spans["duration_ns"].to_numpy()
    own = self_time_ns(tree.parent, start, duration)
    assert np.all(own >= 0)
    assert np.all(own <= np.maximum(duration, 0))
    for root in tree.roots:
        on_path = critical_path(tree.parent, start, duration, root)
        assert len(on_path) == len(set(on_path))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 80), st.integers(1, 40)), min_size=1, max_size=9))
def test_nested_exclusive_times_add_up(drawn):
    """When every child lies in its parent and siblings do not overlap, own times sum to the root's time."""
    rows: list[Row] = [("s0", None, 0, 1000)]
    cursor = {"s0": 0}
    limits = {"s0": 1000}
    for number, (above, gap, length) in enumerate(drawn, start=1):
        parent = f"s{above % number}"
        start = cursor[parent] + gap
        end = min(start + length, limits[parent])
        if end <= start:
            start = end = limits[parent]
        name = f"s{number}"
        rows.append((name, parent, start, end - start))
        cursor[parent] = end
        cursor[name], limits[name] = start, end
    assert sum(self_times(rows).values()) == 1000


def test_hundred_thousand_spans_in_one_chain():
    """A trace of 100,000 nested spans needs no recursion and no patience."""
    count = 100_000
    rows: list[Row] = [(f"s{i}", f"s{i - 1}" if i else None, i, 2 * count - 2 * i) for i in range(count)]
    spans = table(rows)
    start, duration = spans["start_unix_nano"].to_numpy(), spans["duration_ns"].to_numpy()
    tree = build_tree(spans)
    assert tree.depth[-1] == count - 1
    assert len(critical_path(tree.parent, start, duration, 0)) == count
    assert self_time_ns(tree.parent, start, duration)[:-1].tolist() == [2] * (count - 1)


def test_five_thousand_spans_within_twenty_milliseconds():
    """Critical path and self time of a wide trace stay within their budget (best of five)."""
    rng = np.random.default_rng(1)
    count = 5_000
    above = [None, *(f"s{rng.integers(0, i)}" for i in range(1, count))]
    rows: list[Row] = [(f"s{i}", above[i], i * 10, (count - i) * 10) for i in range(count)]
    spans = table(rows)
    start, duration = spans["start_unix_nano"].to_numpy(), spans["duration_ns"].to_numpy()
    parent = build_tree(spans).parent
    took = []
    for _ in range(5):
        began = time.process_time()
        critical_path(parent, start, duration, 0)
        self_time_ns(parent, start, duration)
        took.append(time.process_time() - began)
    check_cpu(min(took), 0.02)


def test_hours_long_spans_by_the_thousand_do_not_overflow():
    """The shifted keys of self time stay in 64 bits however long the spans are."""
    day = 86_400 * 10**9 * 100
    count = 20_000
    parent = np.array([-1, *range(count - 1)], dtype=np.int64)
    own = self_time_ns(parent, np.arange(count, dtype=np.int64), np.full(count, 3 * day, dtype=np.int64))
    assert own.min() >= 0
    assert own[-1] == 3 * day


@pytest.mark.parametrize("missing", [0, 1])
def test_parent_in_another_trace_is_no_parent(missing):
    """Span ids are only unique within a trace."""
    spans = table([("a", None, 0, 10), ("b", "a", 0, 5)])
    ids = ["t", "u"] if missing else ["t", "t"]
    found = parent_index(pa.chunked_array([ids]), *(spans[name] for name in PARENT_COLUMNS[1:]))
    assert found.tolist() == [-1, -1 if missing else 0]


@pytest.mark.parametrize("turned", [False, True])
def test_halves_of_one_call(turned):
    """CLIENT and SERVER that share an id are two levels of the tree, and what the server did is below it."""
    rows: list[Row] = [
        ("root", None, 0, 100),
        ("call", "root", 10, 80),
        ("call", "root", 20, 60),
        ("query", "call", 30, 20),
    ]
    kinds = ["INTERNAL", "CLIENT", "SERVER", "CLIENT"]
    if turned:
        rows[1], rows[2], kinds[1], kinds[2] = rows[2], rows[1], kinds[2], kinds[1]
    spans = table(rows, kinds)
    tree = build_tree(spans)
    seen = [(rows[i][0], kinds[i], tree.depth[i]) for i in tree.order]
    assert seen == [
        ("root", "INTERNAL", 0),
        ("call", "CLIENT", 1),
        ("call", "SERVER", 2),
        ("query", "CLIENT", 3),
    ]
    own = self_time_ns(tree.parent, spans["start_unix_nano"].to_numpy(), spans["duration_ns"].to_numpy())
    assert sorted(own.tolist()) == [20, 20, 20, 40]
    assert tree.orphan == [False] * 4
