"""Traces and questions for the comparison with Jaeger: each kind of value, status, event and link once."""

from __future__ import annotations

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

# Within what both take as a time of now, and the same each time.
START_NS = 1_764_000_000_000_000_000
MS = 1_000_000
TRACE_1, TRACE_2 = (1).to_bytes(16, "big"), bytes.fromhex("a1b2c3d4e5f60718293a4b5c6d7e8f90")
_TIMES = f"start={START_NS // 1000 - 1_000_000}&end={START_NS // 1000 + 100_000_000}"
QUESTIONS = [
    "/api/services",
    "/api/services/shop/operations",
    "/api/operations?service=shop",
    "/api/operations?service=shop&spanKind=server",
    "/api/traces/1",
    f"/api/traces/{TRACE_2.hex()}",
    "/api/traces/77",
    "/api/traces",
    f"/api/traces?service=shop&{_TIMES}",
    f"/api/traces?service=shop&operation=checkout&{_TIMES}",
    f"/api/traces?service=shop&minDuration=150ms&{_TIMES}",
    f"/api/traces?service=shop&maxDuration=150ms&operation=checkout&{_TIMES}",
    f"/api/traces?service=payment&tags=%7B%22error%22%3A%22true%22%7D&{_TIMES}",
    f"/api/traces?service=shop&tags=%7B%22http.status_code%22%3A%22500%22%7D&{_TIMES}",
    f"/api/traces?service=shop&tag=host.name%3Aweb-1&{_TIMES}",
    f"/api/traces?service=nobody&{_TIMES}",
    "/api/traces?traceID=1",
    f"/api/dependencies?endTs={START_NS // MS + 100_000}&lookback=200000",
    "/api/v3/services",
    "/api/v3/operations?service=shop",
    "/api/v3/traces/1",
    "/api/v3/traces/77",
]


def make_request() -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    shop = request.resource_spans.add()
    shop.resource.attributes.add(key="service.name", value=AnyValue(string_value="shop"))
    shop.resource.attributes.add(key="host.name", value=AnyValue(string_value="web-1"))
    web = shop.scope_spans.add()
    web.scope.name, web.scope.version = "web", "1.2"
    payment = request.resource_spans.add()
    payment.resource.attributes.add(key="service.name", value=AnyValue(string_value="payment"))
    pay = payment.scope_spans.add()
    for trace_id, number, ms in ((TRACE_1, 1, 100), (TRACE_2, 2, 200)):
        start_ns = START_NS + number * 1000 * MS
        root = web.spans.add(
            trace_id=trace_id,
            span_id=(number * 16 + 1).to_bytes(8, "big"),
            name="checkout",
            kind=Span.SPAN_KIND_SERVER,
            start_time_unix_nano=start_ns,
            end_time_unix_nano=start_ns + ms * MS,
            trace_state="vendor=1",
            flags=1,
        )
        root.attributes.add(key="http.status_code", value=AnyValue(int_value=500 if number == 1 else 200))
        root.attributes.add(key="amount", value=AnyValue(double_value=12.5))
        root.attributes.add(key="big", value=AnyValue(int_value=2**53 + 1))
        root.attributes.add(key="vip", value=AnyValue(bool_value=True))
        root.attributes.add(key="raw", value=AnyValue(bytes_value=b"\x00\xff"))
        words = root.attributes.add(key="words").value.array_value
        words.values.extend([AnyValue(string_value="a"), AnyValue(int_value=2)])
        child = pay.spans.add(
            trace_id=trace_id,
            span_id=(number * 16 + 2).to_bytes(8, "big"),
            parent_span_id=root.span_id,
            name="charge",
            kind=Span.SPAN_KIND_CLIENT,
            start_time_unix_nano=start_ns + MS,
            end_time_unix_nano=start_ns + 2 * MS,
        )
        child.links.add(trace_id=TRACE_1, span_id=(17).to_bytes(8, "big"))
        event = child.events.add(name="exception", time_unix_nano=start_ns + MS)
        event.attributes.add(key="exception.type", value=AnyValue(string_value="Declined"))
        if number == 1:
            child.status.code, child.status.message = Status.STATUS_CODE_ERROR, "declined"
        else:
            child.status.code = Status.STATUS_CODE_OK
        web.spans.add(
            trace_id=trace_id,
            span_id=(number * 16 + 3).to_bytes(8, "big"),
            parent_span_id=root.span_id,
            name="stock",
            kind=Span.SPAN_KIND_INTERNAL,
            start_time_unix_nano=start_ns + 3 * MS,
            end_time_unix_nano=start_ns + 4 * MS,
        )
    return request
