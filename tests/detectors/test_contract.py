"""What holds of every detector that the registry lists."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest

from collector.store.store import Store
from detectors import logs, metrics, orders, spans
from detectors.baseline.models import Baselines
from detectors.baseline.sketch_index import AMOUNT, DURATION
from detectors.model.anomaly import LATENCY, Anomaly
from detectors.model.roles import Role
from detectors.pipeline import checkpoint
from detectors.pipeline.detector_set import DetectorSet
from detectors.pipeline.registry import DETECTORS
from detectors.settings import Settings
from detectors.stats.seasonality import hour_of_week
from detectors.stream.detector import Detector, Input, Rows, State, Step, Verdict
from tests.detectors import world
from tests.detectors.world import START_NS, S, Traffic

QUIET_S, BROKEN_S, DYING_S = 150, 12, 40
PAST_S, LEAK_S = 1_200, 300  # in which the memory of the shop was followed, and in which it grows


def turned(rows: pa.Table) -> pa.Table:
    """The last one first."""
    return rows.take(pa.array(range(rows.num_rows - 1, -1, -1)))


class World:
    """All detectors over a store; each anomaly with the detector that found it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.baselines = Baselines(Settings())
        self.set = DetectorSet(store, self.baselines, Settings(), 0.0)
        self.traffic, self.rng, self.at_s = Traffic(), np.random.default_rng(7), START_NS // S
        self.found: list[tuple[Detector, Anomaly]] = []
        self.is_turned = False

    def remember(self) -> None:
        """The memory of the shop before it was watched."""
        past = range(self.at_s - PAST_S, self.at_s, 10)
        self._measure([world.points(self._memory(1.0), at_s) for at_s in past])

    def leak(self) -> None:
        """Five minutes in which only the memory of the shop is heard of, and grows."""
        times = range(self.at_s, self.at_s + LEAK_S, 10)
        self._measure([world.points(self._memory(2.0 + n / 5), at_s) for n, at_s in enumerate(times)])
        self.at_s += LEAK_S

    def stop(self) -> None:
        """Nothing comes any more, for much longer than the pause before."""
        self.live(2)
        self.at_s += 6 * LEAK_S
        self._observe(self.set.step(self.traffic.second(self.at_s * S).slice(0, 0), float(self.at_s)))

    def _measure(self, points: list[pa.Table]) -> None:
        step = self.set.step(self.traffic.second(self.at_s * S).slice(0, 0), float(self.at_s))
        step.points = pa.concat_tables(points)
        self._observe(step)

    def live(self, seconds: int, *, broken: bool = False, dying: bool = False) -> None:
        """Live on. broken: nearly all goes wrong; dying: the worker is silent, the web answers at once."""
        for _ in range(seconds):
            spans = self.traffic.second(
                self.at_s * S, failing=0.3 * broken, refusing=0.3 * broken, queries=1 + 9 * broken,
                waits_ms=200.0 if broken else 1.0, slow_ms=300.0 * broken, worker_lost=dying,
                quick_ms=0.1 if dying else 9.0,
            )  # fmt: skip
            amounts = world.orders(
                self.rng, self.at_s, factor=1 + 4.0 * broken, market=1 + 0.1 * broken,
                whale=1e4 if broken else 1.0, self_trades=6 * broken,
            )  # fmt: skip
            if self.is_turned:
                spans, amounts = (turned(rows) for rows in (spans, amounts))
            step = self.set.step(spans, float(self.at_s), amounts=amounts)
            body = "ERROR no stock left" if broken else "WARN retrying card 9"
            step.lines = world.lines(body, self.at_s)
            step.points = world.points(self._memory(1.0 + (broken or dying)), self.at_s)
            self._observe(step)
            if not (broken or dying):
                self._learn(spans, amounts)
            self.at_s += 1

    def _memory(self, level: float) -> float:
        return level * 1e8 + 1e6 * float(self.rng.random())

    def _learn(self, spans: pa.Table, amounts: pa.Table) -> None:
        durations = world.learned(DURATION, spans, spans["duration_ns"].to_numpy())
        facets = [f"order|BTC|{side}" for side in amounts["side"].to_pylist()]
        quantities = world.learned(AMOUNT, amounts, amounts["amount"].to_numpy(), facets)
        waits = self.set.waits_to_learn(float(self.at_s - 5))
        self.baselines.add(pa.concat_tables([durations, quantities, waits]))

    def _observe(self, step: Step) -> None:
        before = {id(detector): detector.observe for detector in self.set.detectors}
        for detector in self.set.detectors:

            def observe(step: Step, detector: Detector = detector) -> Verdict:
                verdict = before[id(detector)](step)
                self.found += [(detector, anomaly) for anomaly in (*verdict.new, *verdict.raised)]
                return verdict

            detector.observe = observe  # type: ignore[method-assign]  # to see which one it is
        self.set.observe(step, *Input)
        for detector in self.set.detectors:
            del detector.observe

    def restart(self) -> None:
        """Go on with what is stored, as after the end of the process."""
        self.save()
        self.set = DetectorSet(self.store, self.baselines, Settings(), float(self.at_s))
        self.is_turned = True

    def save(self) -> list[State]:
        states = self.set.changed(0.0, everything=True)
        with self.store.transaction() as con:
            checkpoint.write(con, states, START_NS)
        self.set.committed(0.0)
        return states


