from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from collector.store.store import Store
from detectors.pipeline.worker import Pipeline
from detectors.settings import Settings
from tests.detectors.conftest import Clock, Learned, System

pytestmark = pytest.mark.long

MS = 1_000_000
# A pass is a quarter of an hour here: what is found in the next one still belongs to the same incident.
SETTINGS = Settings(detect_learn_delay_s=0.0, incident_resolve_s=1_000.0)
HOUR_S = 3_600
PASS_S = 900
OPERATION = "SELECT wallets"
VERSIONS = f"SELECT * FROM baseline_versions WHERE operation = '{OPERATION}' ORDER BY adopted_at"


def rows(store: Store, sql: str) -> list[dict[str, object]]:
    return store.read(sql).to_pylist()


@dataclass
class Days:
    """Hours of a shop whose database takes about 50 ms, an order every 15 s; the clock goes with it."""

    pipeline: Pipeline
    system: System
    clock: Clock
    store: Store

    def live(
        self,
        hours: float,
        factor: Callable[[float], float] = lambda _: 1.0,
        failed_share: float = 0.0,
        gap_s: float = 15.0,
    ) -> None:
        """Args: factor: of the database's usual time, by hours since the call."""
        rng, begun_s = self.system.rng, self.clock.now_s
        for number in range(1, int(hours * HOUR_S / PASS_S) + 1):
            for i in range(int(PASS_S / gap_s)):
                at_s = begun_s + (number - 1) * PASS_S + i * gap_s
                self.system.now_ns = self.system_ns(at_s)
                slower = factor((at_s - begun_s) / HOUR_S)
                db_ns = int(50 * MS * slower * math.exp(0.1 * rng.standard_normal()))
                self.system.order(db_ns=db_ns, failed=rng.random() < failed_share)
            self.clock.now_s = begun_s + number * PASS_S
            self.pipeline.judge_landed(self.system.land())
            self.pipeline.learn_settled()

    def system_ns(self, at_s: float) -> int:
        return 1_790_000_000 * 10**9 + int(at_s * 1e9)

    @property
    def p50_ms(self) -> float:
        whole = f"FROM baselines WHERE operation = '{OPERATION}' AND cell = 'operation'"
        (row,) = rows(self.store, f"SELECT p50_ns / 1e6 AS p50 {whole}")
        return row["p50"]


@pytest.fixture
def settings() -> Settings:
    return SETTINGS


def two_hours(folder: Path) -> Days:
    """Two hours of normal traffic are learned, in a new folder."""
    store, clock = Store.open(folder), Clock()
    pipeline = Pipeline(store, SETTINGS, clock_ns=clock.time_ns, monotonic_s=clock.monotonic_s)
    known = Days(pipeline, System(store), clock, store)
    known.live(2)
    return known


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Learned:
    folder = tmp_path_factory.mktemp("learned")
    days = two_hours(folder)
    days.store.close()
    return Learned(folder, days.clock, days.system)


@pytest.fixture
def days(pipeline, system, clock, store) -> Days:
    """Two hours of normal traffic have been learned, and the server has been started again."""
    return Days(pipeline, system, clock, store)


def test_a_deploy_that_is_slower_for_good_becomes_normal(days, system, store):
    """After two stable hours the new level is the baseline, with what was deployed, and all is quiet."""
    system.version = "1.1"
    days.live(2.75, lambda _: 1.8)
    (version,) = rows(store, VERSIONS)
    assert (version["reason"], version["way"], version["measure"]) == ("deploy", "replaced", "duration")
    assert version["from_value"] == pytest.approx(50e6, rel=0.05)
    assert version["to_value"] == pytest.approx(90e6, rel=0.05)
    assert '"attribute": "service.version", "before": ["1.0"], "after": ["1.1"]' in version["evidence"]
    assert days.p50_ms == pytest.approx(90, rel=0.05)
    flagged = rows(store, "SELECT count(*) AS n FROM anomalies")[0]["n"]
    days.live(1, lambda _: 1.8)
    assert rows(store, "SELECT count(*) AS n FROM anomalies")[0]["n"] - flagged <= 3
    assert rows(store, "SELECT DISTINCT state FROM incidents") == [{"state": "resolved"}]


