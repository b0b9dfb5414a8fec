from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from collector.decode.logs import decode_logs
from collector.decode.metrics import decode_metrics

AnyValueOf = Callable[[object], AnyValue]


def test_logs_keep_body_and_times(any_value: AnyValueOf, landed: Callable[..., list[dict[str, Any]]]) -> None:
    """Bodies of any type, both times and the trace they belong to are stored; unknown times are filled in."""
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    records.add(
        time_unix_nano=5,
        observed_time_unix_nano=7,
        severity_number=17,
        severity_text="ERROR",
        body=any_value("boom"),
        trace_id=b"\x01" * 16,
        span_id=b"\x02" * 8,
        flags=1,
        event_name="ev",
    )
    records.add(observed_time_unix_nano=9, body=any_value({"a": [1, b"\x00"]}))
    records.add(time_unix_nano=3)
    rows = landed(
        [decode_logs([request.SerializeToString()])],
        "logs_recent",
        'SELECT epoch_ns("time") t, epoch_ns(observed_time) o, trace_id, span_id, severity_number n,'
        " body, flags",
    )
    assert rows == [
        {"t": 5, "o": 7, "trace_id": "01" * 16, "span_id": "02" * 8, "n": 17, "body": "boom", "flags": 1},
        {"t": 9, "o": 9, "trace_id": None, "span_id": None, "n": 0, "body": {"a": [1, b"\x00"]}, "flags": 0},
        {"t": 3, "o": 3, "trace_id": None, "span_id": None, "n": 0, "body": None, "flags": 0},
    ]


def test_all_metric_kinds(any_value: AnyValueOf, landed: Callable[..., list[dict[str, Any]]]) -> None:
    """Five kinds of metrics land in one table, with the number type sent, buckets and exemplars."""
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    gauge = metrics.add(name="gauge", unit="1").gauge.data_points.add(time_unix_nano=1, as_int=2**62 + 1)
    gauge.attributes.add(key="a", value=any_value(True))
    total = metrics.add(name="sum").sum
    total.aggregation_temporality, total.is_monotonic = 2, True
    total.data_points.add(start_time_unix_nano=1, time_unix_nano=2, as_double=0.5)
    histogram = metrics.add(name="histogram").histogram
    histogram.aggregation_temporality = 1
    point = histogram.data_points.add(
        time_unix_nano=3, count=3, sum=6.0, bucket_counts=[1, 2], explicit_bounds=[2.5]
    )
    point.exemplars.add(time_unix_nano=3, as_double=1.5, trace_id=b"\x01" * 16, span_id=b"\x02" * 8)
    exponential = metrics.add(name="exponential").exponential_histogram.data_points.add(
        time_unix_nano=4, count=2, scale=3, zero_count=1
    )
    exponential.positive.offset = -1
    exponential.positive.bucket_counts.extend([4, 5])
    summary = metrics.add(name="summary").summary.data_points.add(time_unix_nano=5, count=1, sum=2.0)
    summary.quantile_values.add(quantile=0.5, value=2.0)
    rows = landed(
        decode_metrics([request.SerializeToString()]),
        "metrics_recent",
        "SELECT metric_name, metric_kind, temporality, is_monotonic, value_int, value_double, count, sum,"
        " bucket_counts, exponential.positive_counts AS positive, exponential.positive_offset AS shift,"
        " quantiles, exemplars[1].trace_id AS exemplar, attributes",
        order="time",
    )
    assert [list(row.values()) for row in rows] == [
        ["gauge", "gauge", None, None, 2**62 + 1, None, *[None] * 7, {"a": True}],
        ["sum", "sum", "CUMULATIVE", True, None, 0.5, *[None] * 7, {}],
        ["histogram", "histogram", "DELTA", None, None, None, 3, 6.0, [1, 2], *[None] * 3, "01" * 16, {}],
        [
            "exponential",
            "exponential_histogram",
            "UNSPECIFIED",
            None,
            None,
            None,
            2,
            None,
            None,
            [4, 5],
            -1,
            *[None] * 2,
            {},
        ],
        ["summary", "summary", *[None] * 4, 1, 2.0, *[None] * 3, [{"quantile": 0.5, "value": 2.0}], None, {}],
    ]
