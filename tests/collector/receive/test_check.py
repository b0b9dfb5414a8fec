from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode.traces import decode_traces
from collector.receive.check import check_bytes, check_message
from collector.receive.otlp_json import parse_json
from collector.signals import Signal


@pytest.mark.parametrize("again", ["resource", "status"])
def test_message_in_two_pieces(make_request: Callable[..., Any], again: str) -> None:
    """Protobuf lets a writer send a message field in pieces that the reader merges; both readers do."""
    request = make_request(1)
    resource = request.resource_spans[0]
    if again == "resource":
        more = type(resource)()
        more.resource.attributes.add(key="second").value.string_value = "x"
        whole = resource.SerializeToString() + more.SerializeToString()
    else:
        span = resource.scope_spans[0].spans[0]
        first, second = type(span)(), type(span)()
        first.CopyFrom(span)
        first.status.message = "why"
        second.status.code = 2
        scope = type(resource.scope_spans[0])()
        joined = first.SerializeToString() + second.SerializeToString()
        scope_bytes = scope.SerializeToString() + b"\x12" + _varint(len(joined)) + joined
        bare = type(resource)()
        bare.resource.CopyFrom(resource.resource)
        whole = bare.SerializeToString() + b"\x12" + _varint(len(scope_bytes)) + scope_bytes
    body = b"\x0a" + _varint(len(whole)) + whole
    merged = ExportTraceServiceRequest.FromString(body).resource_spans[0]
    row = decode_traces([check_bytes(Signal.TRACES, body).payload])
    assert row.num_rows == 1
    assert row["service_name"].to_pylist() == ["svc"]
    assert row["status_code"].to_pylist() == [
        ["UNSET", "OK", "ERROR"][merged.scope_spans[0].spans[0].status.code]
    ]
    assert row["status_message"].to_pylist() == [merged.scope_spans[0].spans[0].status.message]


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def test_metrics_of_no_known_kind() -> None:
    """A metric whose kind is not known, as before OTLP 0.9, is counted as refused, and others are kept."""
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    metrics.add(name="old").MergeFromString(b"\x22\x02\x0a\x00")  # int_gauge, field 4, with a point
    metrics.add(name="new").gauge.data_points.add(time_unix_nano=1_790_000_000 * 10**9, as_int=1)
    checked = check_message(Signal.METRICS, request)
    assert (checked.accepted_count, checked.rejected_count) == (1, 1)
    assert "no known kind" in checked.reason


def test_metrics_of_before_0_9_in_json() -> None:
    """In JSON, too, integers' kinds of before 0.9 are counted as refused, and those of doubles are read."""
    point = {"timeUnixNano": str(1_790_000_000 * 10**9), "value": 1.5}
    metrics = [
        {"name": "old", "intGauge": {"dataPoints": [{**point, "value": "1"}]}},
        {"name": "older", "int_sum": {"dataPoints": [{**point, "value": "1"}]}},
        {"name": "double", "doubleGauge": {"dataPoints": [point]}},
    ]
    document = {"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}
    request: Any = parse_json(Signal.METRICS, json.dumps(document).encode())
    checked = check_message(Signal.METRICS, request)
    assert (checked.accepted_count, checked.rejected_count) == (1, 2)
    assert "no known kind" in checked.reason
    (kept,) = request.resource_metrics[0].scope_metrics[0].metrics[2].gauge.data_points
    assert kept.as_double == 1.5
