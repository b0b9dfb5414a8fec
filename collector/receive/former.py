"""Requests in OTLP as it was before version 0.15, when scopes were instrumentation libraries.

On the wire most of it is the same: `scope_spans` kept field 2 of `instrumentation_library_spans`. Senders
between the two, from 0.15 to 0.18, may use field 1000, to which the old list had moved.
https://github.com/open-telemetry/opentelemetry-proto/blob/main/CHANGELOG.md
"""

from __future__ import annotations

from functools import cache
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
    # Before 0.9 a metric was of doubles or of integers; that of doubles has kept its place on the wire.
    "gauge": ("double_gauge", "doubleGauge"),
    "sum": ("double_sum", "doubleSum"),
    "histogram": ("double_histogram", "doubleHistogram"),
    "summary": ("double_summary", "doubleSummary"),
    "as_double": ("value",),
}
_FORMER_KINDS = {"int_gauge": 4, "int_sum": 6, "int_histogram": 8}  # fields of a metric that are no more
_FORMER_FIELD = 1000
_LENGTH_DELIMITED = 2


def former_names(field_name: str) -> tuple[str, ...]:
    """What a field was called in JSON."""
    return _FORMER_NAMES.get(field_name, ())


@cache
def former_kinds() -> dict[str, bytes]:
    """What a metric of a kind that is no more is on the wire, by its names in JSON.

    >>> former_kinds()["intGauge"]
    b'"\\x00'
    """
    found = {}
    for name, number in _FORMER_KINDS.items():
        head, *rest = name.split("_")
        content = bytes([number << 3 | _LENGTH_DELIMITED, 0])
        found[name] = found[head + "".join(word.title() for word in rest)] = content
    return found


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
