"""OTLP traces in the JSON of Jaeger's query API: microseconds, tags with types, processes by name.

The fields are those that Jaeger 1.76 gives for the same OTLP spans (`tests/benchmarks/jaeger.py` compares).
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status, TracesData

from collector.lookups.spans import UNKNOWN_SERVICE

Json = dict[str, Any]
_EXACT_MAX = 2**53 - 1  # of JavaScript's numbers; larger ones are text, as in Jaeger
_KINDS = {
    Span.SPAN_KIND_INTERNAL: "internal",
    Span.SPAN_KIND_SERVER: "server",
    Span.SPAN_KIND_CLIENT: "client",
    Span.SPAN_KIND_PRODUCER: "producer",
    Span.SPAN_KIND_CONSUMER: "consumer",
}
_REFERENCE_TYPES = {"child_of": "CHILD_OF", "follows_from": "FOLLOWS_FROM"}


def trace_json(trace_id: str, trace: TracesData, *, is_cut: bool = False) -> Json:
    """One trace."""
    processes: dict[str, str] = {}  # as JSON → its name
    spans = []
    for of_resource in trace.resource_spans:
        process = _process(of_resource.resource.attributes)
        name = processes.setdefault(json.dumps(process), f"p{len(processes) + 1}")
        for of_scope in of_resource.scope_spans:
            spans += [_span(span, of_scope.scope, name) for span in of_scope.spans]
    spans.sort(key=lambda span: span["startTime"])
    return {
        "traceID": shown_id(bytes.fromhex(trace_id)),
        "spans": spans,
        "processes": {name: json.loads(text) for text, name in processes.items()},
        "warnings": ["the trace has more spans than are shown"] if is_cut else None,
    }


def _process(attributes: Iterable[KeyValue]) -> Json:
    service = UNKNOWN_SERVICE
    tags = []
    for item in attributes:
        if item.key == "service.name" and item.value.string_value:
            service = item.value.string_value
        else:
            tags.append(_tag(item.key, item.value))
    return {"serviceName": service, "tags": tags}


def _span(span: Span, scope: InstrumentationScope, process: str) -> Json:
    trace_id = shown_id(span.trace_id)
    return {
        "traceID": trace_id,
        "spanID": span.span_id.hex(),
        "operationName": span.name,
        "references": list(_references(span)),
        "startTime": span.start_time_unix_nano // 1_000,
        "duration": max(0, span.end_time_unix_nano - span.start_time_unix_nano) // 1_000,
        "tags": [*_scope_tags(scope), *(_tag(a.key, a.value) for a in span.attributes), *_own_tags(span)],
        "logs": [_log(event) for event in span.events],
        "processID": process,
        "warnings": None,
    }


def _references(span: Span) -> Iterator[Json]:
    """The parent first, unless a link names it too."""
    parent = (span.trace_id, span.parent_span_id)
    if span.parent_span_id and parent not in {(link.trace_id, link.span_id) for link in span.links}:
        yield _reference("CHILD_OF", *parent)
    for link in span.links:
        kind = next((a.value.string_value for a in link.attributes if a.key == "opentracing.ref_type"), "")
        yield _reference(_REFERENCE_TYPES.get(kind, "FOLLOWS_FROM"), link.trace_id, link.span_id)


def shown_id(trace_id: bytes) -> str:
    """Ids of 64 bits are shown as such."""
    return trace_id.hex() if any(trace_id[:8]) else trace_id[8:].hex()


def _scope_tags(scope: InstrumentationScope) -> list[Json]:
    pairs = (("otel.scope.name", scope.name), ("otel.scope.version", scope.version))
    return [_text_tag(key, value) for key, value in pairs if value]


def _own_tags(span: Span) -> list[Json]:
    tags = []
    if span.kind in _KINDS:
        tags.append(_text_tag("span.kind", _KINDS[span.kind]))
    if span.status.code == Status.STATUS_CODE_ERROR:
        tags.append({"key": "error", "type": "bool", "value": True})
    if span.status.code:
        tags.append(_text_tag("otel.status_code", Status.StatusCode.Name(span.status.code)[12:]))
    if span.status.message:
        tags.append(_text_tag("otel.status_description", span.status.message))
    if span.trace_state:
        tags.append(_text_tag("w3c.tracestate", span.trace_state))
    return tags


def _log(event: Span.Event) -> Json:
    fields = [_tag(a.key, a.value) for a in event.attributes]
    if event.name and not any(field["key"] == "event" for field in fields):
        fields.insert(0, _text_tag("event", event.name))
    return {"timestamp": event.time_unix_nano // 1_000, "fields": fields}


def _reference(kind: str, trace_id: bytes, span_id: bytes) -> Json:
    return {"refType": kind, "traceID": shown_id(trace_id), "spanID": span_id.hex()}


def _text_tag(key: str, value: str) -> Json:
    return {"key": key, "type": "string", "value": value}


def _tag(key: str, value: AnyValue) -> Json:
    match value.WhichOneof("value"):
        case "bool_value":
            return {"key": key, "type": "bool", "value": value.bool_value}
        case "int_value":
            number = value.int_value
            shown: Any = number if abs(number) <= _EXACT_MAX else str(number)
            return {"key": key, "type": "int64", "value": shown}
        case "double_value":
            figure = value.double_value
            return {"key": key, "type": "float64", "value": figure if math.isfinite(figure) else str(figure)}
        case "bytes_value":
            return {"key": key, "type": "binary", "value": base64.b64encode(value.bytes_value).decode()}
        case "array_value" | "kvlist_value":
            return _text_tag(key, json.dumps(plain(value), ensure_ascii=False, separators=(",", ":")))
        case _:
            return _text_tag(key, value.string_value)


def plain(value: AnyValue) -> Any:
    """For JSON; bytes as base64."""
    match value.WhichOneof("value"):
        case "array_value":
            return [plain(item) for item in value.array_value.values]
        case "kvlist_value":
            return {item.key: plain(item.value) for item in value.kvlist_value.values}
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case "double_value":
            return value.double_value if math.isfinite(value.double_value) else str(value.double_value)
        case None:
            return None
        case member:
            return getattr(value, member)
