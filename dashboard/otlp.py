"""A trace of the API as OTLP JSON, for other tools. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_KINDS = {"UNSPECIFIED": 0, "INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}
_STATUS = {"UNSET": 0, "OK": 1, "ERROR": 2}


def trace_json(trace: Mapping[str, Any], links: Mapping[str, list[tuple[str, str]]]) -> str:
    """`{"resourceSpans": […]}`: one resource for each service, spans in tree order.

    Times keep their nanoseconds. Of the resource only `service.name` is kept: the trace view gives no more.

    Args:
        links: (trace id, span id) by the span that links.
    """
    by_service: dict[str, list[dict[str, Any]]] = {}
    for span in trace["spans"]:
        by_service.setdefault(span["service_name"], []).append(
            _span(trace["trace_id"], span, links.get(span["span_id"], []))
        )
    resources = [
        {
            "resource": {"attributes": [_pair("service.name", service)]},
            "scopeSpans": [{"scope": {"name": "spyhop"}, "spans": spans}],
        }
        for service, spans in by_service.items()
    ]
    return json.dumps({"resourceSpans": resources}, ensure_ascii=False)


def _span(trace_id: str, span: Mapping[str, Any], links: list[tuple[str, str]]) -> dict[str, Any]:
    start = int(span["start_unix_nano"])
    written: dict[str, Any] = {
        "traceId": trace_id,
        "spanId": span["span_id"],
        "name": span["span_name"],
        "kind": _KINDS.get(span.get("span_kind") or "", 0),
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + int(span["duration_ns"])),
        "attributes": [_pair(key, value) for key, value in (span.get("attributes") or {}).items()],
        "status": {"code": _STATUS.get(span.get("status_code") or "", 0)},
    }
    if span.get("parent_span_id"):
        written["parentSpanId"] = span["parent_span_id"]
    if span.get("status_message"):
        written["status"]["message"] = span["status_message"]
    if span.get("events"):
        written["events"] = [
            {
                "timeUnixNano": str(event.get("time_unix_nano") or start),
                "name": event.get("name") or "",
                "attributes": [_pair(key, value) for key, value in (event.get("attributes") or {}).items()],
            }
            for event in span["events"]
        ]
    if links:
        written["links"] = [{"traceId": trace, "spanId": other} for trace, other in links]
    return written


def _pair(key: str, value: object) -> dict[str, Any]:
    return {"key": key, "value": _any_value(value)}


def _any_value(value: object) -> dict[str, Any]:  # noqa: PLR0911 - one for each type of OTLP
    """
    >>> _any_value(True), _any_value(3), _any_value(["a"])
    ({'boolValue': True}, {'intValue': '3'}, {'arrayValue': {'values': [{'stringValue': 'a'}]}})
    """
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [_any_value(item) for item in value]}}
        case dict():
            return {"kvlistValue": {"values": [_pair(str(key), item) for key, item in value.items()]}}
        case None:
            return {}
        case _:
            return {"stringValue": str(value)}