# Twenty a second of each, as a former run has learned it in a quarter of an hour.
ARRIVALS = """
    INSERT INTO arrival_rates BY NAME
    SELECT
        service_name, operation, span_kind, ?::SMALLINT AS hour_of_week, 100.0 AS bucket_count,
        20_000.0 AS span_count, 4_040_000.0 AS square_sum, now()::TIMESTAMP AS updated_at
    FROM (
        VALUES
            ('worker', 'tick', 'INTERNAL'), ('web', 'submit', 'INTERNAL'), ('api', 'POST /orders', 'SERVER')
    ) AS known (service_name, operation, span_kind)
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = Store.open(tmp_path_factory.mktemp("contract"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def lived(store: Store) -> World:
    """After quiet minutes, a restart, and a time in which each detector has something to find; what it
    learned is stored. Since the restart the spans and orders of a second land in the opposite order."""
    with store.transaction() as con:
        con.execute(ARRIVALS, [int(hour_of_week(START_NS))])
    life = World(store)
    life.remember()
    life.live(QUIET_S)
    assert [(type(d).__name__, a.text) for d, a in life.found] == []
    life.restart()
    life.live(BROKEN_S, broken=True)
    life.live(DYING_S, dying=True)
    life.leak()
    life.stop()
    life.save()
    return life


@pytest.fixture(scope="module")
def listed(store: Store) -> list[Detector]:
    return DetectorSet(store, Baselines(Settings()), Settings(), 0.0).detectors


def test_each_detector_stands_in_the_registry_once(listed):
    """Every class that fulfils the contract, wherever it stands, has its line and a name of its own."""
    for package in (spans, logs, metrics, orders):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    written = [kind for kind in Detector.__subclasses__() if kind.__module__.startswith("detectors.")]
    assert sorted(type(one).__name__ for one in listed) == sorted(kind.__name__ for kind in written)
    assert len({one.name for one in listed}) == len(listed)


def test_each_detector_has_a_file_of_its_own(listed):
    """The file is where its package says that detectors of this input stand."""
    home = {Input.SPANS: spans, Input.ORDERS: orders, Input.LOGS: logs, Input.METRICS: metrics}
    modules = [(type(detector).__module__, home[detector.input]) for detector in listed]
    assert [m for m, package in modules if not m.startswith(f"{package.__name__}.")] == []
    assert len({module for module, _ in modules}) == len(modules)


def test_roles_are_those_that_sql_knows(listed, store):
    """Detectors that accuse an operation or open an incident do so in `detector_roles`; hints do neither."""
    rows = store.read("SELECT detector, role FROM detector_roles").to_pylist()
    known = {row["detector"]: row["role"] for row in rows}
    declared: dict[str, set[str]] = {}
    for detector in listed:
        declared.setdefault(detector.detector, set()).add(detector.role.value)
    assert declared.keys() == known.keys()
    assert {name: roles - {"hint"} for name, roles in declared.items()} == {n: {r} for n, r in known.items()}


def test_anomalies_are_what_their_detector_says(lived):
    """Each detector finds something after a restart, whatever the order of a second's rows; its anomalies
    carry its column, and open an incident by themselves where that is its role."""
    fired = {detector.name for detector, _ in lived.found}
    assert fired == {detector.name for detector in lived.set.detectors}
    for detector, anomaly in lived.found:
        assert anomaly.detector == detector.detector
        assert anomaly.is_event == (detector.role is Role.EVENT), detector.name
        assert 1 <= anomaly.severity <= 5
        assert anomaly.text or anomaly.detector in (LATENCY, AMOUNT)  # figure and unit say it


def test_a_step_without_rows_finds_and_changes_nothing(tmp_path):
    """A pass over nothing is quiet, and leaves nothing to store."""
    opened = Store.open(tmp_path)
    fresh = World(opened)
    step = fresh.set.step(fresh.traffic.second(START_NS).slice(0, 0), 0.0)
    step.lines, step.points = world.lines("x", 0).slice(0, 0), world.points(1.0, 0).slice(0, 0)
    assert fresh.set.observe(step, *Input) == ([], [], [])
    assert fresh.set.changed(0.0, everything=True) == []
    opened.close()


def test_what_is_committed_is_stored_once(lived):
    """After `committed` nothing is left to store; the next second of life changes something again."""
    assert lived.set.changed(0.0, everything=True) == []
    lived.live(70)  # what is a minute old is learned
    changed = {state.table for state in lived.set.changed(0.0, everything=True)}
    assert changed >= {"window_rates", "arrival_rates", "level_points", "crossing_rates", "price_distances"}
    lived.save()


def test_what_a_failed_write_lost_is_given_again(lived):
    """State that was asked for and never committed is asked for again, the same."""
    lived.live(5)
    first, again = (
        sorted(
            (state.table, str(state.rows.to_pylist())) for state in lived.set.changed(0.0, everything=True)
        )
        for _ in range(2)
    )
    assert first == again != []
    lived.save()


def test_state_comes_back_as_it_was_stored(lived):
    """A restored set has nothing to store, and stores the same rows when all of it is stored again."""

    def stored() -> dict[str, list[str]]:
        tables = sorted({table for detector in lived.set.detectors for table in detector.tables})
        return {
            table: sorted(
                map(str, lived.store.read(f"SELECT * EXCLUDE (updated_at) FROM {table}").to_pylist())
            )
            for table in tables
        }

    before = stored()
    again = World(lived.store)
    assert again.set.changed(0.0, everything=True) == []
    for detector in again.set.detectors:
        named = (getattr(detector, name, None) for name in ("rates", "_rates", "arrivals"))
        for learned in named:
            for one in learned.values() if isinstance(learned, dict) else [learned] if learned else []:
                one.changed[: one.count] = True
    again.save()
    assert stored() == before
    assert all(before.values())


class FirstSpan(Detector):
    """A toy: the first span of each step is an anomaly; it counts its steps."""

    name: ClassVar[str] = "first_span"
    detector: ClassVar[str] = LATENCY
    input: ClassVar[Input] = Input.SPANS
    tables: ClassVar[tuple[str, ...]] = ("first_span_steps",)

    def __init__(self) -> None:
        self.steps = self.stored = 0

    def observe(self, step: Step) -> Verdict:
        self.steps += 1
        row = step.spans.slice(0, 1).to_pylist()[0]
        return Verdict(
            [
                Anomaly(
                    f"first-{self.steps}", LATENCY, 5, 3.0, row["trace_id"], row["span_id"],
                    *("api", "x", "SERVER"), row["start_unix_nano"], row["duration_ns"],
                    *(1.0, 1.0, "ns", "operation", 1),
                )
            ]
        )  # fmt: skip

    def changed(self) -> list[State]:
        rows = pa.table({"name": [self.name], "steps": [self.steps]})
        return [State("first_span_steps", rows)] if self.steps > self.stored else []

    def committed(self) -> None:
        self.stored = self.steps

    def restore(self, rows: Rows) -> None:
        self.steps = self.stored = sum(row["steps"] for row in rows["first_span_steps"])


def test_a_detector_is_a_class_its_table_and_a_line(tmp_path: Path):
    """Added to the registry it judges, stores and is restored; nothing else has to know it."""
    opened = Store.open(tmp_path)
    with opened.transaction() as con:
        con.execute(
            "CREATE TABLE first_span_steps (name VARCHAR PRIMARY KEY, steps BIGINT, updated_at TIMESTAMP_NS)"
        )
    registry = (*DETECTORS, lambda _: FirstSpan())
    for expected in (["first-1", "first-2"], ["first-3", "first-4"]):
        made = DetectorSet(opened, Baselines(Settings()), Settings(), 0.0, registry)
        found = [
            anomaly.anomaly_id
            for second in range(2)
            for anomaly in made.observe(made.step(Traffic().second(START_NS + second * S), 0.0)).new
        ]
        assert found == expected
        with opened.transaction() as con:
            checkpoint.write(con, made.changed(100.0), START_NS)
        made.committed(100.0)
    opened.close()
