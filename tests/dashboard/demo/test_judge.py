from __future__ import annotations

from dashboard.demo.judge import Flagged, Verdict, judge

SECOND = 1_000_000_000
SLOW = {
    "kind": "db_slow",
    "root_service": "kx-exchange",
    "start_unix_nano": 100 * SECOND,
    "trace_ids": ["a", "b"],
}
WHALE = {
    "kind": "whale_order",
    "root_service": "kx-wallet",
    "start_unix_nano": 200 * SECOND,
    "trace_ids": ["w"],
}


def test_a_fault_is_detected_and_localised_by_the_incident_of_its_traces() -> None:
    """The delay runs to the first anomaly on a touched trace; the incident's first cause decides."""
    flagged = [
        Flagged("latency", "b", 103 * SECOND, "i1"),
        Flagged("latency", "a", 102 * SECOND, "i1"),
        Flagged("latency", "elsewhere", 90 * SECOND, "i0"),
    ]

    assert judge([SLOW], flagged, {"i1": "kx-exchange", "i0": "kx-wallet"}) == [
        Verdict("db_slow", "kx-exchange", True, True, 2.0, "i1")
    ]


def test_a_fault_whose_incident_names_another_service_is_not_localised() -> None:
    """Detection and localisation are judged apart."""
    verdict = judge([SLOW], [Flagged("latency", "a", 101 * SECOND, "i1")], {"i1": "kx-wallet"})[0]

    assert (verdict.detected, verdict.localised) == (True, False)


def test_an_anomaly_without_incident_detects_but_does_not_localise() -> None:
    """Without an incident nobody named a cause."""
    verdict = judge([SLOW], [Flagged("latency", "a", 101 * SECOND, None)], {})[0]

    assert (verdict.detected, verdict.localised, verdict.incident_id) == (True, False, None)


def test_a_slow_span_on_the_whale_trace_is_not_the_whale() -> None:
    """An anomaly of another kind on the same trace does not count."""
    verdict = judge([WHALE], [Flagged("latency", "w", 201 * SECOND, "i1")], {"i1": "kx-wallet"})[0]

    assert verdict == Verdict("whale_order", "kx-wallet", False, False, None, None)


def test_silence_is_not_detection() -> None:
    """Anomalies on other traces do not count."""
    verdict = judge([WHALE], [Flagged("amount", "other", 201 * SECOND, "i1")], {"i1": "kx-wallet"})[0]

    assert not verdict.detected
