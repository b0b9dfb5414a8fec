"""What a pass has judged outlives a write that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collector.store.store import Store
from detectors.pipeline.worker import Pipeline
from detectors.settings import Settings
from tests.detectors.conftest import MS, Clock, System

WRITE = "detectors.pipeline.writer.save_positions"
STATE = ("window_rates", "arrival_rates")


def fail(*_arguments: object) -> None:
    raise RuntimeError("disk full")


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Callable[[str], Store]]:
    opened: list[Store] = []

    def make(name: str) -> Store:
        opened.append(Store.open(tmp_path / name))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


def lived(store: Store, failing: set[int], monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The rows after forty seconds, the newest ten with failing calls, where the writes of some failed."""
    clock, system, failures = Clock(), System(store), 0
    made = Pipeline(store, Settings(), clock_ns=clock.time_ns, monotonic_s=clock.monotonic_s)
    for second in range(40):
        for number in range(50):
            system.order(failed=second >= 30 and number % 4 == 0)
        newest = system.land()
        clock.now_s += 1
        if second in failing:
            with monkeypatch.context() as patched:
                patched.setattr(WRITE, fail)
                try:
                    made.judge_landed(newest)  # a quiet pass may have nothing to write
                except RuntimeError:
                    failures += 1
        else:
            made.judge_landed(newest)
    made.save()
    rows = {
        name: store.read(f"SELECT * EXCLUDE (updated_at) FROM {name} ORDER BY ALL").to_pylist()
        for name in STATE
    }
    rows["anomalies"] = store.read(
        "SELECT anomaly_id, severity, sigma, incident_id IS NULL AS alone FROM anomalies ORDER BY ALL"
    ).to_pylist()
    rows["positions"] = store.read("SELECT reader, batch_id FROM detector_positions ORDER BY ALL").to_pylist()
    assert failures >= len(failing) / 2
    return {name: [str(row) for row in found] for name, found in rows.items()}


def test_writes_that_fail_lose_no_state_and_store_nothing_twice(stores, monkeypatch):
    """Passes whose write failed, in quiet and in a fault, leave the rows that they would have left."""
    expected = lived(stores("well"), set(), monkeypatch)
    assert lived(stores("failing"), {12, 25, 26, 33, 36}, monkeypatch) == expected
    assert len(expected["anomalies"]) > 20
    assert all(expected.values())


def test_what_can_never_be_written_is_set_aside(stores, monkeypatch):
    """A batch whose write fails three times is passed over, and the batches after it are judged."""
    store, clock = stores("one"), Clock()
    system = System(store)
    made = Pipeline(store, Settings(), clock_ns=clock.time_ns, monotonic_s=clock.monotonic_s)
    system.order(db_ns=150 * MS)
    with monkeypatch.context() as patched:
        patched.setattr(WRITE, fail)
        newest = system.land()
        for _ in range(2):
            clock.now_s += 3
            with pytest.raises(RuntimeError, match="disk full"):
                made.judge_landed(newest)
        clock.now_s += 3
        made.judge_landed(newest)
    system.order()
    clock.now_s += 3
    made.judge_landed(system.land())
    assert made.status()["position"] == system.batch_id
    assert store.read("SELECT reader, batch_id FROM set_aside_batches").to_pylist() == [
        {"reader": "detect", "batch_id": newest}
    ]
