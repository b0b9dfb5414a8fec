"""What a person decides of an incident, while its trouble goes on."""

from __future__ import annotations

from collector.store.store import Store
from detectors.pipeline.worker import Pipeline

MS = 1_000_000


def rows(store: Store, sql: str) -> list[dict[str, object]]:
    return store.read(sql).to_pylist()


def slow_orders(trained: Pipeline, system, clock, passes: int) -> None:
    for _ in range(passes):
        for _ in range(30):
            system.order(db_ns=150 * MS)
        trained.judge_landed(system.land())
        clock.now_s += 1


def test_what_joins_an_acknowledged_incident_is_acknowledged(trained, system, clock, store):
    """The person on call has seen it: more of the same does not open it again."""
    slow_orders(trained, system, clock, 3)
    (incident,) = rows(store, "SELECT incident_id, anomaly_count FROM incidents")
    trained.set_incident_state(incident["incident_id"], "acknowledged")
    slow_orders(trained, system, clock, 2)
    (later,) = rows(store, "SELECT state, anomaly_count FROM incidents")
    assert later["state"] == "acknowledged"
    assert later["anomaly_count"] > incident["anomaly_count"]
    assert rows(store, "SELECT DISTINCT state FROM anomalies") == [{"state": "acknowledged"}]


def test_trouble_after_a_resolution_is_a_new_incident(trained, system, clock, store):
    """A resolved incident is over, even while the trouble goes on."""
    slow_orders(trained, system, clock, 3)
    (incident,) = rows(store, "SELECT incident_id FROM incidents")
    assert trained.set_incident_state(incident["incident_id"], "resolved")["state"] == "resolved"
    slow_orders(trained, system, clock, 3)
    states = rows(store, "SELECT state FROM incidents ORDER BY opened_at")
    assert states == [{"state": "resolved"}, {"state": "open"}]
