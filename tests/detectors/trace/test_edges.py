from __future__ import annotations

import numpy as np
import pyarrow as pa

from detectors.trace.edges import find_edges


def edges(parent, service, start, duration, kinds=None):
    columns = [np.array(column, dtype=np.int64) for column in (parent, service, start, duration)]
    kind = pa.chunked_array([kinds or ["CLIENT", *["SERVER"] * (len(parent) - 1)]])
    found = find_edges(columns[0], columns[1], kind, columns[2], columns[3])
    return [tuple(int(v) for v in row) for row in zip(found.caller, found.callee, found.time_ns, strict=True)]


def test_call_and_its_answer():
    """Client 0–100 and server 30–80: 50 lie between the services."""
    assert edges([-1, 0], [0, 1], [0, 30], [100, 50]) == [(0, 1, 50)]


def test_message_that_is_handled_after_publishing():
    """Publishing ended at 5, handling began at 40: the message was under way for 40."""
    assert edges([-1, 0], [0, 1], [0, 40], [5, 500]) == [(0, 1, 40)]


def test_skewed_clock_takes_no_time():
    """A server whose clock is behind, seen before its client began, has no negative time."""
    assert edges([-1, 0], [0, 1], [100, 0], [50, 50]) == [(0, 1, 0)]


def test_only_child_of_another_service_is_an_answer():
    """Children of the same service, and spans with several children, are no edges."""
    assert edges([-1, 0], [0, 0], [0, 1], [9, 8]) == []
    assert edges([-1, 0, 0], [0, 1, 1], [0, 1, 5], [9, 3, 3]) == []


def test_time_of_the_span_that_entered_a_service_is_its_own():
    """A server span that calls without a client span between works as well as waits."""
    assert edges([-1, 0], [0, 1], [0, 30], [100, 50], ["SERVER", "SERVER"]) == []
    assert edges([-1, 0], [0, 1], [0, 30], [100, 50], ["UNSPECIFIED"] * 2) == []


def test_without_kinds_a_span_called_by_its_own_service_waits():
    """Below another span of its service, an unnamed kind with one remote child is a client span."""
    assert edges([-1, 0, 1], [0, 0, 1], [0, 1, 30], [100, 99, 50], ["UNSPECIFIED"] * 3) == [(1, 2, 49)]
