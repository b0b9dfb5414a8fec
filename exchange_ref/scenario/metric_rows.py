"""Metrics as rows of a Parquet file, in the columns of the evaluation format: one for each point."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

import pyarrow as pa
import pyarrow.parquet as pq
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
    ResourceMetrics,
    Sum,
)

from exchange_ref.scenario.outside import Sender

SCHEMA = pa.schema(
    [
        ("time_unix_nano", pa.int64()),
        ("start_time_unix_nano", pa.int64()),
        *((name, pa.string()) for name in ("service_name", "metric_name", "metric_unit", "metric_kind")),
        ("temporality", pa.string()),
        ("is_monotonic", pa.bool_()),
        ("attributes", pa.string()),
        ("value_int", pa.int64()),
        ("value_double", pa.float64()),
        ("count", pa.int64()),
        ("sum", pa.float64()),
        ("run", pa.string()),
    ]
)
# Services usually report every 10 to 60 s. Here faults that would last minutes last seconds, and so do the
# pauses between two points.
INTERVAL_MS = 1_000
_KINDS = {Gauge: "gauge", Sum: "sum", Histogram: "histogram"}


class MetricRows:
    """Keeps the points of all providers; `write` when they are shut down."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._rows: list[dict[str, object]] = []
        self._lock = Lock()

    def new_reader(self) -> MetricReader:
        return PeriodicExportingMetricReader(_Export(self), export_interval_millis=INTERVAL_MS)

    def take(self, data: MetricsData) -> bool:
        """Keep the points; False while nothing leaves."""
        if self._sender.stopped:
            return False
        rows = [row for one in data.resource_metrics for row in _rows(one)]
        with self._lock:
            self._rows += rows
        return True

    def write(self, path: Path, run: str, from_unix_nano: int = 0) -> None:
        """
        Args:
            run: which of several exchanges this was.
            from_unix_nano: earlier points are left out.
        """
        with self._lock:
            kept = [row for row in self._rows if int(str(row["time_unix_nano"])) >= from_unix_nano]
            rows = sorted(kept, key=lambda row: (row["time_unix_nano"], row["metric_name"]))
        table = pa.Table.from_pylist([{**row, "run": run} for row in rows], schema=SCHEMA)
        pq.write_table(table, path, compression="zstd")


class _Export(MetricExporter):
    def __init__(self, rows: MetricRows) -> None:
        super().__init__()
        self._rows = rows

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: object
    ) -> MetricExportResult:
        kept = self._rows.take(metrics_data)
        return MetricExportResult.SUCCESS if kept else MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:
        """Nothing to close: `MetricRows.write` does it for all providers."""


def _rows(one: ResourceMetrics) -> Iterator[dict[str, object]]:
    service = str(one.resource.attributes["service.name"])
    for scope in one.scope_metrics:
        for metric in scope.metrics:
            yield from _points(service, metric)


def _points(service: str, metric: Metric) -> Iterator[dict[str, object]]:
    data = metric.data
    kind = _KINDS.get(type(data))
    if kind is None:
        return
    temporality = getattr(data, "aggregation_temporality", None)
    for point in data.data_points:
        value = getattr(point, "value", None)
        yield {
            "time_unix_nano": point.time_unix_nano,
            "start_time_unix_nano": point.start_time_unix_nano,
            "service_name": service,
            "metric_name": metric.name,
            "metric_unit": metric.unit or "",
            "metric_kind": kind,
            "temporality": AggregationTemporality(temporality).name if temporality is not None else None,
            "is_monotonic": getattr(data, "is_monotonic", None),
            "attributes": json.dumps(dict(point.attributes or {}), sort_keys=True),
            "value_int": value if isinstance(value, int) else None,
            "value_double": value if isinstance(value, float) else None,
            "count": getattr(point, "count", None),
            "sum": getattr(point, "sum", None),
        }
