"""Causes are found beside detection: neither waits for the other, and both write what belongs together."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from collector.store.store import Store
from detectors.incidents import causes
from detectors.incidents.incident import Incident
from detectors.incidents.worker import CauseWorker
from detectors.localise import Analysis
from detectors.pipeline.detection import Detection
from detectors.pipeline.worker import Pipeline
from detectors.settings import Settings
from tests.pace import patience_s, within_s

MS = 1_000_000
CAUSES = "SELECT json_array_length(root_causes)::INT AS n FROM incidents"
SLOW = "SELECT count(*) AS n FROM anomalies WHERE detector = 'latency'"


class Gate:
    """`analyse` that waits to be let through, and says so."""

    def __init__(self, analyse: Callable[..., Analysis]) -> None:
        self._analyse = analyse
        self.entered, self.open = threading.Event(), threading.Event()
        self.fails = False

    def __call__(self, *given: object, **further: object) -> Analysis:
        self.entered.set()
        assert self.open.wait(20)
        if self.fails:
            raise ValueError("no causes today")
        return self._analyse(*given, **further)


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    end = time.monotonic() + patience_s(timeout_s)
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.005)


def number(store: Store, sql: str) -> int:
    found = store.read(sql)["n"].to_pylist()
    return int(found[0]) if found else -1


def slow_orders(system) -> None:
    """Two seconds of orders whose statement takes 150 ms."""
    for _ in range(100):
        system.order(db_ns=150 * MS)
    system.land()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate(causes.analyse)
    monkeypatch.setattr(causes, "analyse", gate)
    return gate


@pytest.fixture
def running(store: Store, system, trained: Pipeline, gate: Gate) -> Iterator[Pipeline]:
    """A started worker that knows what is usual, as after a restart."""
    pipeline = Pipeline(store, Settings(detect_interval_ms=20))
    pipeline.start()
    yield pipeline
    gate.open.set()
    pipeline.stop(20)


def test_detection_goes_on_while_causes_are_found(running, gate, store, system):
    """While a look takes as long as it likes, further spans are judged and stored, and the incident grows."""
    slow_orders(system)
    assert gate.entered.wait(10)
    before = number(store, SLOW)
    assert before > 0
    slow_orders(system)
    wait_until(lambda: number(store, SLOW) > before)
    assert number(store, CAUSES) == 0
    wait_until(lambda: running.status()["lag_batches"] == 0)
    gate.open.set()
    wait_until(lambda: number(store, CAUSES) > 0)


def test_what_joins_later_keeps_the_causes(running, gate, store, system):
    """An incident that grows after a look is stored with the causes that the look has found."""
    gate.open.set()
    slow_orders(system)
    wait_until(lambda: number(store, CAUSES) > 0)
    gate.open.clear()
    count = number(store, "SELECT anomaly_count AS n FROM incidents")
    slow_orders(system)
    wait_until(lambda: number(store, "SELECT anomaly_count AS n FROM incidents") > count)
    assert number(store, CAUSES) > 0


def test_an_error_is_shown_and_ends_nothing(running, gate, store, system):
    """A look that fails is visible in the worker's status until one succeeds; detection does not stop."""
    gate.fails = True
    gate.open.set()
    slow_orders(system)
    wait_until(lambda: running.status()["error"] is not None)
    assert running.status()["error"] == "finding causes: ValueError: no causes today"
    before = number(store, SLOW)
    gate.fails = False
    slow_orders(system)
    wait_until(lambda: number(store, SLOW) > before)
    wait_until(lambda: number(store, CAUSES) > 0)
    wait_until(lambda: running.status()["error"] is None)
    assert running.status()["localisation"]["look_count"] > 0


def test_a_person_decides_while_a_look_goes_on(running, gate, store, system):
    """A state set meanwhile neither waits for the look nor is lost to it."""
    slow_orders(system)
    assert gate.entered.wait(10)
    (row,) = store.read("SELECT incident_id FROM incidents").to_pylist()
    running.set_incident_state(row["incident_id"], "acknowledged")
    gate.open.set()
    wait_until(lambda: number(store, CAUSES) > 0)
    assert store.read("SELECT state FROM incidents").to_pylist() == [{"state": "acknowledged"}]