def test_a_deploy_that_is_faster_is_adopted_too(days, system, store):
    """An improvement is a new normal: the next time it is as slow as before, that is news."""
    system.version = "1.1"
    days.live(2.75, lambda _: 0.5)
    (version,) = rows(store, VERSIONS)
    assert version["reason"] == "deploy"
    assert days.p50_ms == pytest.approx(25, rel=0.05)


def test_a_fault_of_hours_is_not_learned(days, store):
    """Three hours of a slow database without any deploy leave the baseline as it was."""
    days.live(3, lambda _: 1.8)
    days.live(1)
    assert rows(store, VERSIONS) == []
    assert days.p50_ms == pytest.approx(50, rel=0.03)


def test_a_deploy_that_fails_is_not_adopted(days, system, store):
    """A version that answers slowly and with errors is a bad one, however long it runs."""
    system.version = "1.1"
    days.live(3, lambda _: 1.8, failed_share=0.1)
    assert rows(store, VERSIONS) == []


def test_what_rises_on_and_on_is_not_adopted(days, system, store):
    """A leak that began with a deploy is no level."""
    system.version = "1.1"
    days.live(3.5, lambda hours: 1.4 + 0.5 * hours)
    assert rows(store, VERSIONS) == []


def test_an_open_incident_from_before_hinders_a_deploy(days, system, store):
    """While somebody looks into an operation its baseline stays; after that the deploy is adopted."""
    days.live(0.5, lambda _: 3.0)
    (incident,) = rows(store, "SELECT incident_id FROM incidents")
    system.version = "1.1"
    days.pipeline.set_incident_state(incident["incident_id"], "acknowledged")
    days.pipeline.set_incident_state(incident["incident_id"], "open")  # reopened: only a person ends it
    days.live(2.75, lambda _: 1.8)
    assert rows(store, VERSIONS) == []
    days.pipeline.set_incident_state(incident["incident_id"], "resolved")
    days.live(0.5, lambda _: 1.8)
    assert [version["reason"] for version in rows(store, VERSIONS)] == ["deploy"]


def test_an_engineer_is_believed_at_once(days, store):
    """An expected level becomes the baseline within the call, and its incident ends."""
    days.live(1, lambda _: 1.8)
    (incident,) = rows(store, "SELECT incident_id FROM incidents")
    answer = days.pipeline.expect_incident(incident["incident_id"], "kim")
    assert answer["incident"]["state"] == "resolved"
    assert any(line.startswith("SELECT wallets in kx-exchange: engineer") for line in answer["adopted"])
    (version,) = rows(store, VERSIONS)
    assert '"said_by": "kim"' in version["evidence"]
    flagged = rows(store, "SELECT count(*) AS n FROM anomalies")[0]["n"]
    days.live(1, lambda _: 1.8)
    assert rows(store, "SELECT count(*) AS n FROM anomalies")[0]["n"] - flagged <= 3


def test_what_an_engineer_expected_and_is_over_is_added(days, store):
    """A nightly backup is one of the normal things: the old level stays, and the slow spans are known."""
    days.live(0.5, lambda _: 1.8)
    days.live(1)
    (incident,) = rows(store, "SELECT incident_id, state FROM incidents")
    assert incident["state"] == "resolved"
    days.pipeline.expect_incident(incident["incident_id"], None)
    (version,) = rows(store, VERSIONS)
    assert version["way"] == "added"
    assert days.p50_ms == pytest.approx(50, rel=0.05)


def test_an_expected_error_rate_is_usual_at_once(tmp_path):
    """Calls that fail once in five, because a partner is gone for good, are quiet after a word."""
    days = two_hours(tmp_path / "mine")
    store = days.store
    days.live(1, failed_share=0.2, gap_s=1.0)
    (incident,) = rows(store, "SELECT incident_id FROM incidents WHERE kind = 'error'")
    days.pipeline.expect_incident(incident["incident_id"], "kim")
    (version,) = rows(store, VERSIONS)
    assert version["measure"] == "error"
    assert version["to_value"] == pytest.approx(0.2, abs=0.04)
    flagged = rows(store, "SELECT count(*) AS n FROM anomalies WHERE detector = 'error'")[0]["n"]
    days.live(1, failed_share=0.2, gap_s=1.0)
    assert rows(store, "SELECT count(*) AS n FROM anomalies WHERE detector = 'error'")[0]["n"] == flagged
    store.close()


