"""The Python OpenTelemetry SDK over gRPC: what an application recorded is what DuckDB returns."""

from __future__ import annotations

import math
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

VALUES: dict[str, Any] = {
    "text": "Wal 🐋",
    "empty": "",
    "long": "x" * 300,
    "true": True,
    "false": False,
    "zero": 0,
    "largest": 2**63 - 1,
    "smallest": -(2**63),
    "half": 0.5,
    "minus.zero": -0.0,
    "infinite": math.inf,
    "texts": ["a", ""],
    "ints": [1, -1],
    "doubles": [1.0, 2.5],
    "bools": [True, False],
}


@pytest.fixture
def recorded(running: Any) -> dict[str, ReadableSpan]:
    """Spans of every kind and status, sent by the SDK and landed; by name."""
    provider = TracerProvider(resource=Resource.create({"service.name": "python-app", "host.cpus": 2}))
    kept = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    provider.add_span_processor(
        SimpleSpanProcessor(OTLPSpanExporter(endpoint=running.addresses["otlp_grpc"], insecure=True))
    )
    tracer = provider.get_tracer(
        "lib", "1.2", schema_url="https://example.com/schema", attributes={"scope": True}
    )
    other = SpanContext(
        0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("k", "v")])
    )
    with tracer.start_as_current_span(
        "root", attributes=VALUES, links=[Link(other, {"why": "batch", "n": 3})]
    ) as root:
        root.add_event(
            "cache.miss", {"key": "k", "size": 12, "ratio": 0.25}, timestamp=1_790_000_000_123_456_789
        )
        root.add_event("bare")
        for kind in SpanKind:
            with tracer.start_as_current_span(f"kind-{kind.name}", kind=kind) as span:
                span.set_status(
                    Status(StatusCode.OK) if kind is SpanKind.SERVER else Status(StatusCode.UNSET)
                )
        with pytest.raises(ValueError, match="boom"), tracer.start_as_current_span("failing"):
            raise ValueError("boom")
    provider.shutdown()
    running.landed()
    return {span.name: span for span in kept.get_finished_spans()}


def rows(running: Any, columns: str) -> dict[str, dict[str, Any]]:
    """Straight from DuckDB with its own types, not through JSON."""
    cursor = running.store.cursor()
    try:
        cursor.execute(f"SELECT span_name, {columns} FROM spans")
        names = [column[0] for column in cursor.description]
        return {row[0]: dict(zip(names, row, strict=True)) for row in cursor.fetchall()}
    finally:
        cursor.close()


def test_identity_and_shape(running: Any, recorded: dict[str, ReadableSpan]) -> None:
    """Ids, parents, kinds, status, times to the nanosecond, resource and scope equal what was recorded."""
    stored = rows(
        running,
        "trace_id, span_id, parent_span_id, span_kind, status_code, status_message,"
        " epoch_ns(start_time) AS start_ns,"
        " duration_ns, service_name, scope_name, scope_version, scope_schema_url, scope_attributes,"
        " resource_attributes['host.cpus'] AS cpus, resource_attributes['telemetry.sdk.language'] AS sdk",
    )
    assert stored.keys() == recorded.keys()
    for name, span in recorded.items():
        assert span.context is not None
        assert span.start_time is not None
        assert span.end_time is not None
        assert stored[name] == {
            "span_name": name,
            "trace_id": f"{span.context.trace_id:032x}",
            "span_id": f"{span.context.span_id:016x}",
            "parent_span_id": f"{span.parent.span_id:016x}" if span.parent else None,
            "span_kind": span.kind.name,
            "status_code": span.status.status_code.name,
            "status_message": span.status.description or "",
            "start_ns": span.start_time,
            "duration_ns": span.end_time - span.start_time,
            "service_name": "python-app",
            "scope_name": "lib",
            "scope_version": "1.2",
            "scope_schema_url": "https://example.com/schema",
            "scope_attributes": {"scope": True},
            "cpus": 2,
            "sdk": "python",
        }
    assert stored["failing"]["status_code"] == "ERROR"


def test_attributes_keep_types(running: Any, recorded: dict[str, ReadableSpan]) -> None:
    """Every type of attribute value comes back equal and of the same type."""
    stored = rows(running, "attributes")["root"]["attributes"]
    assert stored == VALUES
    assert {key: type(value) for key, value in stored.items()} == {k: type(v) for k, v in VALUES.items()}
    assert math.copysign(1, stored["minus.zero"]) == -1


def test_events_and_links(running: Any, recorded: dict[str, ReadableSpan]) -> None:
    """Events keep order, time and attributes, exceptions are events, and links name the other span."""
    root = rows(
        running,
        "list_transform(events, lambda e: {'ns': epoch_ns(e.time), 'name': e.name}) AS events,"
        " events[1].attributes AS attributes, events[2].attributes AS bare, links",
    )["root"]
    assert root["events"] == [
        {"ns": event.timestamp, "name": event.name} for event in recorded["root"].events
    ]
    assert root["attributes"] == {"key": "k", "size": 12, "ratio": 0.25}
    assert root["bare"] == {}
    (link,) = root["links"]
    assert link["trace_id"] == f"{0xABC:032x}"
    assert link["span_id"] == f"{0xDEF:016x}"
    assert link["trace_state"] == ""  # this SDK's exporter does not send it
    assert link["attributes"] == {"why": "batch", "n": 3}
    failing = rows(running, "events[1].name AS event, events[1].attributes['exception.message'] AS message")[
        "failing"
    ]
    assert failing == {"span_name": "failing", "event": "exception", "message": "boom"}


def test_clickhouse_names(running: Any, recorded: dict[str, ReadableSpan]) -> None:
    """A query written for the ClickHouse exporter's table runs."""
    frame = running.client.sql(
        'SELECT SpanName, SpanKind, StatusCode, ParentSpanId, Duration, "Events.Name",'
        " SpanAttributes['text']::VARCHAR AS text FROM otel_traces WHERE ServiceName = 'python-app'"
    )
    root = frame.filter(frame["SpanName"] == "root").row(0, named=True)
    assert root["Events.Name"] == ["cache.miss", "bare"]
    assert (root["SpanKind"], root["StatusCode"], root["ParentSpanId"]) == ("Internal", "Unset", "")
    assert root["text"] == "Wal 🐋"
    assert frame.filter(frame["SpanName"] == "failing")["StatusCode"].to_list() == ["Error"]


def test_trace_view(running: Any, recorded: dict[str, ReadableSpan]) -> None:
    """`traces` has one row a trace, led by its root."""
    (row,) = running.client.sql("FROM traces").rows(named=True)
    assert (row["root_service_name"], row["root_span_name"]) == ("python-app", "root")
    assert (row["span_count"], row["error_count"], row["services"]) == (len(recorded), 1, ["python-app"])
    root = recorded["root"]
    assert root.start_time is not None
    assert root.end_time is not None
    assert row["duration_ns"] == root.end_time - root.start_time
