from __future__ import annotations

from concurrent import futures

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceState

from exchange_ref.telemetry.otlp_bytes import BytesSpanExporter, encode

WALLET = Resource({"service.name": "kx-wallet", "big": 2**62}, "https://schema/1")
MATCHER = Resource({"service.name": "kx-matcher"})
SCOPE = InstrumentationScope("exchange_ref", "0.1.0", "https://schema/2")
REMOTE = SpanContext(2**128 - 1, 2**64 - 1, is_remote=True, trace_state=TraceState([("a", "1"), ("b", "2")]))
LOCAL = SpanContext(1, 2, is_remote=False)
VALUES = {
    "empty": "",
    "text": "zürich €\x00",
    "long": "x" * 20_000,
    "zero": 0,
    "small": 127,
    "larger": 128,
    "negative": -1,
    "least": -(2**63),
    "most": 2**63 - 1,
    "yes": True,
    "no": False,
    "float": 0.1,
    "minus zero": -0.0,
    "one": 1.0,
    "infinite": float("inf"),
    "texts": ("a", ""),
    "numbers": (1, 0, -5),
    "none": (),
}


def span(**changes) -> ReadableSpan:
    usual = {
        "name": "order.match",
        "context": LOCAL,
        "resource": MATCHER,
        "instrumentation_scope": SCOPE,
        "kind": SpanKind.CONSUMER,
        "start_time": 1_795_228_289_298_051_263,
        "end_time": 1_795_228_289_298_999_999,
        "attributes": VALUES,
        "status": Status(StatusCode.UNSET),
    }
    return ReadableSpan(**(usual | changes))


EVERY = {
    "plain": [span()],
    "kinds": [span(kind=kind) for kind in SpanKind],
    "statuses": [
        span(status=Status(StatusCode.ERROR, "why")),
        span(status=Status(StatusCode.ERROR)),
        span(status=Status(StatusCode.OK)),
    ],
    "parents": [span(parent=REMOTE), span(parent=LOCAL), span(context=REMOTE)],
    "events": [span(events=[Event("exception", VALUES, 5), Event("", None, 6)])],
    "links": [span(links=[Link(REMOTE, {"a": 1}), Link(LOCAL)])],
    "groups": [
        span(),
        span(resource=WALLET),
        span(resource=Resource({}), instrumentation_scope=InstrumentationScope("bare")),
        span(name="last"),
    ],
    "empty": [span(attributes={}, name="")],
    "nothing": [],
}


@pytest.mark.parametrize("name", EVERY)
def test_it_is_the_same_request_as_the_sdk_makes(name: str) -> None:
    """Parsed again, the bytes are the message of the SDK's own encoder, twice in a row."""
    expected = encode_spans(EVERY[name])
    for _ in range(2):
        assert ExportTraceServiceRequest.FromString(encode(EVERY[name])) == expected


def test_what_was_dropped_is_counted() -> None:
    """Counts of dropped attributes, events and links arrive, which a span over its limits has."""
    from opentelemetry.sdk.trace import SpanLimits, TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    memory = InMemorySpanExporter()
    limits = SpanLimits(max_span_attributes=1, max_events=1, max_links=1, max_event_attributes=1)
    provider = TracerProvider(span_limits=limits, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    made = provider.get_tracer("t").start_span("s", attributes={"a": 1, "b": 2}, links=[Link(REMOTE)] * 300)
    made.add_event("e", {"a": 1, "b": 2})
    made.add_event("f")
    made.end()
    spans = memory.get_finished_spans()
    assert spans[0].dropped_links == 299
    assert ExportTraceServiceRequest.FromString(encode(spans)) == encode_spans(spans)


def test_a_server_receives_it() -> None:
    """Over gRPC the request arrives whole, and a server that is gone is a failure and no exception."""
    received: list[ExportTraceServiceRequest] = []

    class Servicer(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request, context):
            received.append(request)
            return ExportTraceServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    exporter = BytesSpanExporter(f"http://127.0.0.1:{port}")
    try:
        assert exporter.export(EVERY["plain"]) is SpanExportResult.SUCCESS
        assert received == [encode_spans(EVERY["plain"])]
    finally:
        server.stop(0).wait()
        exporter.shutdown()
    assert exporter.export(EVERY["plain"]) is SpanExportResult.FAILURE
