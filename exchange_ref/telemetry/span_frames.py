"""Finished spans on their way between two processes: plain JSON values and back, nothing lost."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

# The lives of one service that are remembered: a restarted process is a new one.
MAX_RESOURCES = 16
Frame = dict[str, Any]


def to_frame(span: ReadableSpan) -> Frame:
    scope = span.instrumentation_scope
    return {
        "name": span.name,
        "context": _ids(span.context),
        "parent": _ids(span.parent) if span.parent is not None else None,
        "kind": span.kind.value,
        "start": span.start_time,
        "end": span.end_time,
        "attributes": dict(span.attributes or {}),
        "events": [[event.name, event.timestamp, dict(event.attributes or {})] for event in span.events],
        "links": [[_ids(link.context), dict(link.attributes or {})] for link in span.links],
        "status": [span.status.status_code.value, span.status.description],
        "resource": dict(span.resource.attributes),
        "scope": [scope.name, scope.version] if scope is not None else ["", None],
    }


def from_frame(frame: Frame) -> ReadableSpan:
    code, description = frame["status"]
    return ReadableSpan(
        name=frame["name"],
        context=_context(frame["context"]),
        parent=_context(frame["parent"]) if frame["parent"] is not None else None,
        resource=_resource(tuple(sorted(frame["resource"].items()))),
        attributes=frame["attributes"],
        events=[Event(name, attributes, timestamp) for name, timestamp, attributes in frame["events"]],
        links=[Link(_context(ids), attributes) for ids, attributes in frame["links"]],
        kind=SpanKind(frame["kind"]),
        status=Status(StatusCode(code), description),
        start_time=frame["start"],
        end_time=frame["end"],
        instrumentation_scope=InstrumentationScope(*frame["scope"]),
    )


def _ids(context: SpanContext) -> list[int | bool]:
    return [context.trace_id, context.span_id, context.is_remote, int(context.trace_flags)]


def _context(ids: list[int]) -> SpanContext:
    trace_id, span_id, is_remote, flags = ids
    return SpanContext(trace_id, span_id, bool(is_remote), TraceFlags(flags))


@lru_cache(maxsize=MAX_RESOURCES)
def _resource(items: tuple[tuple[str, Any], ...]) -> Resource:
    attributes: Mapping[str, Any] = dict(items)
    return Resource(attributes)
