"""Incidents that are bad enough are explained without being asked for."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from llm.automatic import AutomaticExplainer
from tests.llm.support import SLOW_TRACE, T0, Shop


class Clock:
    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def monotonic() -> Clock:
    return Clock()


@pytest.fixture
def automatic(slow_shop: Shop, explainer: Any, monotonic: Clock) -> AutomaticExplainer:
    return AutomaticExplainer(
        slow_shop.store, explainer, 3, clock_ns=lambda: T0 + 60_000_000_000, monotonic_s=monotonic
    )


def explained(shop: Shop) -> list[str]:
    rows = shop.store.read("SELECT subject_id FROM explanations ORDER BY created_at").to_pylist()
    return [row["subject_id"] for row in rows]


def change(shop: Shop, set_: str) -> None:
    with shop.store.transaction() as connection:
        connection.execute(f"UPDATE incidents SET {set_}")


def test_each_incident_once_worst_first(automatic: AutomaticExplainer, slow_shop: Shop) -> None:
    """The worst goes first, each is explained once, and mild or resolved ones are left alone."""
    for name, severity, state in (("bad", 1, "open"), ("mild", 4, "open"), ("over", 1, "resolved")):
        slow_shop.incident(name, SLOW_TRACE, [{"service": "checkout", "operation": "SELECT carts"}])
        with slow_shop.store.transaction() as connection:
            connection.execute(
                "UPDATE incidents SET severity = ?, state = ? WHERE incident_id = ?", [severity, state, name]
            )
    assert [automatic.look() for _ in range(3)] == [True, True, False]
    assert explained(slow_shop) == ["bad", "in-slow"]
    assert automatic.status() == {"explained_count": 2, "waiting": 0, "error": None}


def test_what_grows_is_explained_again(
    automatic: AutomaticExplainer, slow_shop: Shop, monotonic: Clock
) -> None:
    """A grown incident waits 15 s for its next text; one that is as it was is not looked at again."""
    automatic.look()
    change(slow_shop, "anomaly_count = 270")
    assert not automatic.look()
    monotonic.s += 15
    assert automatic.look()
    monotonic.s += 15
    assert not automatic.look()
    assert explained(slow_shop) == ["in-slow", "in-slow"]


def test_causes_are_waited_for(slow_shop: Shop, explainer: Any) -> None:
    """An incident whose causes are not found yet waits for them, five seconds at most."""
    change(slow_shop, "root_causes = '[]'")
    now_ns = T0 + 4_000_000_000
    automatic = AutomaticExplainer(slow_shop.store, explainer, 3, clock_ns=lambda: now_ns)
    assert not automatic.look()
    now_ns += 1_000_000_000
    assert automatic.look()


def test_the_thread_survives_a_failure(slow_shop: Shop, explainer: Any, monkeypatch: Any) -> None:
    """A look that fails is reported in the status, and the next one explains."""
    monkeypatch.setattr("llm.automatic._LOOK_EVERY_S", 0.01)
    automatic = AutomaticExplainer(slow_shop.store, explainer, 3, clock_ns=lambda: T0 + 60_000_000_000)
    told: list[object] = []
    fails, came = iter([True]), threading.Event()
    candidates = automatic.candidates

    def once_broken() -> Any:
        if next(fails, False):
            raise RuntimeError("the disk is away")
        told.append(automatic.status()["error"])
        came.set()
        return candidates()

    monkeypatch.setattr(automatic, "candidates", once_broken)
    automatic.start()
    assert came.wait(30)
    while not explained(slow_shop):
        threading.Event().wait(0.01)
    automatic.stop(30)
    assert told[0] == "RuntimeError: the disk is away"
    assert explained(slow_shop) == ["in-slow"]
    assert automatic.status()["error"] is None


def test_none_when_switched_off(slow_shop: Shop, explainer: Any) -> None:
    """With severity 0 no thread is started."""
    automatic = AutomaticExplainer(slow_shop.store, explainer, 0)
    automatic.start()
    automatic.stop(1)
    assert explained(slow_shop) == []
