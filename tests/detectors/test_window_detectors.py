"""One battery over the detectors that follow operations over time: quiet, sharp-eyed, and never raising."""

from __future__ import annotations

import copy
import copyreg
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from collector.store.store import Store
from detectors.baseline.models import Baselines
from detectors.model.anomaly import Anomaly
from detectors.model.operation import Operation
from detectors.pipeline import checkpoint
from detectors.pipeline.detector_set import DetectorSet
from detectors.settings import Settings
from detectors.spans.call_structure import Calls, StructureWatch
from detectors.spans.client_error_rate import RefusalWatch
from detectors.spans.error_rate import ErrorWatch
from tests.detectors.world import MS, START_NS, S, Traffic

pytestmark = pytest.mark.long

Change = Callable[[pa.Table], pa.Table]


def same(spans: pa.Table) -> pa.Table:
    return spans


def turned(spans: pa.Table) -> pa.Table:
    return spans.take(pa.array(range(spans.num_rows - 1, -1, -1)))


class Watch:
    """Windows over a store, fed second by second."""

    def __init__(self, store: Store, change: Change = same) -> None:
        self.store = store
        self.baselines = Baselines(Settings())
        self.windows = DetectorSet(store, self.baselines, Settings(), 0.0)
        self.held: list[Operation] = []
        self.change = change
        self.traffic = Traffic()
        self.now_ns = START_NS
        self.now_s = 0.0

    def run(self, seconds: int, **how: object) -> list[Anomaly]:
        """Live through some seconds; returns what was found."""
        found: list[Anomaly] = []
        for _ in range(seconds):
            spans = self.change(self.traffic.second(self.now_ns, **how))  # type: ignore[arg-type]  # test arguments
            found += self.observe(spans)
            self.baselines.add(self.windows.waits_to_learn(self.now_s - 5))
            self.now_ns += S
            self.now_s += 1
        return found

    def observe(self, spans: pa.Table) -> list[Anomaly]:
        return list(self.windows.observe(self.windows.step(spans, self.now_s, held=self.held)).new)

    def __deepcopy__(self, memo: dict[int, Any]) -> Watch:
        """All that was learned once more, over the same store."""
        memo[id(self.store)] = self.store
        again = Watch.__new__(Watch)
        vars(again).update(copy.deepcopy(vars(self), memo))
        return again

    def the(self, kind: type) -> Any:
        return next(detector for detector in self.windows.detectors if isinstance(detector, kind))


@pytest.fixture
def watch(store: Store) -> Watch:
    return Watch(store)


Lived = Callable[..., Watch]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    """`lived(seconds, failing=0.01)`: one that has lived through so much, and found nothing.

    Most tests begin with the same minutes, 10 ms of CPU a second: each of them gets a copy.
    """
    store = Store.open(tmp_path_factory.mktemp("windows"))
    kept: dict[object, Watch] = {}

    def live(
        seconds: int, *, service: str = "api", at_ns: int = START_NS, change: Change = same, **how: float
    ) -> Watch:
        key = (seconds, service, at_ns, change, *how.items())
        if key not in kept:
            kept[key] = Watch(store, change)
            kept[key].traffic.service, kept[key].now_ns = service, at_ns
            assert kept[key].run(seconds, **how) == []
        return copy.deepcopy(kept[key])

    with pytest.MonkeyPatch.context() as patch:
        for make in (threading.Lock, threading.RLock):  # which cannot be copied: the other gets a new one
            patch.setitem(copyreg.dispatch_table, type(make()), lambda _, make=make: (make, ()))
        yield live
    store.close()


FAULTS: dict[str, dict[str, object]] = {
    "error": {"failing": 0.3},
    "structure": {"queries": 20},
    "message_wait": {"waits_ms": 200.0},
}
each_fault = pytest.mark.parametrize(("detector", "how"), FAULTS.items(), ids=list(FAULTS))


def test_steady_traffic_is_quiet(watch):
    """Ten minutes of the same traffic, one call in a hundred failing all the time, raise nothing."""
    assert watch.run(600, failing=0.01) == []


@each_fault
def test_fault_is_found_within_four_seconds(lived, detector, how):
    """Each fault is found by its own detector, at spans that are part of it."""
    watch = lived(90, failing=0.01)
    began = watch.now_ns
    found = [a for a in watch.run(4, **how) if a.detector == detector]
    assert found
    assert min(a.severity for a in found) <= 3
    assert all(a.start_unix_nano >= began for a in found)
    assert all(a.text for a in found)


