"""Values and names that are too long to keep: their spans, log records and data points are taken out."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from google.protobuf.message import Message

from collector.receive.walk import LEVELS, item_count, point_list, retain
from collector.signals import Signal

_SHOWN_CHARS = 64


class Limits(NamedTuple):
    """Beyond these a span, log record or data point is rejected.

    `value_bytes` is at least 64 KiB: a request below it cannot hold a value beyond it and is not looked at.
    """

    value_bytes: int = 1024 * 1024  # SPYHOP_OTLP_MAX_VALUE_BYTES
    name_chars: int = 4096  # SPYHOP_OTLP_MAX_NAME_CHARS


DEFAULT_LIMITS = Limits()


def drop_long(signal: Signal, request: Message, limits: Limits) -> Counter[str]:
    """Take out of `request` each item with a value beyond `limits.value_bytes`; how many for each reason.

    What is too long in a resource, a scope or a metric costs all items below it. Parts that are smaller than
    the limit as a whole are passed over, so the work lies in the few that are not.
    """
    reasons: Counter[str] = Counter()
    resources, scopes, items = LEVELS[signal]
    for resource in getattr(request, resources):
        if resource.ByteSize() <= limits.value_bytes:
            continue
        if place := long_part(resource, limits.value_bytes, without=scopes):
            count = sum(item_count(signal, getattr(scope, items)) for scope in getattr(resource, scopes))
            reasons[_reason(place, limits)] += count
            resource.Clear()
            continue
        for scope in getattr(resource, scopes):
            if scope.ByteSize() <= limits.value_bytes:
                continue
            if place := long_part(scope, limits.value_bytes, without=items):
                reasons[_reason(place, limits)] += item_count(signal, getattr(scope, items))
                scope.Clear()
                continue
            if signal is Signal.METRICS:
                _drop_metrics(scope.metrics, limits, reasons)
            else:
                _drop(getattr(scope, items), limits, reasons)
    return +reasons  # without those that cost no item


def drop_long_metric_names(metrics: Any, limits: Limits, reasons: Counter[str]) -> None:
    """Take metrics whose name is too long out of a list of them, and count their data points."""
    if all(len(metric.name) <= limits.name_chars for metric in metrics):
        return

    def keep(metric: Any) -> bool:
        if len(metric.name) <= limits.name_chars:
            return True
        reasons[name_fault(limits)] += item_count(Signal.METRICS, [metric])
        return False

    retain(metrics, keep)


def name_fault(limits: Limits) -> str:
    return f"the name is longer than {limits.name_chars} characters (SPYHOP_OTLP_MAX_NAME_CHARS)"


def long_part(message: Message, max_bytes: int, *, without: str = "") -> str:
    """What in `message`, but for its field `without`, is longer than `max_bytes`; empty when nothing is.

    A value is a text, a byte string or a list of numbers; an attribute's value or a log's body counts as one
    value with all that is nested in it.
    """
    for field, content in message.ListFields():
        if field.name == without:
            continue
        parts = content if field.is_repeated else (content,)
        if field.message_type is None:
            if any(_size_bytes(part) > max_bytes for part in parts) or 8 * len(parts) > max_bytes:
                return str(field.name)
            continue
        for part in parts:
            if part.ByteSize() <= max_bytes:
                continue
            match part.DESCRIPTOR.name:
                case "KeyValue":
                    place = f"attribute {part.key[:_SHOWN_CHARS]!r}" if _is_long_pair(part, max_bytes) else ""
                case "AnyValue":
                    place = str(field.name) if _value_bytes(part) > max_bytes else ""
                case _:
                    place = long_part(part, max_bytes)
            if place:
                return place
    return ""


def _drop(items: Any, limits: Limits, reasons: Counter[str], **options: str) -> None:
    def keep(item: Any) -> bool:
        if item.ByteSize() <= limits.value_bytes:
            return True
        place = long_part(item, limits.value_bytes, **options)
        if place:
            reasons[_reason(place, limits)] += 1
        return not place

    retain(items, keep)


def _drop_metrics(metrics: Any, limits: Limits, reasons: Counter[str]) -> None:
    def keep(metric: Any) -> bool:
        if metric.ByteSize() <= limits.value_bytes:
            return True
        place = long_part(metric, limits.value_bytes, without=metric.WhichOneof("data") or "")
        if place:
            reasons[_reason(place, limits)] += item_count(Signal.METRICS, [metric])
            return False
        if points := point_list(metric):
            _drop(points, limits, reasons)
        return True

    retain(metrics, keep)


def _reason(place: str, limits: Limits) -> str:
    return f"{place} is longer than {limits.value_bytes} bytes (SPYHOP_OTLP_MAX_VALUE_BYTES)"


def _is_long_pair(pair: Any, max_bytes: int) -> bool:
    return _size_bytes(pair.key) > max_bytes or _value_bytes(pair.value) > max_bytes


def _value_bytes(value: Any) -> int:
    kind = value.WhichOneof("value")
    if kind in ("string_value", "bytes_value"):
        return _size_bytes(getattr(value, kind))
    return int(value.ByteSize())


def _size_bytes(part: Any) -> int:
    if isinstance(part, str):
        return len(part.encode())
    return len(part) if isinstance(part, bytes) else 8
