from __future__ import annotations

import pyarrow as pa
import pytest

from datasets.evaluate.fault_scores import Flags, by_fault_kind, case_outcome
from datasets.evaluate.localisation_scores import CaseScore


@pytest.fixture
def flags() -> Flags:
    """Two slow traces in an incident, one of them failed as well, and a lone whale."""
    rows = [
        ("a", "latency", 4, "i"),
        ("a", "latency", 3, "i"),
        ("a", "error", 2, "i"),
        ("b", "latency", 4, "i"),
        ("w", "amount", 5, None),
    ]
    names = ("trace_id", "fired", "severity", "incident_id")
    return Flags(pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))))


def test_a_case_counts_traces_that_are_labelled_anomalous(flags):
    """Kinds of anomaly are counted by trace, those on ordinary traces of the case apart."""
    labels = {"a": True, "b": True, "c": True, "w": False}
    case = case_outcome(
        "case",
        ["a", "b", "c", "w"],
        labels,
        CaseScore("slow", 2, False, False),
        flags=flags,
        flagged={"a", "b", "w"},
    )
    assert case.as_dict() == {
        "case_id": "case",
        "fault_kind": "slow",
        "detected": True,
        "in_incident": True,
        "severity": 2,
        "affected_traces": 3,
        "flagged_traces": 2,
        "alerted": True,
        "fired": {"error": 1, "latency": 2},
        "fired_beside": {"amount": 1},
        "rank": 2,
        "operation_hit": False,
    }


def test_without_labelled_traces_any_flag_counts(flags):
    """A case none of whose traces is labelled anomalous is detected by any of its traces."""
    case = case_outcome("case", ["w", "x"], {}, CaseScore("whale", 1, True, None), flags=flags, flagged=set())
    assert (case.detected, case.affected.fired, case.beside.fired) == (True, {"amount": 1}, {})


def test_kinds_of_fault_sum_up_their_cases(flags):
    """Detected, in an incident, located, in how many cases which anomalies fired, and what was missed."""
    labels = {"a": True, "b": True, "quiet": True}
    cases = [
        case_outcome(
            "one", ["a", "b"], labels, CaseScore("slow", 1, True, True), flags=flags, flagged={"a", "b"}
        ),
        case_outcome(
            "two", ["quiet", "w"], labels, CaseScore("slow", None, False, False), flags=flags, flagged={"w"}
        ),
    ]
    assert by_fault_kind(cases) == {
        "slow": {
            "n": 2,
            "detected": 1,
            "alerted": 1,
            "in_incident": 1,
            "flagged_share": 0.6667,
            "first": 1,
            "in_first_three": 1,
            "operation_first": 1,
            "operation_named": 2,
            "fired": {"error": 1, "latency": 1},
            "fired_beside_if_missed": {"amount": 1},
            "missed": ["two"],
        }
    }
