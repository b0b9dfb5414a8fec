from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dashboard.triage import (
    Filters,
    Subject,
    by_urgency,
    likely_cause,
    passes,
    sections,
    standing_for,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def anomaly(identifier: str, **changes: Any) -> dict[str, Any]:
    row = {
        "anomaly_id": identifier,
        "detector": "latency",
        "severity": 3,
        "sigma": 5.0,
        "service_name": "shop",
        "operation": "pay",
        "observed": 2e6,
        "expected": 1e6,
        "unit": "ns",
        "state": "open",
        "incident_id": None,
        "detected_at": "2026-11-20T11:59:00Z",
        "details": {},
    }
    return row | changes


def incident(identifier: str, **changes: Any) -> dict[str, Any]:
    row = {
        "incident_id": identifier,
        "kind": "latency",
        "severity": 3,
        "state": "open",
        "title": "slow",
        "services": ["shop"],
        "anomaly_count": 500,
        "trace_count": 1,
        "last_seen_at": "2026-11-20T11:59:30Z",
        "root_causes": [{"rank": 1, "service": "shop", "operation": "pay", "share": 0.84}],
    }
    return row | changes


def ids(shown: list[dict[str, Any]]) -> list[list[str]]:
    return [[item["id"] for item in section["items"]] for section in shown]


def test_worst_severity_first_then_most_sigma_then_newest() -> None:
    """The queue's order is urgency."""
    rows = [
        anomaly("old", detected_at="2026-11-20T10:00:00Z"),
        anomaly("new"),
        anomaly("strong", sigma=6.0),
        anomaly("worst", severity=1, sigma=3.0),
    ]
    assert [row["anomaly_id"] for row in by_urgency(rows)] == ["worst", "strong", "new", "old"]


def test_an_incident_stands_for_its_anomalies() -> None:
    """Five hundred anomalies of one fault take one row, and a whale beside them stays in sight."""
    flood = [anomaly(f"a{n}", incident_id="i1", severity=1) for n in range(500)]
    whale = anomaly("w", detector="amount", severity=4)
    shown = sections([incident("i1", severity=1)], [*flood, whale], Filters(), NOW)
    assert ids(shown) == [["incident:i1"], ["anomaly:w"], []]
    assert shown[0]["items"][0]["note"] == "500 anomalies in 1 trace · likely shop · pay (84% of the excess)"


def test_what_ended_lately_stays_at_the_end_of_the_active_queue() -> None:
    """A whale that resolved itself an hour ago is still found; one of last week is not; its anomalies never
    come back as single ones."""
    ended = incident("i1", state="resolved", last_seen_at="2026-11-20T11:00:00Z")
    old = incident("i2", state="resolved", last_seen_at="2026-11-13T11:00:00Z")
    shown = sections([ended, old], [anomaly("a", incident_id="i1")], Filters(), NOW)
    assert ids(shown) == [[], [], ["incident:i1"]]
    assert ids(sections([ended, old], [], Filters(state="resolved"), NOW)) == [
        ["incident:i1", "incident:i2"],
        [],
    ]


def test_each_filter_narrows() -> None:
    """Severity, service, detector, state and text each exclude a row that does not fit."""
    row = anomaly("a", trace_id="5a5a")
    fitting = [
        Filters(),
        Filters(severities=(2, 3)),
        Filters(service="shop"),
        Filters(detector="latency"),
        Filters(state="open"),
        Filters(state="all"),
        Filters(text="PAY 5a5a"),
    ]
    excluding = [
        Filters(severities=(1,)),
        Filters(service="bank"),
        Filters(detector="amount"),
        Filters(state="snoozed"),
        Filters(text="pay whale"),
    ]
    assert [passes(row, filters) for filters in fitting] == [True] * 7
    assert [passes(row, filters) for filters in excluding] == [False] * 5


def test_whale_is_found_by_that_word() -> None:
    """Someone who looks for the whale types whale."""
    assert passes(anomaly("w", detector="amount"), Filters(text="whale"))


def test_no_cause_is_invented() -> None:
    """An incident without causes names none; one without a share gives no percentage."""
    assert likely_cause({"root_causes": []}) == ""
    assert likely_cause({"root_causes": [{"service": "s", "operation": None, "share": None}]}) == "s"


def test_an_anomaly_of_an_incident_marks_that_incident() -> None:
    """The queue marks the row behind which the open anomaly stands."""
    rows = [anomaly("a", incident_id="i1"), anomaly("b")]
    assert standing_for(Subject("anomaly", "a"), rows) == Subject("incident", "i1")
    assert standing_for(Subject("anomaly", "b"), rows) == Subject("anomaly", "b")
    assert Subject.parse(str(Subject("anomaly", "x:y"))) == Subject("anomaly", "x:y")
