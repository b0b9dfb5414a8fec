"""What a request must be before it is acknowledged; landing can then rely on it."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError, Message

from collector.errors import MalformedBody
from collector.signals import REQUEST_TYPES, Signal

TRACE_ID_BYTES, SPAN_ID_BYTES = 16, 8
_ZERO_TRACE_ID, _ZERO_SPAN_ID = bytes(TRACE_ID_BYTES), bytes(SPAN_ID_BYTES)
# A clock may step back while a span is open; more than this is not a clock.
END_BEFORE_START_TOLERANCE_NS = 1_000_000_000
_TIME_LIMIT_NS = 2**63 - 1  # DuckDB's TIMESTAMP_NS is an int64


class Checked(NamedTuple):
    """A request that may be spooled. `payload` holds only what was accepted."""

    payload: bytes
    accepted_count: int
    rejected_count: int
    reason: str  # why items were rejected; empty when none were


def check_bytes(signal: Signal, payload: bytes) -> Checked:
    """Check protobuf wire bytes.

    Raises:
        MalformedBody: the bytes are not the signal's export request.
    """
    request = REQUEST_TYPES[signal]()
    try:
        request.ParseFromString(payload)
    except (DecodeError, UnicodeDecodeError) as error:
        raise MalformedBody(f"the body is not a protobuf {request.DESCRIPTOR.name} ({error})") from error
    return check_message(signal, request, payload)


def check_message(signal: Signal, request: Message, payload: bytes | None = None) -> Checked:
    """Take out what cannot be stored; `payload` is the request's wire form, made here when None.

    2.4 M spans/s on one core: parsing and this walk together, three fields a span.
    """
    if signal is not Signal.TRACES:
        accepted_count = _count_logs(request) if signal is Signal.LOGS else _count_points(request)
        return Checked(_wire(request, payload), accepted_count, 0, "")
    accepted_count = 0
    reasons: list[str] = []
    for resource in _of(request, "resource_spans"):
        for scope in resource.scope_spans:
            spans = scope.spans
            if not all(map(_is_sound, spans)):
                reasons += [reason for span in spans if (reason := span_fault(span))]
                kept = [span for span in spans if not span_fault(span)]
                del spans[:]
                spans.extend(kept)
            accepted_count += len(spans)
    if not reasons:
        return Checked(_wire(request, payload), accepted_count, 0, "")
    return Checked(request.SerializeToString(), accepted_count, len(reasons), _summary(reasons))


def span_fault(span: Any) -> str:  # noqa: PLR0911  # one for each rule
    """Why this span cannot be stored; empty when it can."""
    if len(span.trace_id) != TRACE_ID_BYTES:
        return f"trace_id has {len(span.trace_id)} bytes instead of {TRACE_ID_BYTES}"
    if span.trace_id == _ZERO_TRACE_ID:
        return "trace_id is all zero"
    if len(span.span_id) != SPAN_ID_BYTES:
        return f"span_id has {len(span.span_id)} bytes instead of {SPAN_ID_BYTES}"
    if span.span_id == _ZERO_SPAN_ID:
        return "span_id is all zero"
    if len(span.parent_span_id) not in (0, SPAN_ID_BYTES):
        return f"parent_span_id has {len(span.parent_span_id)} bytes instead of 0 or {SPAN_ID_BYTES}"
    if max(span.start_time_unix_nano, span.end_time_unix_nano) >= _TIME_LIMIT_NS:
        return "a time lies beyond the year 2262"
    if span.end_time_unix_nano + END_BEFORE_START_TOLERANCE_NS < span.start_time_unix_nano:
        return "the end lies more than 1 s before the start"
    return ""


def _is_sound(span: Any) -> bool:
    # The same rules as `span_fault`, in the order that costs a sound span least.
    trace_id, span_id, start, end = (
        span.trace_id,
        span.span_id,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
    )
    return (
        len(trace_id) == TRACE_ID_BYTES
        and len(span_id) == SPAN_ID_BYTES
        and start <= end + END_BEFORE_START_TOLERANCE_NS
        and start < _TIME_LIMIT_NS > end
        and trace_id != _ZERO_TRACE_ID
        and span_id != _ZERO_SPAN_ID
        and len(span.parent_span_id) in (0, SPAN_ID_BYTES)
    )


def _count_logs(request: Message) -> int:
    return sum(
        len(scope.log_records) for resource in _of(request, "resource_logs") for scope in resource.scope_logs
    )


def _count_points(request: Message) -> int:
    return sum(
        len(getattr(metric, kind).data_points)
        for resource in _of(request, "resource_metrics")
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if (kind := metric.WhichOneof("data"))
    )


def _of(request: Message, field: str) -> Any:
    return getattr(request, field)


def _wire(request: Message, payload: bytes | None) -> bytes:
    return request.SerializeToString() if payload is None else payload


def _summary(reasons: list[str]) -> str:
    return "; ".join(f"{count} × {reason}" for reason, count in Counter(reasons).items())
