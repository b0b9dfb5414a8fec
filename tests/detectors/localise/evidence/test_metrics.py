"""Metrics as evidence: they decide where spans and logs say little."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from detectors.localise import localise
from detectors.localise.evidence.metrics import METRIC_COLUMNS, metrics
from detectors.localise.traces import Traces

GROWN = "process.memory.usage went from 140 MB to 260 MB"


def moved(*rows: tuple[str, str, float]) -> pa.Table:
    """Metrics of (service, name, sigma)."""
    table: dict[str, list[Any]] = {name: [] for name in METRIC_COLUMNS}
    for service, name, sigma in rows:
        said: dict[str, Any] = {
            "service_name": service,
            "metric_name": name,
            "sigma": sigma,
            "observed": 260e6,
            "expected": 140e6,
            "unit": "By",
            "text": f"{name} went from 140 MB to 260 MB",
            "trace_id": "t",
            "span_id": "s",
        }
        for column, value in said.items():
            table[column].append(value)
    return pa.table(table)


@pytest.fixture
def ordinary(shop):
    """Traces as they usually are."""
    for _ in range(20):
        shop.trace()
    return shop


def test_memory_that_grows_names_its_service_where_spans_say_nothing(ordinary, usual):
    """The evidence is the sentence with its figures, and the metric stands for an operation."""
    ranked = localise(
        ordinary.span_table(),
        usual,
        ordinary.log_table(),
        moved=moved(("price", "process.memory.usage", 3.6)),
    )
    first = ranked[0]
    assert (first["service"], first["operation"], first["kind"]) == (
        "price",
        "process.memory.usage",
        "metric",
    )
    (item,) = first["evidence"]
    assert (item["text"], item["observed"], item["expected"]) == (GROWN, 260e6, 140e6)


def test_slow_spans_outweigh_a_metric(shop, usual):
    """A query that takes 300 times as long is the cause, whatever moves elsewhere; its operation is named."""
    for _ in range(20):
        shop.trace(db_ms=300)
    both = moved(("price", "process.memory.usage", 4.9), ("stock", "db.client.connection.count", 4.9))
    for told in (both, both.slice(0, 1)):
        first = localise(shop.span_table(), usual, shop.log_table(), moved=told)[0]
        assert (first["service"], first["operation"]) == ("stock", "SELECT stock")


def test_metrics_of_a_whole_process_do_not_outvote_spans(shop, usual):
    """A query that is eight times slower, and memory and processor of another service at the same time."""
    for _ in range(20):
        shop.trace(db_ms=8)
    told = moved(("price", "process.memory.usage", 8.0), ("price", "process.cpu.time", 8.0))
    ranked = localise(shop.span_table(), usual, shop.log_table(), moved=told)
    assert ranked[0]["service"] == "stock"


def test_resources_count_more_than_what_the_application_measures(ordinary, usual):
    """A surer shift of a duration is weaker than memory."""
    traces = Traces.of(ordinary.span_table(), usual)
    found = metrics(
        moved(("shop", "http.server.request.duration", 4.9), ("price", "process.memory.usage", 3.2)), traces
    )
    assert found.services["price"] > 2 * found.services["shop"] > 0


def test_strongest_of_a_service_counts(ordinary, usual):
    """Ten metrics of one service are no ten reasons."""
    traces = Traces.of(ordinary.span_table(), usual)
    one = metrics(moved(("price", "process.memory.usage", 4.0)), traces)
    ten = metrics(moved(*[("price", f"process.memory.{n}", 4.0) for n in range(10)]), traces)
    assert one.services == ten.services


def test_services_that_nobody_called_are_left_out(ordinary, usual):
    """In a large system something always moves somewhere."""
    traces = Traces.of(ordinary.span_table(), usual)
    assert not metrics(moved(("elsewhere", "process.memory.usage", 8.0)), traces).services
    assert not metrics(None, traces).services


def test_source_can_be_switched_off(ordinary, usual):
    """As every other one, for ablations."""
    told = moved(("price", "process.memory.usage", 3.6))
    with_it = localise(ordinary.span_table(), usual, ordinary.log_table(), moved=told)
    without = localise(
        ordinary.span_table(), usual, ordinary.log_table(), moved=told, sources=["self_time", "time_share"]
    )
    assert (
        with_it
        != without
        == localise(ordinary.span_table(), usual, ordinary.log_table(), sources=["self_time", "time_share"])
    )