@each_fault
def test_nothing_is_scored_while_learning(watch, detector, how):
    """A system that was always so has no history to differ from."""
    assert [a for a in watch.run(60, **how) if a.detector == detector] == []


def minutes(watch: Watch, count: int, failing: Callable[[int], bool]) -> list[list[Anomaly]]:
    """A job that runs once a minute; what each run showed of errors."""
    shown = []
    for number in range(count):
        found = watch.observe(watch.traffic.second(watch.now_ns, orders=1, failing=float(failing(number))))
        shown.append([anomaly for anomaly in found if anomaly.detector == "error"])
        watch.now_ns += 60 * S
        watch.now_s += 60
    return shown


def test_a_job_that_runs_once_a_minute_and_dies_is_found(watch):
    """Windows of seconds never hold three of its calls: its newest are judged, whatever time they took."""
    assert not any(minutes(watch, 40, lambda _: False))
    shown = minutes(watch, 5, lambda _: True)
    assert not shown[1]
    failed = [anomaly for anomaly in shown[3] if anomaly.operation == "POST /orders"]
    assert len({anomaly.trace_id for anomaly in failed}) == 4
    assert failed[0].text == "4 of 4 calls failed in 181 s, usually <1%"
    assert all(anomaly.severity <= 3 for anomaly in failed)
    assert len([a for a in shown[4] if a.operation == "POST /orders"]) == 1  # the new one alone


def test_a_job_that_always_fails_once_in_eight_runs_is_quiet(watch):
    """The usual rate of a rare operation is learned as well, and two failures in a row are no proof."""
    assert not any(minutes(watch, 120, lambda number: number % 8 == 0 or number in {57, 89}))


@each_fault
def test_flagged_seconds_are_not_learned(lived, detector, how):
    """A fault that lasts a minute and comes again is found again, as severe."""
    watch = lived(90)
    first = [a for a in watch.run(60, **how) if a.detector == detector]
    watch.run(60)
    again = [a for a in watch.run(10, **how) if a.detector == detector]
    assert again
    assert min(a.severity for a in again) <= min(a.severity for a in first) + 1


@each_fault
def test_order_of_spans_does_not_matter(lived, detector, how):
    """Batches turned around give the same anomalies."""
    one, two = lived(90).run(5, **how), lived(90, change=turned).run(5, **how)
    assert {a.anomaly_id for a in one} == {a.anomaly_id for a in two} != set()


@each_fault
def test_names_do_not_matter(lived, detector, how):
    """A service with another name fares the same."""
    watch = lived(90, service="ünïcödé ☃")
    assert [a for a in watch.run(4, **how) if a.detector == detector]


@each_fault
def test_time_does_not_matter(lived, detector, how):
    """Neither does the century."""
    watch = lived(90, at_ns=4_000_000_000 * S)
    assert [a for a in watch.run(4, **how) if a.detector == detector]


def _durations(value: int) -> Change:
    def change(spans: pa.Table) -> pa.Table:
        position = spans.schema.get_field_index("duration_ns")
        return spans.set_column(position, "duration_ns", pa.array(np.full(spans.num_rows, value)))

    return change


def _starts(value: int) -> Change:
    def change(spans: pa.Table) -> pa.Table:
        position = spans.schema.get_field_index("start_unix_nano")
        return spans.set_column(position, "start_unix_nano", pa.array(np.full(spans.num_rows, value)))

    return change


ODD: dict[str, Change] = {
    "zero durations": _durations(0),
    "negative durations": _durations(-5 * S),
    "endless durations": _durations(2**61),
    "duplicates": lambda spans: pa.concat_tables([spans, spans]),
    "empty": lambda spans: spans.slice(0, 0),
    "one span": lambda spans: spans.slice(0, 1),
    "before 1970": _starts(-(10**18)),
    "at 1970": _starts(0),
    "the end of time": _starts(2**62),
    "orphans": lambda spans: spans.filter(pa.array([i % 5 != 1 for i in range(spans.num_rows)])),
}


