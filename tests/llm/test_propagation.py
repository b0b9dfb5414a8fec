from __future__ import annotations

from typing import Any

from llm.explanation import Explanation, Subject
from tests.llm.support import MS, SLOW_TRACE

OTHER = "d" * 32


def way(explained: Explanation) -> list[tuple[str, str, str]]:
    assert explained.propagation is not None
    return [(e.source.operation, e.kind, e.target.operation) for e in explained.propagation.edges]


def test_from_cause_to_symptom(slow_shop: Any, explainer: Any, store: Any) -> None:
    """The chain climbs from the slow statement to what was observed, each edge a stored parent and child."""
    explained = explainer.analyse(Subject(kind="incident", id="in-slow"))
    assert way(explained) == [("SELECT carts", "waits_for", "POST /checkout")]
    assert explained.propagation.reaches_symptom
    assert explained.propagation.trace_id == SLOW_TRACE
    for edge in explained.propagation.edges:
        rows = store.read(
            "SELECT 1 FROM spans WHERE trace_id = ? AND span_id = ? AND parent_span_id = ?",
            [SLOW_TRACE, edge.source.span_id, edge.target.span_id],
        )
        assert rows.num_rows == 1
    again = explainer.analyse(Subject(kind="incident", id="in-slow"))
    assert again == explained  # it is stored


def test_it_turns_where_both_branches_meet(shop: Any, explainer: Any) -> None:
    """A symptom on another branch is reached through the span that waits for the one and calls the other."""
    shop.baseline("checkout", "SELECT carts", "CLIENT", 1, 1)
    root = shop.span(OTHER, "web", "GET /", "SERVER", ms=300)
    one = shop.span(OTHER, "checkout", "POST /checkout", "SERVER", parent=root, ms=250)
    shop.span(OTHER, "checkout", "SELECT carts", "CLIENT", parent=one, ms=240)
    late = shop.span(OTHER, "mail", "send", "CLIENT", parent=root, at_ms=255, ms=40)
    shop.anomaly("an", OTHER, late, "mail", "send", observed=40 * MS, expected=4 * MS, ms=40)
    explained = explainer.analyse(Subject(kind="anomaly", id="an"))
    assert explained.root_causes[0].operation == "SELECT carts"
    assert way(explained) == [
        ("SELECT carts", "waits_for", "POST /checkout"), ("POST /checkout", "waits_for", "GET /"),
        ("GET /", "called_by", "send"),
    ]  # fmt: skip
    assert explained.propagation is not None
    assert explained.propagation.reaches_symptom


def test_a_missing_parent_ends_the_way(shop: Any, explainer: Any) -> None:
    """Where a span between is not stored, no edge is made up: the way ends, and says so."""
    shop.baseline("checkout", "SELECT carts", "CLIENT", 1, 1)
    root = shop.span(OTHER, "web", "GET /", "SERVER", ms=200)
    lost = shop.span(OTHER, "checkout", "POST /checkout", "SERVER", parent="f" * 16, ms=300)
    shop.span(OTHER, "checkout", "SELECT carts", "CLIENT", parent=lost, ms=240)
    shop.anomaly("an", OTHER, root, "web", "GET /", observed=200 * MS, expected=4 * MS, ms=200)
    explained = explainer.analyse(Subject(kind="anomaly", id="an"))
    assert way(explained) == [("SELECT carts", "waits_for", "POST /checkout")]
    assert explained.propagation is not None
    assert not explained.propagation.reaches_symptom
    assert "not stored" in explained.propagation.note


def test_a_message_is_a_step(shop: Any, explainer: Any) -> None:
    """From a consumer the way goes on to the producer of its message."""
    shop.baseline("worker", "UPDATE stock", "CLIENT", 1, 1)
    root = shop.span(OTHER, "web", "POST /order", "SERVER", ms=400)
    sent = shop.span(OTHER, "web", "publish orders", "PRODUCER", parent=root, ms=2)
    took = shop.span(OTHER, "worker", "process orders", "CONSUMER", parent=sent, at_ms=3, ms=380)
    shop.span(OTHER, "worker", "UPDATE stock", "CLIENT", parent=took, at_ms=4, ms=370)
    shop.anomaly("an", OTHER, root, "web", "POST /order", observed=400 * MS, expected=4 * MS, ms=400)
    explained = explainer.analyse(Subject(kind="anomaly", id="an"))
    assert way(explained) == [
        ("UPDATE stock", "waits_for", "process orders"), ("process orders", "message", "publish orders"),
        ("publish orders", "waits_for", "POST /order"),
    ]  # fmt: skip


def test_without_a_cause_there_is_no_way(shop: Any, explainer: Any) -> None:
    """Where nothing stands out, no chain is shown."""
    shop.span(OTHER, "web", "GET /", "SERVER", ms=1)
    explained = explainer.analyse(Subject(kind="trace", id=OTHER))
    assert way(explained) == []
    assert explained.propagation is not None
    assert explained.propagation.note == "no cause stands out"
