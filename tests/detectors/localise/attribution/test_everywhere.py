"""Everything slower at once is said as such, and one slow operation never is."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from detectors.incidents.incident import Incident
from detectors.incidents.store import title_of
from detectors.localise import analyse
from detectors.localise.attribution.everywhere import everywhere
from detectors.localise.attribution.slowdown import Slow
from detectors.localise.evidence.everywhere import EVERYWHERE, SATURATED
from detectors.localise.evidence.metrics import METRIC_COLUMNS
from detectors.model.anomaly import LATENCY, Anomaly
from detectors.model.operation import Operation
from detectors.stats.sketch import Sketch


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


def _slow(service, name, kind, usual_ms, now_ms):
    usual = Sketch.of(np.full(50, usual_ms * 1e6))
    values = np.full(8, now_ms * 1e6)
    return Slow(Operation(service, name, kind), np.arange(8), values, usual, 1.0, 1.0, 1.0, 1.0)


# Medians of an exchange beside two processes that compute on its two processors; ms.
WORK = [
    ("api", "INSERT", "CLIENT", 0.42, 68.7), ("api", "SELECT", "CLIENT", 0.67, 68.0),
    ("api", "UPDATE", "CLIENT", 0.51, 71.5), ("api", "POST", "SERVER", 2.5, 73.5),
    ("match", "execute", "INTERNAL", 0.22, 0.25), ("match", "match", "CONSUMER", 0.6, 0.72),
]  # fmt: skip
BETWEEN = [
    ("api", "publish", "PRODUCER", 0.41, 24.8), ("gate", "balance", "CLIENT", 0.77, 87.1),
    ("client", "POST", "CLIENT", 0.83, 99.4),
]  # fmt: skip


@pytest.mark.parametrize(
    ("as_ever", "slowest_ms", "said"),
    [
        ((), 0, True),
        ((("gate", "balance"),), 0, False),
        ((("api", "SELECT"), ("api", "UPDATE")), 0, False),
        ((), 300, False),
    ],
)
def test_a_starved_processor_adds_a_turn_to_whoever_waits(as_ever, slowest_ms, said):
    """What runs through is spared. Where one edge, or statements, are as fast as ever, or one stands out,
    something else is slow."""

    def times(rows):
        found = [(*row[:4], row[3] if row[:2] in as_ever else row[4]) for row in rows]
        return [_slow(*row[:4], slowest_ms if slowest_ms and row[1] == "INSERT" else row[4]) for row in found]

    found = everywhere(times(WORK), times(BETWEEN))
    assert (found is not None) is said
    if found is not None:
        assert (found.slower, found.operations, found.services) == (6, 6, 3)
