"""Jaeger JSON, as its UI and API give it, to OTLP.

Mapping: https://opentelemetry.io/docs/specs/otel/trace/sdk_exporters/jaeger/, read backwards.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from collector.replay.found import Converted
from collector.replay.tags import FIELD_TAGS, scope_of, set_status

_KINDS = {
    "internal": Span.SPAN_KIND_INTERNAL,
    "server": Span.SPAN_KIND_SERVER,
    "client": Span.SPAN_KIND_CLIENT,
    "producer": Span.SPAN_KIND_PRODUCER,
    "consumer": Span.SPAN_KIND_CONSUMER,
}
_CONSUMED_TAGS = {"span.kind", *FIELD_TAGS}
_FIELD_TYPES = {bool: "bool", int: "int64", float: "float64"}
_REFERENCE_TAG = "opentracing.ref_type"


def is_jaeger(document: object) -> bool:
    """A download, `{"data": [trace, …]}`, or one trace of it, or a span with its process."""
    if not isinstance(document, dict):
        return False
    traces = document.get("data", [document])
    return isinstance(traces, list) and bool(traces) and all(map(_is_trace_or_span, traces))


def read_jaeger(document: dict[str, Any]) -> Iterator[Converted]:
    """A request for each trace, and a reason for each span that cannot be read.

    Jaeger is written in Go, whose JSON has null for an empty list.
    """
    for trace in document.get("data", [document]):
        place = f"trace {trace['traceID']}"
        request = ExportTraceServiceRequest()
        scopes: dict[tuple[str, str, str], ScopeSpans] = {}
        for number, source in enumerate(_sources(trace)):
            try:
                _add_span(request, scopes, trace, source)
            except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
                reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
                yield Converted(f"{place} span {number}", None, f"not a Jaeger span ({reason})")
        yield Converted(place, request, "")


def told_by(document: object) -> str:
    """What an answer of Jaeger without traces says; empty for anything else."""
    if not isinstance(document, dict) or not {"data", "errors"} <= document.keys() or document["data"]:
        return ""
    errors = document["errors"]
    said = [str(error.get("msg")) for error in errors if isinstance(error, dict)] if errors else []
    return f"Jaeger's answer has no traces{': ' if said else ''}{'; '.join(said)}"


def _is_trace_or_span(trace: object) -> bool:
    return isinstance(trace, dict) and "traceID" in trace and ("spans" in trace or "spanID" in trace)


def _sources(trace: Mapping[str, Any]) -> list[Any]:
    """Its spans; anything that is no list is reported as one span that cannot be read."""
    spans = trace.get("spans") or [] if "spans" in trace else [trace]
    return spans if isinstance(spans, list) else [spans]


def _add_span(
    request: ExportTraceServiceRequest,
    scopes: dict[tuple[str, str, str], ScopeSpans],
    trace: Mapping[str, Any],
    source: Mapping[str, Any],
) -> None:
    span = _span(source)
    tags = {tag["key"]: tag.get("value") for tag in _tags(source)}
    process_id = source.get("processID") or ""
    process = source.get("process") or (trace.get("processes") or {}).get(process_id) or {}
    name, version = scope_of(tags)
    key = (process_id or str(process), name, version)
    scope = scopes.get(key)
    if scope is None:
        envelope = request.resource_spans.add()
        if service := process.get("serviceName"):
            envelope.resource.attributes.add(key="service.name", value=AnyValue(string_value=service))
        for tag in _tags(process):
            envelope.resource.attributes.add(key=tag["key"], value=_value(tag))
        scope = scopes[key] = envelope.scope_spans.add()
        scope.scope.name, scope.scope.version = name, version
    scope.spans.append(span)


def _span(source: Mapping[str, Any]) -> Span:
    start_ns = int(source["startTime"]) * 1000
    tags = _tags(source)
    by_key = {tag["key"]: tag.get("value") for tag in tags}
    span = Span(
        trace_id=_id(source["traceID"], 16),
        span_id=_id(source["spanID"], 8),
        name=source["operationName"],
        kind=_KINDS.get(str(by_key.get("span.kind", "")).lower(), Span.SPAN_KIND_UNSPECIFIED),
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + int(source.get("duration") or 0) * 1000,
        trace_state=str(by_key.get("w3c.tracestate", "")),
        flags=int(source.get("flags") or 0) & 0xFF,
    )
    for tag in tags:
        if tag["key"] not in _CONSUMED_TAGS:
            span.attributes.add(key=tag["key"], value=_value(tag))
    set_status(span, by_key, is_error=by_key.get("error") in (True, "true"))
    _set_references(span, source)
    for log in source.get("logs") or ():
        event = span.events.add(time_unix_nano=int(log["timestamp"]) * 1000, name="log")
        for field in log.get("fields") or ():
            if field["key"] == "event":
                event.name = str(field.get("value"))
            else:
                event.attributes.add(key=field["key"], value=_value(field))
    return span


def _set_references(span: Span, source: Mapping[str, Any]) -> None:
    """The first CHILD_OF of the same trace is the parent; all others are links."""
    references = list(source.get("references") or ())
    if source.get("parentSpanID"):
        span.parent_span_id = _id(source["parentSpanID"], 8)
    for reference in references:
        trace_id, span_id = _id(reference["traceID"], 16), _id(reference["spanID"], 8)
        kind = reference.get("refType") or "CHILD_OF"
        if kind == "CHILD_OF" and trace_id == span.trace_id and span.parent_span_id in (b"", span_id):
            span.parent_span_id = span_id
            continue
        link = span.links.add(trace_id=trace_id, span_id=span_id)
        link.attributes.add(key=_REFERENCE_TAG, value=AnyValue(string_value=kind.lower()))


def _id(text: str, size_bytes: int) -> bytes:
    """Jaeger drops leading zeros, and 64-bit trace ids are half as long."""
    return bytes.fromhex(text.zfill(2 * size_bytes))


def _tags(holder: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tags of a span or a process. Elasticsearch may hold them as fields, with @ for a dot in a name:
    `{"tag": {"http@status_code": 200}}`.
    """
    fields = (holder.get("tag") or {}).items()
    return [
        *(holder.get("tags") or ()),
        *(
            {"key": key.replace("@", "."), "type": _FIELD_TYPES.get(type(value), "string"), "value": value}
            for key, value in fields
        ),
    ]


def _value(tag: Mapping[str, Any]) -> AnyValue:
    value = tag.get("value")
    if value is None:
        return AnyValue()
    match tag.get("type", ""):
        case "bool":
            return AnyValue(bool_value=value if isinstance(value, bool) else str(value).lower() == "true")
        case "int64" | "long":
            return AnyValue(int_value=int(value))
        case "float64" | "double":
            return AnyValue(double_value=float(value))
        case "binary":
            return AnyValue(bytes_value=base64.b64decode(value))
        case _:
            return AnyValue(string_value=str(value))
