"""A resource that grows without end, through the real store: landed points in, an incident out."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from collector.store.store import Store
from detectors.pipeline.worker import Pipeline

POINT = """
INSERT INTO metrics_recent BY NAME
SELECT
    $batch AS batch_id, 'kx-exchange' AS service_name, $name AS metric_name,
    '' AS metric_description, 'By' AS metric_unit, 'gauge' AS metric_kind,
    make_timestamp_ns(taken) AS "time", value AS value_int, 0 AS flags,
    0 AS resource_dropped_attributes_count, '' AS resource_schema_url, '' AS scope_name, '' AS scope_version,
    0 AS scope_dropped_attributes_count, '' AS scope_schema_url
FROM (SELECT unnest($at::BIGINT[]) AS taken, unnest($values::BIGINT[]) AS value)
"""
MB = 1_000_000
QUIET = 360  # points


class Process:
    """Sends its memory every ten seconds, beside an order; lands and is judged now and then."""

    def __init__(self, system, pipeline: Pipeline, clock, store: Store) -> None:
        self.system, self.pipeline, self.clock, self.store = system, pipeline, clock, store
        self.at = system.now_ns

    def holds(self, figures: Iterable[float], name: str = "process.memory.usage") -> None:
        values = [int(figure * MB) for figure in figures]
        times = [self.at + (number + 1) * 10 * 10**9 for number in range(len(values))]
        self.at += len(values) * 10 * 10**9
        self.clock.now_s += len(values) * 10
        self.system.now_ns = self.at
        self.system.order()
        batch = self.system.land()
        with self.store.transaction() as con:
            con.execute(POINT, {"batch": batch, "name": name, "at": times, "values": values})
        self.pipeline.judge_landed(batch)

    def incidents(self) -> list[dict[str, object]]:
        return self.store.read(
            "SELECT * REPLACE (root_causes::VARCHAR AS root_causes) FROM incidents"
        ).to_pylist()


@pytest.fixture
def process(system, pipeline, clock, store) -> Process:
    """An hour of 200 MB."""
    made = Process(system, pipeline, clock, store)
    made.holds(200 + number % 5 / 5 for number in range(QUIET))
    return made


def leaking(points: int, step: float, begin: float = 200.0) -> list[float]:
    """So many MB more with each point."""
    return [begin + step * (number + 1) for number in range(points)]


def test_leak_is_one_incident_that_names_its_service(process, store):
    """SEV4, with a title and a cause that an engineer can act on, and a span that is stored."""
    process.holds(leaking(40, 3.0))
    (incident,) = process.incidents()
    assert (incident["kind"], incident["severity"], incident["services"]) == ("metric", 4, ["kx-exchange"])
    title = str(incident["title"])
    assert title.startswith("kx-exchange: process.memory.usage grew from 20")
    assert "does not level off" in title
    assert '"service": "kx-exchange"' in str(incident["root_causes"])
    found = store.read(
        "SELECT details->>'rule' AS rule, incident_id, "
        "exists(FROM spans s WHERE s.trace_id = a.trace_id AND s.span_id = a.span_id) AS stored "
        "FROM anomalies a"
    ).to_pylist()
    assert found == [{"rule": "growth", "incident_id": incident["incident_id"], "stored": True}]


def test_leak_is_open_until_it_ends(process):
    """For ten minutes without a word, since nothing is new; once the memory was freed, it is over."""
    grown = leaking(90, 2.1)
    for minute in range(0, len(grown), 6):
        process.holds(grown[minute : minute + 6])
    (incident,) = process.incidents()
    assert (incident["state"], incident["anomaly_count"]) == ("open", 1)
    for _ in range(4):
        process.holds([200.0] * 6)
    assert [incident["state"] for incident in process.incidents()] == ["resolved"]


def test_leak_that_becomes_large_is_the_same_incident(process):
    """Beyond twice the level it is SEV3."""
    process.holds(leaking(80, 6.0))
    (incident,) = process.incidents()
    assert (incident["severity"], incident["anomaly_count"]) == (3, 2)


def test_leak_outlives_a_restart(process, store, clock):
    """Its incident stays open, and becomes SEV3 when the memory has doubled."""
    grown = leaking(80, 6.0)
    process.holds(grown[:26])
    process.pipeline.learn_settled()
    process.pipeline = Pipeline(store, clock_ns=clock.time_ns, monotonic_s=clock.monotonic_s)
    for begin in range(26, 80, 9):
        process.holds(grown[begin : begin + 9])
    (incident,) = process.incidents()
    assert (incident["state"], incident["severity"], incident["anomaly_count"]) == ("open", 3, 2)
    process.pipeline.stop(1.0)


def test_what_one_service_holds_grows_together(process):
    """Heap and resident memory of a process leak one after the other: one incident."""
    process.holds(leaking(40, 3.0))
    process.at -= (QUIET + 40) * 10 * 10**9
    process.clock.now_s -= (QUIET + 40) * 10
    process.holds([*(150 + number % 5 / 5 for number in range(QUIET)), *leaking(40, 3.0, 150.0)], "jvm.heap")
    (incident,) = process.incidents()
    assert incident["anomaly_count"] == 2
