from __future__ import annotations

import pytest

from collector.store.store import Store
from detectors.pipeline.worker import Pipeline

MS = 1_000_000
P99 = "SELECT p99_ns FROM baselines WHERE operation = 'SELECT wallets' AND cell = 'operation'"


def rows(store: Store, sql: str) -> list[dict[str, object]]:
    return store.read(sql).to_pylist()


def learned(store: Store) -> list[dict[str, object]]:
    return rows(
        store,
        "SELECT measure, flagged, sum(sample_count)::BIGINT n FROM baseline_sketches "
        "WHERE measure <> 'amount' GROUP BY ALL ORDER BY ALL",
    )


def test_restart_learns_every_span_exactly_once(store, system, settings, clock):
    """Pipelines that die between passes learn neither twice nor not at all."""

    def restarted() -> Pipeline:
        return Pipeline(store, settings, clock_ns=clock.time_ns, monotonic_s=clock.monotonic_s)

    for round_number in range(6):
        pipeline = restarted()
        for _ in range(40):
            system.order()
        batch_id = system.land()
        if round_number % 2 == 0:
            pipeline.judge_landed(batch_id)
        clock.now_s += 10
        pipeline.learn_settled()
    pipeline = restarted()
    pipeline.judge_landed(system.batch_id)
    clock.now_s += 10
    pipeline.learn_settled()
    assert learned(store) == [
        {"measure": "duration", "flagged": False, "n": 720},
        {"measure": "self_time", "flagged": False, "n": 720},
    ]
    assert pipeline.baselines.counts() == restarted().baselines.counts() == {"ready": 3, "learning": 0}


def test_failed_commit_learns_nothing(trained, system, clock, store, monkeypatch):
    """When the learning transaction fails, neither sketches nor position move, and the retry learns once."""
    before = learned(store)
    for _ in range(20):
        system.order()
    trained.judge_landed(system.land())
    clock.now_s += 10
    with monkeypatch.context() as patched:
        patched.setattr("detectors.learning.learner.save_position", _fail)
        with pytest.raises(RuntimeError):
            trained.learn_settled()
    assert learned(store) == before
    trained.learner.note_judged(system.batch_id, clock.now_s - 10)
    trained.learn_settled()
    assert learned(store)[0]["n"] == before[0]["n"] + 60


def test_failed_detection_is_repeated_without_counting_twice(trained, system, clock, store, monkeypatch):
    """A pass that cannot be written leaves nothing behind; the next one finds the same, once."""
    for second in range(5):
        for _ in range(30):
            system.order(db_ns=150 * MS)
        system.land()
        if second in (0, 3):
            with monkeypatch.context() as patched:
                patched.setattr("detectors.pipeline.writer.save_positions", _fail)
                with pytest.raises(RuntimeError):
                    trained.judge_landed(system.batch_id)
        clock.now_s += 1
        trained.judge_landed(system.batch_id)
    trained.end_quiet_incidents()
    (incident,) = rows(store, "SELECT incident_id, anomaly_count, trace_count FROM incidents")
    found = rows(
        store, "SELECT count(*) n, count(DISTINCT trace_id) t FROM anomalies WHERE incident_id IS NOT NULL"
    )
    assert (incident["anomaly_count"], incident["trace_count"]) == (found[0]["n"], found[0]["t"])
    assert found[0]["t"] == 150


def test_flagged_samples_stay_out(trained, system, clock, store):
    """5% of the traffic at 10 × its usual time, for long: still flagged, and the baseline has not moved."""
    before = rows(
        store, "SELECT p99_ns FROM baselines WHERE operation = 'SELECT wallets' AND cell = 'operation'"
    )
    slow: list[str] = []
    for _ in range(30):
        for i in range(100):
            trace_id = system.order(db_ns=10 * MS if i % 20 == 0 else None)
            slow += [trace_id] if i % 20 == 0 else []
        trained.judge_landed(system.land())
        clock.now_s += 6
        trained.learn_settled()
    late = set(slow[75:])
    flagged = {
        row["trace_id"]
        for row in rows(store, "SELECT trace_id FROM anomalies WHERE operation = 'SELECT wallets'")
    }
    assert len(late & flagged) >= 0.9 * len(late)
    after = rows(
        store, "SELECT p99_ns FROM baselines WHERE operation = 'SELECT wallets' AND cell = 'operation'"
    )
    assert after[0]["p99_ns"] == pytest.approx(before[0]["p99_ns"], rel=0.2)


def test_recalculation_equals_learning_step_by_step(trained, store):
    """Learning all stored spans anew gives the sketches that passes gave one by one."""
    query = (
        "SELECT measure, operation, facet, hour_of_week, bucket, sum(sample_count)::BIGINT n "
        "FROM baseline_sketches GROUP BY ALL ORDER BY ALL"
    )
    before = rows(store, query)
    trained.recalculate()
    assert rows(store, query) == before


def _fail(*_: object) -> None:
    raise RuntimeError("disk")
