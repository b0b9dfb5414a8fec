"""Scores of traces, from the store as detection and learning leave it."""

from __future__ import annotations

import pytest

from collector.store.store import Store
from detectors.pipeline.worker import Pipeline
from tests.detectors.conftest import SETTINGS, Clock, Learned, System

MS = 1_000_000


def scores(store: Store, trace_id: str) -> list[dict[str, object]]:
    return store.read(
        "SELECT anomaly_sigma, operation, reason, span_count FROM trace_scores WHERE trace_id = ?",
        [trace_id],
    ).to_pylist()


def settle(pipeline: Pipeline, system, clock) -> None:
    pipeline.judge_landed(system.land())
    clock.now_s += 10
    pipeline.learn_settled()


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Learned:
    """Three operations with some thousand traces behind them."""
    folder = tmp_path_factory.mktemp("learned")
    store, clock = Store.open(folder), Clock()
    system = System(store)
    pipeline = Pipeline(store, SETTINGS, clock_ns=clock.time_ns, monotonic_s=clock.monotonic_s)
    for _ in range(6):
        for _ in range(400):
            system.order()
        settle(pipeline, system, clock)
    store.close()
    return Learned(folder, clock, system)


@pytest.fixture
def known(pipeline):
    """The system has learned, and the server has been started again."""
    return pipeline


def test_every_settled_trace_has_one_score(known, system, clock, store):
    """Each trace is scored once, few are anomalous, and `traces` shows the same."""
    ordinary = [system.order() for _ in range(200)]
    settle(known, system, clock)
    shown = store.read(
        "SELECT count(*) AS n, count(anomaly_sigma) AS scored, count(*) FILTER (anomaly_sigma >= 3) AS odd "
        "FROM traces WHERE trace_id IN (SELECT unnest(?::VARCHAR[]))",
        [ordinary],
    ).to_pylist()
    assert shown[0]["n"] == shown[0]["scored"] == 200
    assert shown[0]["odd"] <= 2


def test_a_trace_waits_until_it_has_settled(known, system, store):
    """Traces that have just landed have no score yet."""
    fresh = system.order()
    known.judge_landed(system.land())
    assert scores(store, fresh) == []
    assert store.read("SELECT anomaly_sigma FROM traces WHERE trace_id = ?", [fresh])[0].to_pylist() == [None]


def test_slow_failing_and_cut_traces_are_anomalous(known, system, clock, store):
    """A slow statement, a failed one, and an order without one: each is anomalous for its own reason."""
    slow, failed, cut = system.order(db_ns=80 * MS), system.order(failed=True), system.order()
    system.rows = [
        row for row in system.rows if not (row["trace_id"] == cut and row["span_name"] == "SELECT wallets")
    ]
    ordinary = system.order()
    settle(known, system, clock)
    found = {
        name: scores(store, trace_id)[0]
        for name, trace_id in (("slow", slow), ("failed", failed), ("cut", cut))
    }
    assert all(row["anomaly_sigma"] >= 3 for row in found.values())
    assert (found["slow"]["operation"], found["slow"]["reason"]) == ("SELECT wallets", "duration")
    assert (found["failed"]["operation"], found["failed"]["reason"]) == ("SELECT wallets", "fails")
    assert found["cut"]["operation"] == "POST /api/v1/orders"
    assert str(found["cut"]["reason"]).startswith("does not call kx-exchange SELECT wallets")
    assert scores(store, ordinary)[0]["anomaly_sigma"] < 3


def test_a_late_child_mends_the_score(known, system, clock, store):
    """A trace whose statement lands a minute late looks cut until then, and ordinary afterwards: one row."""
    late = system.order()
    missing = [row for row in system.rows if row["span_name"] == "SELECT wallets"]
    system.rows = [row for row in system.rows if row not in missing]
    settle(known, system, clock)
    (before,) = scores(store, late)
    assert before["anomaly_sigma"] >= 3
    system.rows = missing
    settle(known, system, clock)
    (after,) = scores(store, late)
    assert after["anomaly_sigma"] < 3
    assert after["span_count"] == 3


def test_a_root_that_lands_last_leaves_one_row(known, system, clock, store):
    """A root of ten minutes lands after what it called was scored: its trace has one score, of all spans."""
    slow = system.order()
    root = [row for row in system.rows if row["parent_span_id"] is None]
    root[0]["start_unix_nano"] = int(str(root[0]["start_unix_nano"])) - 600_000 * MS
    root[0]["duration_ns"] = 600_010 * MS
    system.rows = [row for row in system.rows if row not in root]
    settle(known, system, clock)
    assert [row["span_count"] for row in scores(store, slow)] == [2]
    system.rows = root
    settle(known, system, clock)
    assert [row["span_count"] for row in scores(store, slow)] == [3]


def test_late_children_leave_no_wrong_form_behind(trained, system, clock, store):
    """Where children always land later than their parents, the stored forms are those of whole traces."""
    for _ in range(3):
        for _ in range(50):
            system.order()
        late = [row for row in system.rows if row["span_name"] == "SELECT wallets"]
        system.rows = [row for row in system.rows if row not in late]
        settle(trained, system, clock)
        system.rows = late
        settle(trained, system, clock)
    forms = store.read(
        "SELECT form, sum(sample_count)::BIGINT AS n FROM span_forms "
        "WHERE aspect = 'calls' AND operation = 'POST /api/v1/orders' "
        "GROUP BY form HAVING sum(sample_count) <> 0"
    ).to_pylist()
    assert {row["form"] for row in forms} == {"kx-exchange SELECT wallets CLIENT"}


def test_a_new_form_is_normal_once_it_has_stayed(known, system, clock, store):
    """A statement that is no longer made is anomalous for ten minutes, and then how the system is."""

    def without() -> str:
        trace_id = system.order()
        system.rows = [row for row in system.rows if row["span_name"] != "SELECT wallets"]
        return trace_id

    sigmas = []
    for _ in range(4):
        trace_ids = [without() for _ in range(40)]
        settle(known, system, clock)
        sigmas.append(float(str(scores(store, trace_ids[-1])[0]["anomaly_sigma"])))
        clock.now_s += 300
    assert sigmas[0] >= 3
    assert sigmas[1] >= 3
    assert sigmas[-1] < 3


def test_scores_do_not_depend_on_how_many_traces_there_are(known, system, clock, store):
    """The same slow statement has the same score alone and among hundreds."""
    alone = system.order(db_ns=40 * MS)
    settle(known, system, clock)
    crowded = system.order(db_ns=40 * MS)
    for _ in range(300):
        system.order()
    settle(known, system, clock)
    first, second = (float(str(scores(store, trace_id)[0]["anomaly_sigma"])) for trace_id in (alone, crowded))
    assert first == pytest.approx(second, abs=0.2)


def test_a_restart_goes_on_with_what_was_known(known, system, clock, store, settings):
    """Forms are read back: the first trace after a restart that is cut is anomalous."""
    later = Pipeline(store, settings, clock_ns=clock.time_ns, monotonic_s=clock.monotonic_s)
    cut = system.order()
    system.rows = [row for row in system.rows if row["span_name"] != "SELECT wallets"]
    settle(later, system, clock)
    assert scores(store, cut)[0]["anomaly_sigma"] >= 3
