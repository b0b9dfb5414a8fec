"""Spans of the trading page: OTLP/HTTP in JSON, checked, and sent on with those of the other services.

Everybody can send them, as everybody can open the page. So they are bounded, they are the wallet's and nobody
else's, and labels of faults are not judged by them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from pydantic import AfterValidator, BaseModel, Field, StringConstraints, ValidationError

from exchange_ref.services.identity import Refused
from exchange_ref.telemetry.tracing import WALLET

TRACES_PATH: Final = "/v1/traces"
MAX_SPANS: Final = 128
Text = Annotated[str, StringConstraints(max_length=4_096)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=128)]


def _not_zero(value: str) -> str:
    if not int(value, 16):
        raise ValueError("an id of zeros names nothing")
    return value


TraceId = Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$"), AfterValidator(_not_zero)]
SpanId = Annotated[str, StringConstraints(pattern="^[0-9a-f]{16}$"), AfterValidator(_not_zero)]
UnixNano = Annotated[int, Field(gt=0, lt=2**63)]


class _Value(BaseModel):
    stringValue: Text | None = None
    boolValue: bool | None = None
    intValue: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    doubleValue: float | None = None

    @property
    def plain(self) -> Any:
        values = (self.stringValue, self.boolValue, self.intValue, self.doubleValue)
        return next((value for value in values if value is not None), "")


class _Attribute(BaseModel):
    key: Name
    value: _Value


Attributes = Annotated[list[_Attribute], Field(max_length=32)]


class _Event(BaseModel):
    name: Name
    timeUnixNano: UnixNano
    attributes: Attributes = []


class _Status(BaseModel):
    code: Literal[0, 1, 2] = 0
    message: Text = ""


class _Span(BaseModel):
    traceId: TraceId
    spanId: SpanId
    parentSpanId: SpanId | None = None
    name: Name
    kind: Literal[1, 3]
    startTimeUnixNano: UnixNano
    endTimeUnixNano: UnixNano
    attributes: Attributes = []
    events: Annotated[list[_Event], Field(max_length=8)] = []
    status: _Status = _Status()


class _Scope(BaseModel):
    name: Name
    version: Text = ""


class _ScopeSpans(BaseModel):
    scope: _Scope
    spans: Annotated[list[_Span], Field(max_length=MAX_SPANS)]


class _Resource(BaseModel):
    attributes: Attributes


class _ResourceSpans(BaseModel):
    resource: _Resource
    scopeSpans: Annotated[list[_ScopeSpans], Field(max_length=1)]


class _Request(BaseModel):
    resourceSpans: Annotated[list[_ResourceSpans], Field(max_length=1)]


class BrowserSpans:
    """
    Args:
        export: takes a span that has ended.
    """

    def __init__(self, export: Callable[[ReadableSpan], None]) -> None:
        self._export = export

    def take(self, body: bytes) -> None:
        """
        Raises:
            Refused: no such request, or spans of another service.
        """
        try:
            request = _Request.model_validate_json(body)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise Refused("invalid_request", f"{place}: {first['msg']}") from None
        for of_resource in request.resourceSpans:
            resource = Resource(_attributes(of_resource.resource.attributes))
            if resource.attributes.get("service.name") != WALLET:
                raise Refused("invalid_request", f"only spans of {WALLET} are taken here")
            for of_scope in of_resource.scopeSpans:
                scope = InstrumentationScope(of_scope.scope.name, of_scope.scope.version)
                for span in of_scope.spans:
                    self._export(_readable(span, resource, scope))


def _attributes(attributes: list[_Attribute]) -> dict[str, Any]:
    return {attribute.key: attribute.value.plain for attribute in attributes}


def _readable(span: _Span, resource: Resource, scope: InstrumentationScope) -> ReadableSpan:
    trace_id, sampled = int(span.traceId, 16), TraceFlags(TraceFlags.SAMPLED)
    parent = None
    if span.parentSpanId is not None:
        parent = SpanContext(trace_id, int(span.parentSpanId, 16), False, sampled)
    code = StatusCode(span.status.code)
    return ReadableSpan(
        span.name,
        SpanContext(trace_id, int(span.spanId, 16), False, sampled),
        parent,
        resource,
        _attributes(span.attributes),
        [Event(event.name, _attributes(event.attributes), event.timeUnixNano) for event in span.events],
        kind=SpanKind.CLIENT if span.kind == 3 else SpanKind.INTERNAL,
        status=Status(code, span.status.message if code is StatusCode.ERROR else None),
        start_time=span.startTimeUnixNano,
        end_time=span.endTimeUnixNano,
        instrumentation_scope=scope,
    )