@pytest.mark.parametrize("change", ODD.values(), ids=list(ODD))
def test_odd_spans_raise_no_error(lived, change):
    """Whatever is sent, detection goes on, and sees the next fault after it."""
    watch = lived(60)
    watch.change = change
    watch.run(10)
    watch.change = same
    watch.run(120)
    assert [a for a in watch.run(5, failing=0.5) if a.detector == "error"]


@pytest.mark.parametrize("jump_s", [-86_400, -200, -30, 30, 200, 86_400])
def test_clock_that_jumps_is_no_anomaly(lived, jump_s):
    """All clocks jump: nothing is reported, and the next fault is found."""
    watch = lived(420)
    watch.now_ns += jump_s * S
    assert [a.text for a in watch.run(60)] == []
    assert [a for a in watch.run(5, failing=0.5) if a.detector == "error"]


def test_clock_of_one_host_that_is_ahead_blinds_nobody(watch):
    """Spans of the year 2100 from one service do not make all others late."""
    ahead = 2_000_000_000 * S

    def change(spans: pa.Table) -> pa.Table:
        starts = spans["start_unix_nano"].to_numpy().copy()
        starts[spans["service_name"].to_numpy(zero_copy_only=False) == "worker"] += ahead
        position = spans.schema.get_field_index("start_unix_nano")
        return spans.set_column(position, "start_unix_nano", pa.array(starts))

    watch.change = change
    watch.traffic.rng = np.random.default_rng(8)
    watch.run(90)
    assert [a for a in watch.run(5, failing=0.5) if a.detector == "error"]


def test_answers_of_a_4xx_are_seen_at_their_spans(lived):
    """Four in ten calls answer 401, and none of them has status ERROR: SEV3 at most."""
    watch = lived(90)
    found = watch.run(4, refusing=0.4)
    assert {(a.detector, a.operation, a.details["rule"]) for a in found} == {
        ("error", "POST /orders", "refused")
    }
    assert "calls answered 401 Unauthorized in " in found[0].text
    assert min(a.severity for a in found) == 3
    assert all(a.shift_sigma > 5 for a in found)


def test_usual_answers_of_a_4xx_are_quiet_and_hide_no_other(watch):
    """One in five answers 404, always; then as many 429 come."""
    assert watch.run(150, refusing=0.2, refusal=404) == []
    found = watch.run(5, refusing=0.3, refusal=429)
    assert {a.details["http_status"] for a in found} == {429}


def test_dead_partner_is_told_from_others_that_are_called_the_same(lived):
    """One call in 181 is of a partner, all are named GET: when each of its calls fails, it is named."""
    watch = lived(180)
    found = [a for a in watch.run(12, dead_partner=True) if a.detector == "error"]
    assert {(a.service_name, a.operation, a.details["callee"]) for a in found} == {
        ("api", "GET", "partner-3.example:443")
    }
    assert " calls of partner-3.example:443 failed" in found[0].text


CHILDLESS = {"trace_id": "t", "span_id": "s", "start_unix_nano": START_NS, "duration_ns": MS}


def test_call_that_is_made_no_more_is_missed_among_its_namesakes(lived, monkeypatch):
    """The prices are no longer asked for, while partners are."""
    watch = lived(90)
    monkeypatch.setattr(watch.the(StructureWatch), "_find_childless", lambda *_: [CHILDLESS])
    found = [a for a in watch.run(15, asks_prices=False) if a.detector == "structure"]
    assert {(a.details["rule"], a.details["child_callee"]) for a in found} == {("missing", "prices:80")}


def test_calls_of_a_service_that_nobody_hears_of_are_not_missed(lived, monkeypatch):
    """A worker whose exporter lost its spans may have taken every message; one that is heard of has not."""
    watch = lived(90)
    monkeypatch.setattr(watch.the(StructureWatch), "_find_childless", lambda *_: [CHILDLESS])
    missing = [a for a in watch.run(15, worker_lost=True) if a.detector == "structure"]
    assert missing == []
    watch.run(60)
    assert [a for a in watch.run(15, silent=True) if a.detector == "structure"]


def test_silence_of_one_service_is_missed(lived):
    """The consumer stops while the rest goes on: it is found within a minute, once, at its last span."""
    watch = lived(420)
    stopped = watch.now_ns
    found = watch.run(60, worker_lost=True)
    missed = [a for a in found if a.detector == "throughput"]
    assert {(a.service_name, a.details["rule"]) for a in missed} == {("worker", "silence")}
    assert len(missed) == len({a.operation for a in missed})
    assert missed[0].start_unix_nano < stopped
    assert {a.operation for a in found if a.detector == "structure"} <= {"publish orders"}


