from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dashboard.triage import Filters, Subject, likely_cause, passes, sections
from tests.dashboard.shop_rows import page_of_groups

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


def groups(*rows: dict[str, Any]) -> dict[str, Any]:
    return page_of_groups(
        [{"trace_id": "t", "span_id": "s", "span_kind": "SERVER", **row} for row in rows], 50, 0
    )


def test_an_incident_stands_for_its_anomalies() -> None:
    """Five hundred anomalies of one fault take one row, and a whale beside them stays in sight."""
    whale = anomaly("w", detector="amount", severity=4)
    shown = sections([incident("i1", severity=1)], groups(whale), Filters(), NOW)
    assert ids(shown) == [[], ["incident:i1"], ["anomaly:w"], [], []]
    note = shown[1]["items"][0]["note"]
    assert note.startswith("500 anomalies, quiet for 30 s, closes by 12:01:30 UTC · likely shop · pay (84%")


def test_ongoing_recovering_and_over_are_told_apart() -> None:
    """Ongoing incidents come first, then quiet ones; whales never take an incident's place."""
    rows = [
        incident("quiet", last_seen_at="2026-11-20T11:59:00Z", severity=1),
        incident("loud", last_seen_at="2026-11-20T11:59:55Z"),
        incident("whale", kind="amount", severity=1, last_seen_at="2026-11-20T11:59:59Z"),
        incident("over", state="resolved", last_seen_at="2026-11-20T11:00:00Z"),
    ]
    shown = sections(rows, groups(), Filters(), NOW)
    assert ids(shown) == [["incident:loud"], ["incident:quiet"], [], ["incident:whale"], ["incident:over"]]
    assert [section["title"] for section in shown] == [
        "Ongoing (1)",
        "Recovering (1)",
        "Single anomalies by operation (0)",
        "Whales and other events (1)",
        "Over, last 24 h (1)",
    ]


def test_what_ended_lately_stays_at_the_end_of_the_active_queue() -> None:
    """A whale that resolved itself an hour ago is still found; one of last week is not."""
    ended = incident("i1", state="resolved", last_seen_at="2026-11-20T11:00:00Z")
    old = incident("i2", state="resolved", last_seen_at="2026-11-13T11:00:00Z")
    assert ids(sections([ended, old], groups(), Filters(), NOW))[-1] == ["incident:i1"]
    resolved = sections([ended, old], groups(), Filters(state="resolved"), NOW)
    assert sorted(ids(resolved)[-1]) == ["incident:i1", "incident:i2"]


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


def test_a_subject_survives_the_address() -> None:
    """A choice is written and read back."""
    assert Subject.parse(str(Subject("anomaly", "x:y"))) == Subject("anomaly", "x:y")
