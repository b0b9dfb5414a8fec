"""Tags by which Jaeger and Zipkin carry fields of OTLP: the status, the scope, the trace state.

https://opentelemetry.io/docs/specs/otel/trace/sdk_exporters/jaeger/ and …/zipkin/
"""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

_STATUS_CODES = {"OK": Status.STATUS_CODE_OK, "ERROR": Status.STATUS_CODE_ERROR}
_SCOPE_TAGS = (("otel.scope.name", "otel.library.name"), ("otel.scope.version", "otel.library.version"))
# Tags that have a field of their own in OTLP.
FIELD_TAGS = frozenset(
    {"otel.status_code", "otel.status_description", "w3c.tracestate", *_SCOPE_TAGS[0], *_SCOPE_TAGS[1]}
)


def scope_of(tags: Mapping[str, object]) -> tuple[str, str]:
    """Name and version of the scope; empty where no tag has them."""
    name, version = (next((str(tags[tag]) for tag in among if tag in tags), "") for among in _SCOPE_TAGS)
    return name, version


def set_status(span: Span, tags: Mapping[str, object], *, is_error: bool, message: str = "") -> None:
    """Set the span's status from its tags.

    Args:
        is_error: the format's own mark of an error, which counts where no tag has a code.
        message: where no tag describes the status.
    """
    code = _STATUS_CODES.get(str(tags.get("otel.status_code", "")).upper())
    if code is None and is_error:
        code = Status.STATUS_CODE_ERROR
    if code is not None:
        span.status.code = code
        span.status.message = str(tags.get("otel.status_description") or message)