@pytest.mark.parametrize("orders", [0, 4, 60])
def test_change_of_load_is_no_anomaly(lived, orders):
    """Nothing comes at all (a stopped collector), a fifth (night), three times as much (a surge): quiet."""
    watch = lived(420)
    found = watch.run(90, orders=orders) if orders else []
    if not orders:
        watch.now_ns += 90 * S
    assert [a.text for a in [*found, *watch.run(90)]] == []


def test_call_that_was_never_made_is_reported_mildly(lived):
    """A new path is for the queue: SEV5, and no incident by itself."""
    watch = lived(120)
    found = watch.run(5, new_call=True)
    assert {(a.detector, a.operation, a.severity) for a in found} == {("structure", "DELETE stock", 5)}
    assert all(a.shift_sigma == 0.0 for a in found)


def test_missing_child_is_found_at_a_parent_without_it(lived, monkeypatch):
    """A call that is always made and then is not: the parents without it are what is shown."""
    parent = {"trace_id": "f" * 32, "span_id": "a" * 16, "start_unix_nano": START_NS, "duration_ns": MS}
    asked: list[tuple[str, str]] = []

    def childless(caller: Calls, child: Calls, since: int, until: int) -> list[object]:
        asked.append((caller[0][1], child[0][1]))
        return [parent]

    watch = lived(120)
    monkeypatch.setattr(watch.the(StructureWatch), "_find_childless", childless)  # its only way out
    found = watch.run(12, queries=0)
    assert asked == [("POST /orders", "SELECT stock")]
    assert [(a.trace_id, a.operation) for a in found] == [("f" * 32, "POST /orders")]


def test_what_was_learned_outlives_a_restart(watch, store):
    """After a restart nothing is learning: the first fault is found."""
    watch.run(420, refusing=0.05)
    with store.transaction() as con:
        checkpoint.write(con, watch.windows.changed(0.0, everything=True), START_NS)
    again = Watch(store)
    again.traffic, again.now_ns = watch.traffic, watch.now_ns
    assert again.run(3, refusing=0.05) == []
    assert {a.detector for a in again.run(5, failing=0.4, queries=12)} == {"error", "structure"}
    learned = store.read("SELECT DISTINCT measure FROM window_rates ORDER BY 1")["measure"].to_pylist()
    assert learned == ["calls", "error", "missing", "more", "path", "refused"]
    assert store.read("SELECT count(*) AS n FROM arrival_rates WHERE bucket_count >= 30")["n"][0].as_py() == 8


def test_batches_of_any_size_give_the_same_anomalies(lived):
    """Ten seconds that land at once, as after an outage of the collector, are judged like ten batches."""
    live, late = lived(90), lived(90)
    one = live.run(10, failing=0.3)
    spans = pa.concat_tables([late.traffic.second(late.now_ns + i * S, failing=0.3) for i in range(10)])
    late.now_s += 10
    two = late.observe(spans)
    assert {a.operation for a in one} == {a.operation for a in two} == {"submit", "POST /orders"}


def test_nothing_is_learned_of_operations_in_an_incident(watch):
    """While an operation is held, neither its failures, refusals nor calls become usual; later they do."""
    api = ("api", "POST /orders", "SERVER")
    watch.run(60, refusing=0.02)
    failing, refusing, calls = (watch.the(kind) for kind in (ErrorWatch, RefusalWatch, StructureWatch))

    def known() -> list[float]:
        code = watch.windows.operations.code(api)
        errors = failing.rates.past_trials[code]
        refusals = sum(refusing.rates.past_trials[: refusing.rates.count])
        pairs = [n for n, (parent, _) in enumerate(calls.pairs) if parent == code]
        return [errors, refusals, *(r.past_trials[pairs].sum() for r in calls.rates.values())]

    watch.held = [api]
    watch.run(25)  # what had ended before is settled by then
    before = known()
    watch.held = [api]
    watch.run(40, refusing=0.3, queries=2)
    assert known() == before
    watch.held = []
    watch.run(60, refusing=0.02)
    assert all(after > kept for after, kept in zip(known(), before, strict=True))
