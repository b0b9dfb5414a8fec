"""When a pass begins, how much it takes, and what it writes."""

from __future__ import annotations

from itertools import pairwise

import pytest

from collector.store.store import Store
from detectors.pipeline.detection import Detection
from detectors.pipeline.worker import Pipeline
from detectors.settings import Settings

MS = 1_000_000


@pytest.fixture
def detection(pipeline: Pipeline) -> Detection:
    return pipeline.detection  # what the worker owns


def stored_position(store: Store) -> int:
    found = store.read("SELECT batch_id FROM detector_positions WHERE reader = 'detect'")
    return int(found["batch_id"][0].as_py()) if found.num_rows else 0


def count_landed(store: Store) -> None:
    """Write the total that landing keeps."""
    with store.transaction() as con:
        con.execute("UPDATE landing_position SET span_count = (SELECT count(*) FROM spans)")


def test_batches_gather_between_passes(system, pipeline, clock):
    """After a pause a batch is judged at once; the next pass begins 300 ms after that one began."""
    assert pipeline.gathering_s() == 0
    system.order()
    pipeline.judge_landed(system.land())
    assert pipeline.gathering_s() == pytest.approx(0.3)
    clock.now_s += 0.2
    assert pipeline.gathering_s() == pytest.approx(0.1)
    clock.now_s += 5
    assert pipeline.gathering_s() == 0


def test_quiet_passes_write_their_position_now_and_then(system, pipeline, clock, store):
    """A pass that finds nothing leaves the stored position behind for two seconds at most."""
    system.order()
    pipeline.judge_landed(system.land())
    assert (pipeline.status()["position"], stored_position(store)) == (1, 0)
    clock.now_s += 2
    system.order()
    pipeline.judge_landed(system.land())
    assert stored_position(store) == 2


def test_a_find_is_written_with_its_position(trained, system, clock, store):
    """Anomalies and the position up to them share a commit, however short ago the last one was."""
    before = stored_position(store)
    clock.now_s += 0.1
    for _ in range(5):
        system.order(db_ns=400 * MS)
    newest = system.land()
    assert trained.judge_landed(newest) > 0
    assert before < stored_position(store) == newest


def test_judging_again_after_a_crash_changes_nothing(trained, system, clock, store, settings):
    """Batches behind an unwritten position are judged once more: no anomaly is stored twice."""
    for _ in range(5):
        system.order(db_ns=400 * MS)
    trained.judge_landed(system.land())
    found = store.read("SELECT anomaly_id FROM anomalies ORDER BY 1").to_pylist()
    with store.transaction() as con:
        con.execute("UPDATE detector_positions SET batch_id = batch_id - 1 WHERE reader = 'detect'")
    again = Pipeline(store, settings, clock_ns=clock.time_ns, monotonic_s=clock.monotonic_s)
    again.judge_landed(system.batch_id)
    assert found
    assert store.read("SELECT anomaly_id FROM anomalies ORDER BY 1").to_pylist() == found


def test_few_new_spans_are_one_range(system, pipeline, detection, store):
    """By the totals of landing alone, several batches are one range; without totals they are counted."""
    for _ in range(3):
        system.order()
        newest = system.land()
    assert detection.ranges(newest) == [(0, 3)]
    count_landed(store)
    pipeline.judge_landed(newest)
    for _ in range(2):
        system.order()
        newest = system.land()
    count_landed(store)
    assert detection.ranges(newest) == [(3, 5)]


def test_many_new_spans_are_judged_in_ranges(store, system, clock):
    """More spans than a pass may take are cut between batches, with and without known totals."""
    pipeline = Pipeline(
        store,
        Settings(detect_chunk_spans=1_000),
        clock_ns=clock.time_ns,
        monotonic_s=clock.monotonic_s,
    )
    detection = pipeline.detection  # what the worker owns
    system.order()
    newest = system.land()
    count_landed(store)
    pipeline.judge_landed(newest)
    for _ in range(4):
        for _ in range(200):
            system.order()
        newest = system.land()
    count_landed(store)
    assert detection.ranges(newest) == [(1, 2), (2, 3), (3, 4), (4, 5)]


def test_amounts_are_read_where_they_were_learned(trained, system, store):
    """Operations that have carried amounts are known after learning, and a whale among them is found."""
    assert "order.submit.client" in trained.baselines.names_with_amounts()
    assert "SELECT wallets" not in trained.baselines.names_with_amounts()
    whale = system.order(btc=85.0)
    trained.judge_landed(system.land())
    found = store.read("SELECT trace_id FROM anomalies WHERE detector = 'amount'").to_pylist()
    assert found == [{"trace_id": whale}]


def test_learning_rests_five_times_as_long_as_it_takes(pipeline, clock, monkeypatch):
    """However slow learning is, detection has most of the time: what takes 3 s comes every 18 s."""
    begun: list[float] = []

    def slow(settled: int, now_unix_nano: int) -> int:
        begun.append(clock.now_s)
        clock.now_s += 3
        return 0

    monkeypatch.setattr(pipeline.learner, "learn", slow)
    for _ in range(60):
        clock.now_s += 0.5
        pipeline.work(0.0)
    assert len(begun) > 1
    assert min(later - earlier for earlier, later in pairwise(begun)) >= 18
    assert pipeline.status()["last_learn_ms"] == 3_000
