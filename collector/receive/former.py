"""Requests in OTLP as it was before version 0.15, when scopes were instrumentation libraries.

On the wire most of it is the same: `scope_spans` kept field 2 of `instrumentation_library_spans`. Senders
between the two, from 0.15 to 0.18, may use field 1000, to which the old list had moved.
https://github.com/open-telemetry/opentelemetry-proto/blob/main/CHANGELOG.md
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from collector.receive.walk import LEVELS
from collector.signals import Signal

_FORMER_NAMES = {
    "scope_spans": ("instrumentation_library_spans", "instrumentationLibrarySpans"),
    "scope_logs": ("instrumentation_library_logs", "instrumentationLibraryLogs"),
    "scope_metrics": ("instrumentation_library_metrics", "instrumentationLibraryMetrics"),
    "scope": ("instrumentation_library", "instrumentationLibrary"),
    "log_records": ("logs",),
}
_FORMER_FIELD = 1000
_LENGTH_DELIMITED = 2


def former_names(field_name: str) -> tuple[str, ...]:
    """What a field was called in JSON."""
    return _FORMER_NAMES.get(field_name, ())


def take_former_lists(signal: Signal, request: Message) -> bool:
    """Move what lies in field 1000 of a resource to its list of today; whether anything did.

    A sender uses one field or the other, so resources that have scopes cost nothing.

    Raises:
        DecodeError: the field holds something else.
    """
    resources, scopes, _ = LEVELS[signal]
    moved = False
    for resource in getattr(request, resources):
        if getattr(resource, scopes):
            continue
        unknown: Any = UnknownFieldSet(resource)
        lists = [
            field.data
            for field in unknown
            if (field.field_number, field.wire_type) == (_FORMER_FIELD, _LENGTH_DELIMITED)
        ]
        for content in lists:
            getattr(resource, scopes).add().ParseFromString(content)
            moved = True
        if lists:
            resource.DiscardUnknownFields()
    return moved
