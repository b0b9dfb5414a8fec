from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from collector.decode.metrics import decode_metrics
from collector.decode.traces import decode_traces
from collector.store.store import Store

# Where the field's content is, when not under the field's own name.
_STORED_AS = {
    "Span.name": "span_name",
    "Span.kind": "span_kind",
    "Span.start_time_unix_nano": "start_time",
    "Span.end_time_unix_nano": "duration_ns",
    "Span.status": "status_code",
    "Status.message": "status_message",
    "Status.code": "status_code",
    "Resource.attributes": "resource_attributes",
    "Resource.dropped_attributes_count": "resource_dropped_attributes_count",
    "InstrumentationScope.name": "scope_name",
    "InstrumentationScope.version": "scope_version",
    "InstrumentationScope.attributes": "scope_attributes",
    "InstrumentationScope.dropped_attributes_count": "scope_dropped_attributes_count",
    "ResourceSpans.schema_url": "resource_schema_url",
    "ScopeSpans.schema_url": "scope_schema_url",
    "Event.time_unix_nano": "time",
}
_ENVELOPES = {"ResourceSpans.resource", "ResourceSpans.scope_spans", "ScopeSpans.scope", "ScopeSpans.spans"}
# Experimental pointers into resource attributes, which are stored whole.
_LEFT_OUT = {"Resource.entity_refs"}


def test_every_otlp_field_has_a_column(store: Store) -> None:
    """A field that OTLP gains for traces fails here until it has a column."""
    types = {row["column_name"]: row["column_type"] for row in store.read("DESCRIBE spans").to_pylist()}
    struct_fields = {
        name: set(re.findall(r'"?(\w+)"? (?:TIMESTAMP_NS|VARCHAR|VARIANT|UINTEGER)', types[name]))
        for name in ("events", "links")
    }
    places = {"Event": struct_fields["events"], "Link": struct_fields["links"]}
    messages = [
        trace_pb2.ResourceSpans,
        trace_pb2.ScopeSpans,
        trace_pb2.Span,
        trace_pb2.Span.Event,
        trace_pb2.Span.Link,
        trace_pb2.Status,
        resource_pb2.Resource,
        common_pb2.InstrumentationScope,
    ]
    missing = [
        f"{message.DESCRIPTOR.name}.{field.name}"
        for message in messages
        for field in message.DESCRIPTOR.fields
        if (full := f"{message.DESCRIPTOR.name}.{field.name}") not in _ENVELOPES | _LEFT_OUT
        and _STORED_AS.get(full, field.name) not in places.get(message.DESCRIPTOR.name, set(types))
    ]
    assert missing == []


def test_odd_envelopes(make_request: Callable[..., Any]) -> None:
    """Missing resources, scopes, statuses and names, and empty lists between full ones, keep rows aligned."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add()
    request.resource_spans.add().scope_spans.add()
    bare = request.resource_spans.add(schema_url="r").scope_spans.add(schema_url="s").spans
    bare.add(trace_id=b"\x01" * 16, span_id=b"\xab" * 8)
    named = make_request(2, service="named").resource_spans[0]
    named.scope_spans[0].scope.name = "lib"
    request.resource_spans.append(named)
    table = decode_traces([b"", request.SerializeToString(), b""])
    assert table["service_name"].to_pylist() == ["unknown_service", "named", "named"]
    assert table["scope_name"].to_pylist() == ["", "lib", "lib"]
    assert table["resource_schema_url"].to_pylist() == ["r", "", ""]
    assert table["scope_schema_url"].to_pylist() == ["s", "", ""]
    assert table["span_id"].to_pylist()[0] == "ab" * 8
    assert table["parent_span_id"].null_count == 3
    assert table["status_code"].to_pylist() == ["UNSET"] * 3


def test_no_spans() -> None:
    """An empty request decodes to a table with all columns and no rows."""
    assert decode_traces([b""]).num_rows == 0


def test_numbers_out_of_range(make_request: Callable[..., Any]) -> None:
    """Unknown enum numbers read as unspecified, and event times beyond 2262 as the last storable time."""
    request = make_request(1, kind=77)
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.status.code = 9
    span.events.add(time_unix_nano=2**64 - 1)
    row = decode_traces([request.SerializeToString()])
    assert row["span_kind"].to_pylist() == ["UNSPECIFIED"]
    assert row["status_code"].to_pylist() == ["UNSET"]
    assert row["events"].combine_chunks().flatten().field("time").cast("int64").to_pylist() == [2**63 - 2]


def _field(number: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


@pytest.mark.parametrize(
    "members",
    [
        [{"string_value": "abc"}, {"int_value": 7}],
        [{"int_value": 7}, {"string_value": "abc"}],
        [{"double_value": 1.5}, {"bool_value": False}],
        [{"bytes_value": b"x"}, {"array_value": {}}],
    ],
    ids=str,
)
def test_last_member_of_a_oneof_wins(members: list[dict[str, Any]], landed: Callable[..., Any]) -> None:
    """A value that was sent twice in one message is what protobuf's own reader makes of it: the last one."""
    value = b"".join(common_pb2.AnyValue(**member).SerializeToString() for member in members)
    span = _field(1, b"\x01" * 16) + _field(2, b"\x02" * 8) + _field(9, _field(1, b"k") + _field(2, value))
    table = decode_traces([_field(1, _field(2, _field(2, span)))])
    (row,) = landed([table], "spans_recent", "SELECT attributes['k'] AS k")
    ((_, expected),) = members[-1].items()
    assert row == {"k": [] if expected == {} else expected}


def test_last_kind_of_a_metric_wins() -> None:
    """The same for a metric that claims to be two kinds, and a point with two numbers."""
    first, second = metrics_pb2.Metric(name="m"), metrics_pb2.Metric()
    first.gauge.data_points.add(as_int=1)
    second.sum.data_points.add(as_int=2)
    point = (
        metrics_pb2.NumberDataPoint(as_int=3).SerializeToString()
        + metrics_pb2.NumberDataPoint(as_double=0.5).SerializeToString()
    )
    metric = first.SerializeToString() + second.SerializeToString() + _field(7, _field(1, point))
    (table,) = decode_metrics([_field(1, _field(2, _field(2, metric)))])
    assert table["metric_kind"].to_pylist() == ["sum", "sum"]
    assert table["value_int"].to_pylist() == [2, None]
    assert table["value_double"].to_pylist() == [None, 0.5]
