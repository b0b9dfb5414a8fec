from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from detectors.trace.analysis import analyse_trace

MS = 1_000_000
HOUR_MS = 3_600_000.0

# (span, parent, service, kind, begin ms, length ms) on one clock: web asks cart, which reads a database.
TRACE = [
    ("page", None, "web", "SERVER", 0, 20),
    ("ask", "page", "web", "CLIENT", 2, 16),
    ("cart", "ask", "cart", "SERVER", 3, 14),
    ("read", "cart", "cart", "CLIENT", 5, 8),
    ("rows", "read", "store", "SERVER", 6, 6),
]
PATH = ["page", "ask", "cart", "read", "rows"]


def spans(rows: list[tuple[str, str | None, str, str, float, float]], **ahead_ms: float) -> pa.Table:
    """These spans, each service's clock so much ahead."""
    return pa.table(
        {
            "trace_id": ["t"] * len(rows),
            "span_id": [row[0] for row in rows],
            "parent_span_id": pa.array([row[1] for row in rows], pa.string()),
            "service_name": [row[2] for row in rows],
            "span_kind": [row[3] for row in rows],
            "start_unix_nano": [int((1e9 + row[4] + ahead_ms.get(row[2], 0)) * MS) for row in rows],
            "duration_ns": [int(row[5] * MS) for row in rows],
        }
    )


def path(table: pa.Table) -> list[str]:
    ids = table["span_id"].to_pylist()
    return [ids[row] for row in analyse_trace(table).critical_path(0)]


@pytest.mark.parametrize(
    "ahead_ms",
    [
        {},
        {"cart": 12.0},
        {"cart": -HOUR_MS},
        {"cart": HOUR_MS, "store": -5.0},
        {"store": 40.0},
        {"web": -9.0},
    ],
)
def test_the_critical_path_does_not_depend_on_clocks(ahead_ms: dict[str, float]) -> None:
    """Whatever each host's clock shows, the same spans kept the request waiting, in the same order."""
    assert path(spans(TRACE, **ahead_ms)) == PATH


def test_what_lies_below_moves_with_its_caller() -> None:
    """The spans of one host keep their distances, and what has one clock with the root stays."""
    found = analyse_trace(spans(TRACE, cart=HOUR_MS, store=HOUR_MS))
    assert ((found.aligned_starts() - found.start[0]) / MS).tolist() == [0, 2, 3, 5, 6]
    assert np.array_equal(analyse_trace(spans(TRACE)).aligned_starts(), spans(TRACE)["start_unix_nano"])


def test_messages_and_calls_that_were_given_up_say_nothing_about_clocks() -> None:
    """A consumer takes its message later, and a server may work longer than its client waits."""
    rows = [
        ("send", None, "web", "PRODUCER", 0, 2),
        ("take", "send", "mail", "CONSUMER", 900, 1),
        ("ask", "take", "mail", "CLIENT", 900.1, 0.5),
        ("slow", "ask", "smtp", "SERVER", 900.2, 70),
    ]
    found = analyse_trace(spans(rows))
    assert found.aligned_starts() is found.start


def test_a_ring_of_spans_ends() -> None:
    """Spans that are each other's parents are walked a bounded number of times."""
    ring = [("a", "b", "x", "CLIENT", 0, 9), ("b", "a", "y", "SERVER", 50, 5)]
    assert len(analyse_trace(spans(ring)).aligned_starts()) == 2
