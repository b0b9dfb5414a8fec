"""Window detectors through the real store: landed rows in, anomalies and incidents out."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from collector.store.store import Store
from detectors.pipeline.worker import Pipeline

MS = 1_000_000
STORED = """
SELECT count(*) AS n FROM anomalies a
WHERE NOT EXISTS (FROM spans s WHERE s.trace_id = a.trace_id AND s.span_id = a.span_id)
"""
LOG = """
INSERT INTO logs_recent BY NAME
SELECT
    $batch AS batch_id, make_timestamp_ns($at) AS "time", "time" AS observed_time, $trace_id AS trace_id,
    $span_id AS span_id, 0 AS flags, 'kx-exchange' AS service_name, 17 AS severity_number,
    'ERROR' AS severity_text, '' AS event_name, ('no rows for order ' || $at)::VARIANT AS body,
    0 AS dropped_attributes_count, 0 AS resource_dropped_attributes_count, '' AS resource_schema_url,
    '' AS scope_name, '' AS scope_version, 0 AS scope_dropped_attributes_count, '' AS scope_schema_url
"""
METRIC = """
INSERT INTO metrics_recent BY NAME
SELECT
    $batch AS batch_id, 'kx-exchange' AS service_name, 'queue.depth' AS metric_name,
    '' AS metric_description, '{message}' AS metric_unit, 'gauge' AS metric_kind,
    make_timestamp_ns($at) AS "time", $value::DOUBLE AS value_double, 0 AS flags,
    '{"queue": "orders"}'::JSON::VARIANT AS attributes, 0 AS resource_dropped_attributes_count,
    '' AS resource_schema_url, '' AS scope_name, '' AS scope_version, 0 AS scope_dropped_attributes_count,
    '' AS scope_schema_url