@pytest.fixture
def others():
    """Threads of before: a server that other tests share has some of the same names."""
    return set(threading.enumerate())


def test_stop_waits_for_causes(others, running, gate, store, system):
    """A stop ends both threads; an incident found at the last moment is looked at before that."""
    slow_orders(system)
    assert gate.entered.wait(10)
    threading.Timer(0.2, gate.open.set).start()
    running.stop(10)
    assert number(store, CAUSES) > 0
    assert not {"detection", "causes"} & {thread.name for thread in set(threading.enumerate()) - others}


def test_stop_gives_up_in_time(running, gate, system):
    """A look that does not end holds up a stop no longer than it may."""
    slow_orders(system)
    assert gate.entered.wait(10)
    with within_s(3):
        running.stop(0.3)


def test_nothing_is_written_of_an_incident_that_is_not_stored(pipeline, store):
    """A row that is gone, or never came to be, gets neither causes nor differences."""
    detection: Detection = pipeline.detection  # what the worker owns
    difference = {
        "key": "k", "value": "v", "service_name": "s", "operation": "o", "trace_id": "t", "span_id": "p",
        "share": 1.0, "usual_share": 0.0, "lift": 9.0, "z": 9.0, "trace_count": 3, "also": [],
    }  # fmt: skip
    incident = Incident("gone", "latency", 0, 0.0, 0, first_span_unix_nano=0)
    assert not detection.writer.record(incident, Analysis([{"service": "s", "operation": "o"}], [difference]))
    assert number(store, "SELECT count(*) AS n FROM incidents") == 0
    assert number(store, "SELECT count(*) AS n FROM incident_differences") == 0
    assert detection.writer.causes == {}


def test_a_snapshot_does_not_change(trained, system, clock):
    """A snapshot does not change while the incident grows."""
    for _ in range(2):
        for _ in range(50):
            system.order(db_ns=150 * MS)
        trained.judge_landed(system.land())
        clock.now_s += 1
    (incident,) = trained.detection.tracker.open.values()
    taken = incident.snapshot()
    was = (len(taken.anomalies), len(taken.traces), taken.anomaly_count)
    for _ in range(50):
        system.order(db_ns=150 * MS)
    trained.judge_landed(system.land())
    assert (len(taken.anomalies), len(taken.traces), taken.anomaly_count) == was
    assert incident.anomaly_count > was[2]


class Busy:
    """A finder that always has something to do, 20 ms each."""

    def __init__(self) -> None:
        self.busy_s = 0.0
        self.turns_s: set[float] = set()

    def look(self, now_s: float, *, first_only: bool = False) -> bool:
        if first_only:
            return False
        time.sleep(0.02)
        self.busy_s += 0.02
        self.turns_s.add(sys.getswitchinterval())
        return True

    def next_s(self) -> float:
        return 0.0


def test_looks_take_a_bounded_share_of_time():
    """However much there is to look at, the thread rests three times as long as it works."""
    busy = Busy()
    worker = CauseWorker(busy)  # type: ignore[arg-type]  # two methods of the real one
    began_s = time.monotonic()
    worker.start()
    time.sleep(0.6)
    worker.stop(5)
    assert 0 < busy.busy_s <= 0.3 * (time.monotonic() - began_s) + 0.02


def test_looks_leave_the_interpreter_as_it_is():
    """How long a turn at the interpreter takes is the process's affair: the worker changes nothing of it."""
    busy, usual_s = Busy(), sys.getswitchinterval()
    worker = CauseWorker(busy)  # type: ignore[arg-type]  # two methods of the real one
    worker.start()
    wait_until(lambda: busy.busy_s > 0)
    worker.stop(5)
    assert busy.turns_s == {usual_s}
