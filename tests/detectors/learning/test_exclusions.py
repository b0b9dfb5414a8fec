from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa

from detectors.learning.exclusions import Adopted, Window, kept_out
from detectors.model.roles import Role, detectors_of

MS = 1_000_000
DATABASE = "SELECT wallets"


def learned(store, where: str = "") -> int:
    """Durations of the database in the baselines."""
    sql = (
        "SELECT coalesce(sum(sample_count), 0)::BIGINT AS n FROM baseline_sketches "
        f"WHERE measure = 'duration' AND operation = '{DATABASE}' AND NOT flagged {where}"
    )
    return store.read(sql)["n"][0].as_py()


def started_before(store, when: str) -> int:
    sql = f"SELECT count(*) AS n FROM spans WHERE span_name = '{DATABASE}' AND start_time < ({when})"
    return store.read(sql)["n"][0].as_py()


def test_nothing_of_an_incident_is_learned(trained, system, clock, store):
    """Between its start and its end not even the quick spans of its operations are."""
    for _ in range(6):
        for i in range(50):
            system.order(db_ns=150 * MS if i % 2 else None)
        trained.judge_landed(system.land())
        clock.now_s += 1
    clock.now_s += 10
    trained.learn_settled()
    assert learned(store) == started_before(store, "SELECT min(first_span_time) FROM incidents")
    clock.now_s += 200
    trained.end_quiet_incidents()
    for _ in range(100):
        system.order()
    trained.judge_landed(system.land())
    clock.now_s += 10
    trained.learn_settled()
    before = started_before(store, "SELECT min(first_span_time) FROM incidents")
    assert learned(store) == before + 100


def test_what_was_learned_of_a_fault_is_taken_out_again(trained, system, clock, store):
    """A fault is recognised after its first spans were learned: afterwards the baseline is as before it."""
    model = trained.baselines.duration("kx-exchange", DATABASE, "CLIENT", 0)
    for _ in range(3):  # slow, but too few and too little to be flagged yet
        for i in range(100):
            system.order(db_ns=int(1.9 * MS) if i % 2 else None)
        trained.judge_landed(system.land())
        clock.now_s += 6
        trained.learn_settled()
    begun = system.now_ns - 4 * 10**9
    polluted = learned(store)
    assert polluted > 600
    for _ in range(3):
        for _ in range(50):
            system.order(db_ns=150 * MS)
        trained.judge_landed(system.land())
        clock.now_s += 1
    with store.transaction() as con:  # the incident turns out to have begun four seconds earlier
        con.execute("UPDATE incidents SET first_span_time = make_timestamp_ns(?)", [begun])
    clock.now_s += 10
    trained.learn_settled()
    assert learned(store) == started_before(store, f"make_timestamp_ns({begun})") < polluted
    (row,) = store.read(f"SELECT * FROM unlearned WHERE operation = '{DATABASE}'").to_pylist()
    assert row["sample_count"] == polluted - learned(store)
    after = trained.baselines.duration("kx-exchange", DATABASE, "CLIENT", 0)
    assert after.tail.sample_count == learned(store)
    assert abs(after.tail.p50 / model.tail.p50 - 1) < 0.05
    clock.now_s += 10
    trained.learn_settled()
    assert learned(store) == started_before(store, f"make_timestamp_ns({begun})")


def test_windows_and_versions_are_of_one_operation():
    """A window touches its own operation in its time; an adopted level frees it, and ends what was before."""
    count = 10
    spans = pa.table(
        {
            "service_name": ["shop"] * count,
            "operation": ["buy", "look"] * 5,
            "span_kind": ["SERVER"] * count,
            "start_unix_nano": np.arange(count) * 10,
            "is_new": [True] * count,
            "flagged": [False, False, True, True] + [False] * 6,
            "in_incident": [False] * count,
        }
    )
    buy = ("shop", "buy", "SERVER")
    marked = kept_out(spans, [Window(buy, "i", 20, 60)], [])
    assert np.flatnonzero(marked["in_incident"].to_numpy(zero_copy_only=False)).tolist() == [2, 4, 6]
    freed = kept_out(spans, [Window(buy, "i", 20, 60)], [Adopted(buy, True, 20, 90)])
    assert not freed["in_incident"].to_numpy(zero_copy_only=False).any()
    assert np.flatnonzero(freed["flagged"].to_numpy(zero_copy_only=False)).tolist() == [3]
    assert np.flatnonzero(~freed["is_new"].to_numpy(zero_copy_only=False)).tolist() == [0]


def test_roles_of_detectors_are_one_table(store):
    """The view that SQL joins and the roles that Python asks name the same detectors in the same roles."""
    rows = store.read("SELECT detector, role, flags_span, degrades FROM detector_roles").to_pylist()
    by_role = {role: {row["detector"] for row in rows if row["role"] == role} for role in ("call", "event")}
    assert by_role == {"call": detectors_of(Role.CALL), "event": detectors_of(Role.EVENT)}
    assert len(rows) == len(detectors_of(Role.CALL) | detectors_of(Role.EVENT))


def test_no_query_lists_detectors_by_name():
    """Which detectors keep spans out of learning is joined, not written again."""
    queries = list((Path(__file__).parents[3] / "detectors").rglob("*.sql"))
    assert len(queries) > 30
    for path in queries:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(detector|kind)\s+(NOT\s+)?IN\s*\(\s*'(?!latency', 'error'\))", text), path
