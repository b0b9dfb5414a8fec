"""A system that stops as a whole is one incident that accuses nobody."""

from __future__ import annotations

import pytest

from collector.store.store import Store
from detectors.pipeline.worker import Pipeline

INCIDENTS = "SELECT title, severity, state, kind, root_causes::VARCHAR AS causes FROM incidents"


def passes(pipeline: Pipeline, clock, seconds: int, every_s: int) -> None:
    """So many seconds of quiet passes."""
    for _ in range(0, seconds, every_s):
        clock.now_s += every_s
        pipeline.end_quiet_incidents()


def lives(pipeline: Pipeline, system, clock, *, rounds: int, every_s: int) -> None:
    for _ in range(rounds):
        for _ in range(10):
            system.order()
        pipeline.judge_landed(system.land())
        clock.now_s += every_s


def test_system_that_stops_is_one_incident_until_it_is_back(pipeline, system, clock, store: Store):
    """Told after two minutes, once; it lasts as long as nothing comes, and accuses no service."""
    lives(pipeline, system, clock, rounds=32, every_s=10)
    passes(pipeline, clock, 90, 10)
    assert store.read(INCIDENTS).to_pylist() == []
    passes(pipeline, clock, 600, 10)
    (told,) = store.read(INCIDENTS).to_pylist()
    assert (told["severity"], told["state"], told["kind"], told["causes"]) == (3, "open", "throughput", "[]")
    assert told["title"].startswith("Telemetry stopped: no span of any service for 120 s, usually 3 a second")
    lives(pipeline, system, clock, rounds=15, every_s=10)
    (ended,) = store.read(INCIDENTS).to_pylist()
    assert ended["state"] == "resolved"
    assert store.read("SELECT count(*) AS n FROM anomalies")["n"].to_pylist() == [1]


@pytest.mark.parametrize("lived", [(20, 10, 600), (32, 60, 220)])
def test_short_and_usual_pauses_are_not_told(pipeline, system, clock, store, lived):
    """Of a system that was seen for minutes only nobody knows its pauses; a job's are as long as they are."""
    rounds, every_s, pause_s = lived
    lives(pipeline, system, clock, rounds=rounds, every_s=every_s)
    passes(pipeline, clock, pause_s, 20)
    assert store.read(INCIDENTS).to_pylist() == []
