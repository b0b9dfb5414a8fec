"""Zipkin JSON, as its API gives and takes it, to OTLP; spans of v1 by way of v2.

Mapping: https://opentelemetry.io/docs/specs/otel/trace/sdk_exporters/zipkin/, read backwards, with the
Collector's attribute names for endpoints. Format: https://zipkin.io/zipkin-api/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from collector.replay.found import Converted
from collector.replay.tags import FIELD_TAGS, scope_of, set_status
from collector.replay.zipkin_v1 import as_v2, is_v1

_KINDS = {
    "SERVER": Span.SPAN_KIND_SERVER,
    "CLIENT": Span.SPAN_KIND_CLIENT,
    "PRODUCER": Span.SPAN_KIND_PRODUCER,
    "CONSUMER": Span.SPAN_KIND_CONSUMER,
}


def is_zipkin(document: object) -> bool:
    """A list of spans, or of traces that are lists of spans, or one span."""
    first = document
    for _ in range(2):
        if isinstance(first, list) and first:
            first = first[0]
    return isinstance(first, dict) and "traceId" in first and "id" in first and "spanId" not in first


def read_zipkin(document: object) -> Iterator[Converted]:
    """One request with all spans, and a reason for each span that cannot be read."""
    request = ExportTraceServiceRequest()
    scopes: dict[tuple[str, str, str, str], ScopeSpans] = {}
    for place, source in _spans(document):
        try:
            for span in as_v2(source) if is_v1(source) else (source,):
                _add_span(request, scopes, span)
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            yield Converted(place, None, f"not a Zipkin span ({reason})")
    yield Converted("", request, "")


def _spans(document: object, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(document, list):
        for number, item in enumerate(document):
            yield from _spans(item, f"{place}[{number}]")
    else:
        yield place, document


def _add_span(
    request: ExportTraceServiceRequest,
    scopes: dict[tuple[str, str, str, str], ScopeSpans],
    source: Mapping[str, Any],
) -> None:
    span = _span(source)
    tags: Mapping[str, Any] = source.get("tags") or {}
    local: Mapping[str, Any] = source.get("localEndpoint") or {}
    service, address = str(local.get("serviceName") or ""), str(local.get("ipv4") or local.get("ipv6") or "")
    name, version = scope_of(tags)
    key = (service, address, name, version)
    scope = scopes.get(key)
    if scope is None:
        envelope = request.resource_spans.add()
        for attribute, text in (("service.name", service), ("net.host.ip", address)):
            if text:
                envelope.resource.attributes.add(key=attribute, value=AnyValue(string_value=text))
        scope = scopes[key] = envelope.scope_spans.add()
        scope.scope.name, scope.scope.version = name, version
    scope.spans.append(span)


def _span(source: Mapping[str, Any]) -> Span:
    if not isinstance(source.get("kind"), str | None):
        raise ValueError(f"kind is {source['kind']!r}, and not a word such as CLIENT")
    start_ns = int(source.get("timestamp") or 0) * 1000
    tags: Mapping[str, Any] = source.get("tags") or {}
    kind = str(source.get("kind") or "").upper()
    span = Span(
        trace_id=_id(source["traceId"], 16),
        span_id=_id(source["id"], 8),
        parent_span_id=_id(source["parentId"], 8) if source.get("parentId") else b"",
        name=str(source.get("name") or ""),
        # Zipkin has no kind for a span within a process.
        kind=_KINDS.get(kind, Span.SPAN_KIND_INTERNAL),
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + int(source.get("duration") or 0) * 1000,
        trace_state=str(tags.get("w3c.tracestate", "")),
    )
    for key, value in tags.items():
        if key not in FIELD_TAGS:
            span.attributes.add(key=key, value=AnyValue(string_value=str(value)))
    _add_peer(span, source.get("remoteEndpoint") or {})
    set_status(span, tags, is_error="error" in tags, message=str(tags.get("error") or ""))
    for annotation in source.get("annotations") or ():
        span.events.add(time_unix_nano=int(annotation["timestamp"]) * 1000, name=str(annotation["value"]))
    return span


def _add_peer(span: Span, remote: Mapping[str, Any]) -> None:
    named = {
        "peer.service": remote.get("serviceName"),
        "net.peer.ip": remote.get("ipv4") or remote.get("ipv6"),
    }
    for key, text in named.items():
        if text:
            span.attributes.add(key=key, value=AnyValue(string_value=str(text)))
    if remote.get("port"):
        span.attributes.add(key="net.peer.port", value=AnyValue(int_value=int(remote["port"])))


def _id(text: str, size_bytes: int) -> bytes:
    """Zipkin's trace ids may be half as long."""
    return bytes.fromhex(text.zfill(2 * size_bytes))
