"""Cuts values and names at the limit, counts them, and marks the place.

The mark is the attribute `spyhop.truncated_values`, how many values were cut: on the span, log record, data
point or exemplar, on the resource or scope, or, for a metric's own texts, in its metadata.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from google.protobuf.message import Message

from collector.receive.walk import LEVELS, point_list, retain
from collector.signals import Signal

MARK = "spyhop.truncated_values"
_SHOWN_CHARS = 64
_FRAME_BYTES = 6  # tag and length around a nested part, at most


class Limits(NamedTuple):
    """Beyond these a value or a name is cut.

    `value_bytes` is at least 64 KiB: a request below it cannot hold a value beyond it and is not looked at.
    """

    value_bytes: int = 1024 * 1024  # SPYHOP_OTLP_MAX_VALUE_BYTES
    name_chars: int = 4096


DEFAULT_LIMITS = Limits()


def cut_values(
    signal: Signal, request: Message, limits: Limits, cut: Counter[str], refused: Counter[str]
) -> None:
    """Cut each value beyond `limits.value_bytes` in `request`.

    Parts smaller than the limit are skipped: only the few larger ones cost time.

    Args:
        cut: gets how many values were cut for each place.
        refused: gets the data points that were taken out, since a list of numbers cannot be cut.
    """
    max_bytes = limits.value_bytes
    resources, scopes, items = LEVELS[signal]
    for resource in getattr(request, resources):
        if resource.ByteSize() <= max_bytes:
            continue
        cutter = _Cutter(max_bytes, cut)
        cutter.cut(resource, without=scopes)
        cutter.mark(lambda each=resource: each.resource.attributes)
        for scope in getattr(resource, scopes):
            if scope.ByteSize() <= max_bytes:
                continue
            cutter.cut(scope, without=items)
            cutter.mark(lambda each=scope: each.scope.attributes)
            for item in getattr(scope, items):
                if item.ByteSize() <= max_bytes:
                    continue
                if signal is Signal.METRICS:
                    _cut_metric(item, cutter, refused)
                else:
                    cutter.cut(item)
                    cutter.mark(lambda each=item: each.attributes)


def cut_metric_names(metrics: Any, limits: Limits, cut: Counter[str]) -> None:
    """Cut the names of metrics at `limits.name_chars`."""
    for metric in metrics:
        if len(metric.name) > limits.name_chars:
            cut_name(metric, metric.metadata, limits, cut)


def cut_name(item: Any, attributes: Any, limits: Limits, cut: Counter[str]) -> None:
    """Cut the name of a span or metric that is longer than `limits.name_chars`."""
    item.name = item.name[: limits.name_chars]
    cut[f"the name was cut at {limits.name_chars} characters"] += 1
    _add_mark(attributes, 1)


def cut_text(text: str, max_bytes: int) -> str:
    """The longest beginning of `text` within `max_bytes` of UTF-8, whole characters only."""
    return text.encode()[:max_bytes].decode(errors="ignore")


class _Cutter:
    """Cuts, and counts what it cut since the last mark."""

    def __init__(self, max_bytes: int, places: Counter[str]) -> None:
        self.max_bytes = max_bytes
        self._places = places
        self._count = 0

    def mark(self, attributes: Any) -> None:
        """Note in `attributes()` how many values were cut since the last mark, when any were."""
        if self._count:
            _add_mark(attributes(), self._count)
            self._count = 0

    def cut(self, message: Message, *, without: str = "") -> None:
        """Cut every value in `message`, but for its field `without`.

        A value is a text or a byte string; an attribute's value or a log's body counts as one value with all
        that is nested in it.
        """
        max_bytes = self.max_bytes
        for field, content in message.ListFields():
            if field.name == without:
                continue
            if field.message_type is None:
                if field.is_repeated:
                    self._cut_list(content, field.name)
                elif _size_bytes(content) > max_bytes:
                    setattr(message, field.name, _beginning(content, max_bytes))
                    self._note(field.name)
                continue
            for part in content if field.is_repeated else (content,):
                if part.ByteSize() <= max_bytes:
                    continue
                match part.DESCRIPTOR.name:
                    case "KeyValue":
                        self._cut_pair(part)
                    case "AnyValue":
                        self._cut_value(part, field.name)
                    case _:
                        self.cut(part)

    def _cut_pair(self, pair: Any) -> None:
        place = f"attribute {pair.key[:_SHOWN_CHARS]!r}"
        if _size_bytes(pair.key) > self.max_bytes:
            pair.key = cut_text(pair.key, self.max_bytes)
            self._note(place)
        self._cut_value(pair.value, place)

    def _cut_value(self, value: Any, place: str) -> None:
        kind = value.WhichOneof("value")
        is_plain = kind in ("string_value", "bytes_value")
        if (_size_bytes(getattr(value, kind)) if is_plain else value.ByteSize()) > self.max_bytes:
            _fit(value, self.max_bytes)
            self._note(place)

    def _cut_list(self, content: Any, name: str) -> None:
        """Numbers stay: a shortened histogram would be a different one (see `_has_long_list`)."""
        if not isinstance(content[0], str | bytes):
            return
        room = self.max_bytes
        for number, text in enumerate(content):
            room -= _size_bytes(text)
            if room < 0:
                del content[number:]
                self._note(name)
                return

    def _note(self, place: str) -> None:
        self._count += 1
        limit = f"{self.max_bytes} bytes (SPYHOP_OTLP_MAX_VALUE_BYTES)"
        self._places[f"{place} was cut at {limit}"] += 1


def _cut_metric(metric: Any, cutter: _Cutter, refused: Counter[str]) -> None:
    cutter.cut(metric, without=metric.WhichOneof("data") or "")
    cutter.mark(lambda: metric.metadata)

    def keep(point: Any) -> bool:
        if point.ByteSize() <= cutter.max_bytes:
            return True
        if place := _long_list(point, cutter.max_bytes):
            refused[f"{place} has more than {cutter.max_bytes} bytes (SPYHOP_OTLP_MAX_VALUE_BYTES)"] += 1
            return False
        cutter.cut(point, without="exemplars")
        cutter.mark(lambda: point.attributes)
        for exemplar in getattr(point, "exemplars", ()):
            cutter.cut(exemplar)
            cutter.mark(lambda each=exemplar: each.filtered_attributes)
        return True

    if points := point_list(metric):
        retain(points, keep)


def _long_list(message: Message, max_bytes: int) -> str:
    """The list of numbers in `message` that takes more than `max_bytes`; empty when none does."""
    for field, content in message.ListFields():
        if field.message_type is None:
            if field.is_repeated and 8 * len(content) > max_bytes:
                return str(field.name)
        elif not field.is_repeated and (place := _long_list(content, max_bytes)):
            return place
    return ""


def _fit(value: Any, room: int) -> None:
    """Cut a value, with all nested values, to at most `room` bytes: its beginning stays."""
    kind = value.WhichOneof("value")
    match kind:
        case "string_value" | "bytes_value":
            setattr(value, kind, _beginning(getattr(value, kind), max(room, 0)))
        case "array_value" | "kvlist_value":
            parts = getattr(value, kind).values
            room -= _FRAME_BYTES
            for number, part in enumerate(parts):
                size_bytes = part.ByteSize() + _FRAME_BYTES
                if size_bytes <= room:
                    room -= size_bytes
                    continue
                inner, key_bytes = (part, 0) if kind == "array_value" else (part.value, _size_bytes(part.key))
                inner_room = room - key_bytes - 3 * _FRAME_BYTES
                if inner_room > 0:
                    _fit(inner, inner_room)
                del parts[number + (inner_room > 0) :]
                return


def _beginning(content: str | bytes, max_bytes: int) -> str | bytes:
    return cut_text(content, max_bytes) if isinstance(content, str) else content[:max_bytes]


def _add_mark(attributes: Any, count: int) -> None:
    for pair in attributes:
        if pair.key == MARK:
            pair.value.int_value += count
            return
    attributes.add(key=MARK).value.int_value = count


def _size_bytes(part: object) -> int:
    if isinstance(part, str):
        return len(part.encode())
    return len(part) if isinstance(part, bytes) else 8
