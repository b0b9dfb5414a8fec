"""Everything slower at once is said as such, and one slow operation never is."""

from __future__ import annotations

import pyarrow as pa
import pytest

from detectors.incidents.incident import Incident
from detectors.incidents.store import title_of
from detectors.localise import analyse
from detectors.localise.evidence.everywhere import EVERYWHERE, SATURATED
from detectors.localise.evidence.metrics import METRIC_COLUMNS
from detectors.model.anomaly import LATENCY, Anomaly


def _stretch(spans, factor):
    """All times of these spans, `factor` times as long."""
    for span in spans:
        span["start_unix_nano"] *= factor
        span["duration_ns"] *= factor


def _kinds(causes):
    return [item["kind"] for item in causes[0]["evidence"]] if causes else []


def test_everything_slower_accuses_nobody(shop, causes):
    """With all operations three times as slow, the first evidence says so and no cause is sure."""
    for number in range(8):
        shop.trace(api_ms=2 + number % 3)
    _stretch(shop.spans, 3)
    found = causes()
    assert found[0]["evidence"][0]["text"] == (
        "4 of 4 operations in 3 services take 3.0 times their usual own time, and none stands out"
    )
    assert {cause["confidence"] for cause in found} == {"low"}


@pytest.mark.parametrize("fault", [{"db_ms": 60}, {"api_ms": 60}, {"gap_ms": 80}, {"db_ms": 9, "api_ms": 9}])
def test_one_slow_operation_is_not_everything(shop, causes, fault):
    """A slow statement, service or network is its own cause, however long its callers wait."""
    for _ in range(8):
        shop.trace(**fault)
    assert EVERYWHERE not in _kinds(causes())


def test_one_that_stands_out_is_named(shop, causes):
    """Where all are slower and one is far slower than the rest, that one is the cause."""
    for number in range(8):
        shop.trace(api_ms=2 + number % 3, db_ms=40)
    _stretch(shop.spans, 2)
    found = causes()
    assert EVERYWHERE not in _kinds(found)
    assert (found[0]["service"], found[0]["confidence"]) == ("stock", "normal")


def test_a_few_spans_are_not_everything(shop, causes):
    """One stall that met two requests says nothing of everything."""
    for _ in range(2):
        shop.trace()
    _stretch(shop.spans, 4)
    assert EVERYWHERE not in _kinds(causes())


@pytest.mark.parametrize(
    ("metric", "title"),
    [
        (
            "system.cpu.utilization",
            "Host saturated: node-1: system.cpu.utilization is 0.98, usually 0.3; everything takes 3.0",
        ),
        ("db.client.connection.count", "Everything slower: 4 of 4 operations in 3 services take 3.0 times"),
        ("process.memory.usage", "Everything slower: 4 of 4 operations in 3 services take 3.0 times"),
        ("http.server.active_requests", "Everything slower: 4 of 4 operations in 3 services take 3.0 times"),
    ],
)
def test_a_saturated_host_is_named(shop, usual, metric, title):
    """A machine's load that rose meanwhile stands in the title; what a program uses does not."""
    for number in range(8):
        shop.trace(api_ms=2 + number % 3)
    _stretch(shop.spans, 3)
    row = {
        "service_name": "node-1", "metric_name": metric, "sigma": 6.0, "observed": 0.98, "expected": 0.3,
        "unit": "1", "text": f"{metric} is 0.98, usually 0.3", "trace_id": "m", "span_id": "m",
    }  # fmt: skip
    moved = pa.table({name: [row[name]] for name in METRIC_COLUMNS})
    found = analyse(shop.span_table(), usual, shop.log_table(), moved=moved).causes
    assert (SATURATED in _kinds(found)) == title.startswith("Host")
    incident = Incident("i", LATENCY, 0, 0.0, 0)
    incident.take(
        Anomaly(
            "a", LATENCY, 3, 5.0, "t", "s", "stock", "api", "SERVER", 0, 1, 9e6, 3e6, "ns", "all", 50, {}
        ),
        0,
    )
    assert title_of(incident, found).startswith(title)