def test_an_adopted_level_survives_a_restart_and_a_recalculation(days, system, store, settings, clock):
    """Sketches, levels and versions are stored; learning all spans again forgets the old level too."""
    system.version = "1.1"
    days.live(3, lambda _: 1.8)
    later = Pipeline(store, settings, clock_ns=clock.time_ns, monotonic_s=clock.monotonic_s)
    model = later.baselines.duration("kx-exchange", OPERATION, "CLIENT", 0)
    assert model is not None
    assert model.tail.p50 == pytest.approx(90e6, rel=0.05)
    later.recalculate()
    assert days.p50_ms == pytest.approx(90, rel=0.05)
    assert rows(store, "SELECT count(*) > 0 AS many FROM operation_levels") == [{"many": True}]


CREPT = """
INSERT INTO operation_levels
SELECT
    'kx-exchange', ?, 'CLIENT', make_timestamp_ns(1790000000000000000 + i * 900000000000),
    100, 0, 52e6, 58e6, 50e6, 56e6
FROM range(-90, 5) r(i)
"""
INCIDENT = """
INSERT INTO incidents
SELECT
    'known', 'latency', ?, 4, 'slow', t, t, t, t, 1, 1, 'a', ['kx-exchange'], '[]'
FROM (SELECT make_timestamp_ns(1790000000000000000) AS t)
"""
ANOMALY = """
INSERT INTO anomalies
SELECT
    'a', t, 'latency', 4, 4.5, 'a', 'b', 'kx-exchange', ?, 'CLIENT', t, 1, 1, 1, 'ns', 'operation', 100, '{}',
    'open', t, 'known'
FROM (SELECT make_timestamp_ns(1790000000000000000) AS t)
"""


@pytest.fixture
def crept(days, store, settings, clock) -> Days:
    """The database has been 4% slower than its baseline for a day, which a restart remembers."""
    with store.transaction() as con:
        con.execute("DELETE FROM operation_levels")
        con.execute(CREPT, [OPERATION])
    days.pipeline = Pipeline(store, settings, clock_ns=clock.time_ns, monotonic_s=clock.monotonic_s)
    return days


def test_slow_drift_is_followed_a_bucket_at_a_time(crept, store):
    """The whole history moves by 2% with all its hours, once, however often it is looked at."""
    before = crept.p50_ms
    crept.live(1, lambda _: 1.04)
    (version,) = rows(store, VERSIONS)
    assert (version["reason"], version["way"]) == ("drift", "rescaled")
    assert version["to_value"] == pytest.approx(version["from_value"] * 1.02)
    assert crept.p50_ms == pytest.approx(before * 1.02, rel=0.021)  # one bucket is 2%
    (level,) = rows(  # those of before; a quarter of this hour holds 60
        store,
        "SELECT DISTINCT usual_p50_ns AS p50 FROM operation_levels "
        f"WHERE operation = '{OPERATION}' AND sample_count = 100",
    )
    assert level["p50"] == pytest.approx(51e6)


@pytest.mark.parametrize("state", ["open", "acknowledged"])
def test_no_drift_is_followed_during_an_incident(crept, store, state):
    """While anything is wrong with an operation its baseline does not creep."""
    with store.transaction() as con:
        con.execute(INCIDENT, [state])
        con.execute(ANOMALY, [OPERATION])
    crept.live(1, lambda _: 1.04)
    assert rows(store, VERSIONS) == []


def test_drift_can_be_switched_off(days, store, clock):
    """With 0 a day nothing creeps."""
    with store.transaction() as con:
        con.execute(CREPT, [OPERATION])
    settings = Settings(detect_learn_delay_s=0.0, baseline_drift_per_day=0.0)
    days.pipeline = Pipeline(store, settings, clock_ns=clock.time_ns, monotonic_s=clock.monotonic_s)
    days.live(1, lambda _: 1.04)
    assert rows(store, VERSIONS) == []
