"""OTLP messages as JSON: ids as hexadecimal digits, as OTLP asks, or as base64, as in plain protobuf."""

from __future__ import annotations

import base64
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

_IDS = ("traceId", "spanId", "parentSpanId")


def otlp_json(trace: TracesData) -> dict[str, Any]:
    """`{"resourceSpans": […]}` as the OTLP specification writes it: hex ids, enums as numbers."""
    document: dict[str, Any] = MessageToDict(trace, use_integers_for_enums=True)
    document.setdefault("resourceSpans", [])
    for of_resource in document["resourceSpans"]:
        for of_scope in of_resource.get("scopeSpans", ()):
            for span in of_scope.get("spans", ()):
                span.setdefault("status", {})
                for holder in (span, *span.get("links", ())):
                    for name in _IDS:
                        if name in holder:
                            holder[name] = base64.b64decode(holder[name]).hex()
    return document


def protobuf_json(trace: TracesData) -> dict[str, Any]:
    """`{"resourceSpans": […]}` as protobuf's JSON mapping: base64 ids, enums by name."""
    document: dict[str, Any] = MessageToDict(trace)
    document.setdefault("resourceSpans", [])
    return document
