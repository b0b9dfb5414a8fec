"""Logs and metrics of the exchange: correlated with traces, on the same endpoint, never in the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter
from opentelemetry.sdk.metrics.export import MetricReader, MetricsData
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from exchange_ref.exchange import ExchangeConfig
from exchange_ref.faults.schedule import parse_schedule
from exchange_ref.run import RunOptions
from exchange_ref.telemetry.outputs import Exporters
from tests.exchange_ref.runs import accepted, run_till

FAILED = ("kx-exchange", "ERROR", "KeyError")


class Reader(MetricReader):
    """Keeps each collection, the one at the end included."""

    def __init__(self, collected: list[MetricsData]) -> None:
        super().__init__()
        self._collected = collected

    def _receive_metrics(self, metrics_data: MetricsData, *_: Any, **__: Any) -> None:
        self._collected.append(metrics_data)

    def shutdown(self, *_: Any, **__: Any) -> None:
        self.collect()


class Seen:
    """One run with everything kept in memory."""

    def __init__(
        self, folder: Path, schedule: str, *, orders: int, errors: int = 0, sampled_share: float = 1.0
    ) -> None:
        """Until so many orders were accepted, and so many failed."""
        self.spans, self.logs = InMemorySpanExporter(), InMemoryLogRecordExporter()
        self._collected: list[MetricsData] = []
        options = RunOptions(
            ExchangeConfig(folder, sampled_share=sampled_share),
            None,
            80.0,
            3,
            parse_schedule(schedule, "test"),
        )
        exporters = Exporters(self.spans, self.logs, self._new_reader)
        self.report = run_till(
            options,
            exporters,
            lambda: accepted(options) >= orders and self.said.count(FAILED) >= errors,
        )
        self.metrics = {
            (scope_resource, metric.name): metric
            for data in self._collected
            for resource in data.resource_metrics
            for scope_resource in [resource.resource.attributes["service.name"]]
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    @property
    def said(self) -> list[tuple[object, ...]]:
        """(service, severity, type of the exception) of each line."""
        return [
            (
                line.resource.attributes["service.name"],
                line.log_record.severity_text,
                (line.log_record.attributes or {}).get("exception.type"),
            )
            for line in self.logs.get_finished_logs()
        ]

    def _new_reader(self) -> MetricReader:
        return Reader(self._collected)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """About a second of orders in which some fail."""
    schedule = "faults: [{kind: error_burst, at_s: 0.3, for_s: 3600}]"
    return Seen(tmp_path_factory.mktemp("signals"), schedule, orders=60, errors=4)


def test_every_log_belongs_to_a_span(seen: Seen) -> None:
    """Each line names trace, span and service of a span that was exported; none was dropped."""
    spans = {
        (span.context.trace_id, span.context.span_id, span.resource.attributes["service.name"])
        for span in seen.spans.get_finished_spans()
    }
    lines = seen.logs.get_finished_logs()
    found = {
        (line.log_record.trace_id, line.log_record.span_id, line.resource.attributes["service.name"])
        for line in lines
    }
    assert found <= spans
    assert len(lines) == seen.report["logs_exported"] > 30
    assert seen.report["logs_dropped"] == 0


def test_what_went_wrong_is_logged_where_it_did(seen: Seen) -> None:
    """The API logs an error with the exception for each failed order, the gateway a warning, and each
    executed order is one line."""
    (fault,) = seen.report["faults"]
    said = seen.said
    assert fault["traces"] > 3
    assert said.count(FAILED) == fault["traces"]
    assert said.count(("api-gateway", "WARN", None)) == fault["traces"]
    assert said.count(("kx-exchange", "INFO", None)) == seen.report["orders_accepted"]


def test_metrics_count_what_happened(seen: Seen) -> None:
    """Requests and orders add up to the report; matches are timed; queues, books, balances and the process
    are looked at."""
    orders = seen.metrics["kx-exchange", "kx.orders"].data.data_points
    assert sum(point.value for point in orders) == seen.report["orders_accepted"]
    requests = seen.metrics["api-gateway", "http.server.request.duration"].data.data_points
    assert sum(point.count for point in requests) == seen.report["orders_submitted"]
    matches = seen.metrics["kx-matcher", "kx.match.duration"].data.data_points
    assert sum(point.count for point in matches) == seen.report["orders_accepted"]
    assert 0 < sum(point.sum for point in matches) / seen.report["orders_accepted"] < 0.1
    assert {
        ("kx-matcher", "kx.queue.depth"),
        ("kx-matcher", "kx.orders.resting"),
        ("kx-exchange", "process.cpu.time"),
        ("kx-exchange", "process.memory.usage"),
    } <= set(seen.metrics)
    balances = {
        (point.attributes["asset"], point.attributes["state"]): point.value
        for point in seen.metrics["kx-matcher", "kx.balances"].data.data_points
    }
    assert balances["BTC", "available"] + balances["BTC", "locked"] == pytest.approx(24 * 2_000)


def test_exemplars_point_to_traces(seen: Seen) -> None:
    """The histogram of requests names traces that exist."""
    points = seen.metrics["api-gateway", "http.server.request.duration"].data.data_points
    named = {exemplar.trace_id for point in points for exemplar in point.exemplars}
    assert named
    assert named <= {span.context.trace_id for span in seen.spans.get_finished_spans()}


def test_head_sampling_keeps_whole_traces(tmp_path: Path) -> None:
    """With a share of 30% about so many orders are traced, each with all of its spans; the others run too."""
    seen = Seen(tmp_path, "faults: []", orders=90, sampled_share=0.3)
    per_trace: dict[int, int] = {}
    for span in seen.spans.get_finished_spans():
        per_trace[span.context.trace_id] = per_trace.get(span.context.trace_id, 0) + 1
    assert set(per_trace.values()) == {17}
    assert 0.1 < len(per_trace) / seen.report["orders_accepted"] < 0.55
    assert seen.report["spans_dropped"] == 0
