from __future__ import annotations

import json

MS = 1_000_000


def live(pipeline, system, clock, seconds: int, db_ms: float) -> None:
    """50 orders a second, judged each second and learned."""
    for _ in range(seconds):
        for _ in range(50):
            system.order(db_ns=int(db_ms * MS * (1 + 0.1 * system.rng.random())))
        pipeline.judge_landed(system.land())
        clock.now_s += 1
    clock.now_s += 6
    pipeline.learn_settled()


def test_a_skipped_call_is_a_hint_and_is_not_learned(pipeline, system, clock, store):
    """Calls that are suddenly ten times faster are anomalies with their direction, open no incident, and are
    not learned.
    """
    live(pipeline, system, clock, 12, 50)
    counted = (
        "SELECT sum(sample_count)::BIGINT AS n FROM baseline_sketches "
        "WHERE measure = 'duration' AND operation = 'SELECT wallets' AND NOT flagged"
    )
    before = store.read(counted)["n"][0].as_py()
    live(pipeline, system, clock, 12, 5)
    found = store.read(
        "SELECT operation, severity, observed < expected AS is_fast, details::VARCHAR AS details "
        "FROM anomalies"
    ).to_pylist()
    assert {row["operation"] for row in found} >= {"SELECT wallets"}
    assert all(row["severity"] == 5 and row["is_fast"] for row in found)
    assert {json.loads(row["details"])["direction"] for row in found} == {"faster"}
    assert store.read("SELECT count(*) AS n FROM incidents")["n"][0].as_py() == 0
    assert store.read(counted)["n"][0].as_py() == before