"""


def rows(store: Store, sql: str) -> list[dict[str, object]]:
    return store.read(sql).to_pylist()


@pytest.fixture
def watched(system, pipeline, clock) -> Pipeline:
    """A pipeline that has seen 28 s of 50 orders a second, of which 8 are learned."""
    for _ in range(28):
        for _ in range(50):
            system.order()
        pipeline.judge_landed(system.land())
        clock.now_s += 1
        if clock.now_s % 5 == 0:
            pipeline.learn_settled()
    return pipeline


def live(watched, system, clock, seconds: int, share: int = 0) -> None:
    """Some seconds in which every `share`th order fails."""
    for _ in range(seconds):
        for number in range(50):
            system.order(failed=bool(share) and number % share == 0)
        watched.judge_landed(system.land())
        clock.now_s += 1


def test_failing_calls_become_one_incident_that_says_so(watched, system, clock, store):
    """Every third query fails, at its usual speed: one incident names the operation within two seconds."""
    live(watched, system, clock, 2, share=3)
    (incident,) = rows(store, "SELECT *, root_causes::VARCHAR AS causes FROM incidents")
    assert incident["kind"] == "error"
    assert incident["title"].startswith("SELECT wallets in kx-exchange: ")
    assert "calls failed in 2 s" in incident["title"]
    assert '"operation": "SELECT wallets"' in str(incident["causes"])
    found = rows(store, "SELECT DISTINCT detector, operation, unit FROM anomalies WHERE detector = 'error'")
    assert found == [{"detector": "error", "operation": "SELECT wallets", "unit": "share"}]
    assert rows(store, STORED) == [{"n": 0}]


def test_judging_failed_calls_again_stores_nothing_twice(watched, system, clock, store, monkeypatch):
    """A pass that could not be written is judged again, from what had been learned by then."""
    watched.detection.save(clock.now_s, clock.time_ns())

    def fail(*_args: object) -> None:
        raise RuntimeError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr("detectors.pipeline.writer.save_positions", fail)
        with pytest.raises(RuntimeError, match="disk full"):
            live(watched, system, clock, 1, share=3)
    live(watched, system, clock, 4, share=3)
    (incident,) = rows(store, "SELECT anomaly_count FROM incidents")
    stored = rows(store, "SELECT count(*) AS n FROM anomalies WHERE incident_id IS NOT NULL")
    assert incident["anomaly_count"] == stored[0]["n"] > 0


def test_spans_of_an_incident_of_errors_are_not_learned(watched, system, clock, store):
    """Of a fault nothing is learned, not even its good calls; of what was before it, everything."""
    live(watched, system, clock, 6, share=2)
    clock.now_s += 10
    watched.learn_settled()
    before = rows(
        store,
        "SELECT count(*) AS n FROM spans WHERE span_name = 'SELECT wallets' "
        "AND start_time < (SELECT min(first_span_time) FROM incidents)",
    )
    learned = "SELECT sum(sample_count)::BIGINT AS n FROM baseline_sketches WHERE NOT flagged"
    counted = rows(store, f"{learned} AND measure = 'duration' AND operation = 'SELECT wallets'")
    assert counted[0]["n"] == before[0]["n"] < system.trace_count


def test_new_error_line_is_found_at_its_span(watched, system, clock, store):
    """Lines of an unknown kind, at error level, from the spans that wrote them."""
    for _ in range(4):
        written = [system.order() for _ in range(50)][:5]
        batch = system.land()
        with store.transaction() as con:
            for trace_id in written:
                span_id = f"{int(trace_id, 16) * 16 + 2:016x}"
                at = system.now_ns - 500 * MS
                con.execute(LOG, {"batch": batch, "at": at, "trace_id": trace_id, "span_id": span_id})
        watched.judge_landed(batch)
        clock.now_s += 1
    found = rows(
        store,
        "SELECT DISTINCT operation, details->>'template' AS template FROM anomalies WHERE detector = 'log'",
    )
    assert found == [{"operation": "POST /api/v1/orders", "template": "no rows for order *"}]
    assert rows(store, STORED) == [{"n": 0}]


def test_metric_that_changes_its_level_is_a_lone_anomaly(watched, system, clock, store):
    """A queue that fills is SEV4 at most, at a span of its service, and no incident."""
    for number in range(70):
        system.order()
        batch = system.land()
        value = 900.0 if number >= 60 else 40.0 + number % 7
        with store.transaction() as con:
            con.execute(METRIC, {"batch": batch, "at": system.now_ns + number * 10**9, "value": value})
        watched.judge_landed(batch)
    (found,) = rows(store, "SELECT severity, operation, incident_id, details->>'text' AS said FROM anomalies")
    assert found["severity"] >= 4
    assert (found["operation"], found["incident_id"]) == ("queue.depth", None)
    assert "queue" in str(found["said"])
    assert rows(store, STORED) == [{"n": 0}]


def test_metric_that_moved_meanwhile_is_evidence(watched, system, clock, store):
    """An incident of failing calls names the connections of its service that rose in the same seconds."""
    before = [(number - 60, 40.0 + number % 7) for number in range(60)]
    for points in (before, *([(0, 900.0)] for _ in range(6))):
        for order in range(50):
            system.order(failed=points is not before and order % 3 == 0)
        batch = system.land()
        with store.transaction() as con:
            for after_s, value in points:
                at = system.now_ns + after_s * 10**9
                con.execute(METRIC, {"batch": batch, "at": at, "value": value})
        watched.judge_landed(batch)
        clock.now_s += 1
    clock.now_s += 20
    watched.end_quiet_incidents()
    (incident,) = rows(store, "SELECT kind, root_causes::VARCHAR AS causes FROM incidents")
    assert incident["kind"] == "error"
    first = json.loads(str(incident["causes"]))[0]
    assert (first["service"], first["operation"]) == ("kx-exchange", "SELECT wallets")
    said = [item["text"] for item in first["evidence"] if item["kind"] == "metric"]
    assert len(said) == 1
    assert "went from 42.5 message to 900 message" in said[0]


def test_recalculation_keeps_what_spans_alone_cannot_tell(watched, store):
    """Gaps were measured as messages landed; learning all spans again does not forget them."""
    waits = (
        "INSERT INTO baseline_sketches VALUES ('message_wait', 'a', 'b', 'CONSUMER', '', 5, false, 100, 7)"
    )
    with store.transaction() as con:
        con.execute(waits)
    watched.recalculate()
    kept = rows(store, "SELECT sample_count FROM baseline_sketches WHERE measure = 'message_wait'")
    assert kept == [{"sample_count": 7}]


def test_learned_rates_are_there_for_sql(watched, store):
    """Sample counts and rates of every operation, after half a minute."""
    watched.detection.save(0.0, 0)
    learned = rows(
        store,
        "SELECT operation, trial_count > 200 AS ready, hit_count FROM window_rates WHERE measure = 'error'"
        " ORDER BY operation",
    )
    assert learned == [
        {"operation": name, "ready": True, "hit_count": 0.0}
        for name in ("POST /api/v1/orders", "SELECT wallets", "order.submit.client")
    ]


def test_slow_looks_at_causes_leave_detection_its_time(watched, system, clock, monkeypatch):
    """While a look at an incident's causes takes two seconds, the next one waits for ten."""
    finder, looks = watched.causes, []
    analyse = finder.analyse

    def slow(incident, watched_incident):
        looks.append(clock.now_s)
        clock.now_s += 2
        return analyse(incident, watched_incident)

    monkeypatch.setattr(finder, "analyse", slow)
    live(watched, system, clock, 20, share=3)
    pauses = [later - earlier for earlier, later in pairwise(looks)]
    assert pauses
    assert min(pauses) >= 10
