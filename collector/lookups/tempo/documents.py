"""Answers in the forms of Tempo's query API."""

from __future__ import annotations

import math
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from collector.search.metrics import Series
from collector.search.results import FoundSpan, FoundTrace

ROOT_MISSING = "<root span not yet received>"
Json = dict[str, Any]


def found_trace(trace: FoundTrace) -> Json:
    spanset = {"spans": [_span(span) for span in trace.spans], "matched": trace.matched_count}
    return {
        "traceID": trace.trace_id,
        "rootServiceName": trace.root_service_name if trace.has_root else ROOT_MISSING,
        "rootTraceName": trace.root_span_name if trace.has_root else "",
        "startTimeUnixNano": str(trace.start_ns),
        "durationMs": max(0, trace.duration_ns) // 1_000_000,
        "spanSet": spanset,
        "spanSets": [spanset],
        "serviceStats": {
            name: {"spanCount": spans, **({"errorCount": errors} if errors else {})}
            for name, (spans, errors) in trace.services.items()
        },
    }


def _span(span: FoundSpan) -> Json:
    attributes = [{"key": key.lstrip("."), "value": any_value(value)} for key, value in span.values.items()]
    found: Json = {
        "spanID": span.span_id,
        "name": span.span_name,
        "startTimeUnixNano": str(span.start_ns),
        "durationNanos": str(span.duration_ns),
    }
    return {**found, "attributes": attributes} if attributes else found


def any_value(value: object) -> Json:
    """OTLP's AnyValue in JSON."""
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case None:
            return {"stringValue": "nil"}
        case list():
            return {"arrayValue": {"values": [any_value(item) for item in value]}}
        case _:
            return {"stringValue": str(value)}


def series(found: Series) -> Json:
    samples = [
        {"timestampMs": str(sample.time_ns // 1_000_000), "value": _finite(sample.value)}
        for sample in found.samples
    ]
    return {"labels": _labels(found), "samples": samples, "promLabels": prom_labels(found), "exemplars": []}


def instant(found: Series) -> Json:
    """The same for one step."""
    value = found.samples[-1].value if found.samples else 0.0
    return {"labels": _labels(found), "value": _finite(value), "promLabels": prom_labels(found)}


def _labels(found: Series) -> list[Json]:
    return [{"key": key, "value": any_value(value)} for key, value in found.labels.items()]


def prom_labels(found: Series) -> str:
    """`{name="value", …}`."""
    pairs = (f"{key}={_quoted(value)}" for key, value in found.labels.items())
    return "{" + ", ".join(pairs) + "}"


def _quoted(value: object) -> str:
    text = "nil" if value is None else str(value)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _finite(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def trace_by_id_bytes(trace: TracesData, message: str) -> bytes:
    """Tempo's TraceByIDResponse: field 1 is the trace; of a partial one 3 is the status, 4 says why."""
    content = trace.SerializeToString()
    answer = b"\x0a" + _varint(len(content)) + content
    if message:
        text = message.encode()
        answer += b"\x18\x01\x22" + _varint(len(text)) + text
    return answer


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
