"""One JSON document of a file to export requests.

- OTLP: `{"resourceSpans": […]}`, also inside `result` (Jaeger's API v3)
- Tempo: `{"batches": […]}` and `{"trace": {"resourceSpans": […]}}`, whose ids are base64
- Jaeger: `{"data": [trace, …]}`, one trace, or one span with its process (what its storages hold)
- Zipkin v1 and v2: a list of spans, or of lists of them
- a list of any of these, or what Elasticsearch holds of them (`_source`, `hits.hits`)
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any

from collector.errors import MalformedBody
from collector.receive.otlp_json import fill_json
from collector.replay.found import Converted, Found, Refused, describe
from collector.replay.jaeger import is_jaeger, read_jaeger, told_by
from collector.replay.zipkin import is_zipkin, read_zipkin
from collector.signals import Signal

_ROOTS = {
    "resourceSpans": Signal.TRACES,
    "resourceLogs": Signal.LOGS,
    "resourceMetrics": Signal.METRICS,
    "resource_spans": Signal.TRACES,
    "resource_logs": Signal.LOGS,
    "resource_metrics": Signal.METRICS,
    "batches": Signal.TRACES,  # Tempo's older word
}
_SCOPE_ROOTS = {
    "scopeSpans": "resourceSpans",
    "scopeLogs": "resourceLogs",
    "scopeMetrics": "resourceMetrics",
}  # one resource of a request by itself
_WRAPPERS = ("trace", "result", "data")
_ID_BYTES = {
    "traceId": 16,
    "spanId": 8,
    "parentSpanId": 8,
    "trace_id": 16,
    "span_id": 8,
    "parent_span_id": 8,
}
KNOWN = "OTLP (resourceSpans, resourceLogs, resourceMetrics), Tempo (batches), Jaeger or Zipkin"


def is_json(text: bytes) -> bool:
    """Whether the text is a JSON document of its own."""
    try:
        json.loads(text)
    except ValueError:
        return False
    except RecursionError:
        return True
    return True


def read_document(place: str, text: bytes) -> Iterator[Found | Refused]:
    """What one JSON document holds, or several that follow each other, as `jq` writes them."""
    try:
        document = json.loads(text)
    except RecursionError:
        yield Refused(place, "the JSON is nested too deeply")
        return
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            yield Refused(place, f"not JSON ({error})")
            return
        yield from _read_several(place, error.doc)
        return
    except ValueError as error:  # not UTF-8
        yield Refused(place, f"not JSON ({error})")
        return
    yield from _read_parsed(place, document)


def _read_several(place: str, text: str) -> Iterator[Found | Refused]:
    """Documents with nothing but white space between them; what follows a damaged one is not read."""
    decoder, number, start = json.JSONDecoder(), 0, len(text) - len(text.lstrip())
    while start < len(text):
        number += 1
        where = f"{place} document {number}"
        try:
            document, end = decoder.raw_decode(text, start)
        except RecursionError:
            yield Refused(where, "the JSON is nested too deeply")
            return
        except json.JSONDecodeError as error:
            yield Refused(where, f"not JSON ({error}); what follows is not read")
            return
        yield from _read_parsed(where, document)
        while end < len(text) and text[end].isspace():
            end += 1
        start = end


def _read_parsed(place: str, document: Any) -> Iterator[Found | Refused]:
    if isinstance(document, list) and not is_zipkin(document):
        for number, item in enumerate(document):
            yield from _read_item(f"{place}[{number}]", item)
    else:
        yield from _read_item(place, document)


def _read_item(place: str, item: Any) -> Iterator[Found | Refused]:
    hits = _hits(item)
    if hits is None:
        yield from _read_one(place, item)
    for number, hit in enumerate(hits or ()):
        yield from _read_one(f"{place} hit {number}", hit)


def _read_one(place: str, item: Any) -> Iterator[Found | Refused]:
    if isinstance(item, dict) and isinstance(item.get("_source"), dict):
        item = item["_source"]
    if is_jaeger(item):
        yield from _converted(place, read_jaeger(item))
        return
    if is_zipkin(item):
        yield from _converted(place, read_zipkin(item))
        return
    inner = _unwrapped(item)
    roots = [root for root in _ROOTS if isinstance(inner, dict) and root in inner]
    if not roots:
        yield Refused(place, told_by(item) or f"found {describe(item)}, which is none of {KNOWN}")
    for root in roots:
        signal = _ROOTS[root]
        name = "resourceSpans" if root == "batches" else root
        try:
            _ids_as_hex(inner[root])
            yield Found(place, signal, fill_json(signal, {name: inner[root]}))
        except (MalformedBody, RecursionError) as error:
            yield Refused(place, str(error))


def _converted(place: str, parts: Iterator[Converted]) -> Iterator[Found | Refused]:
    for part in parts:
        where = f"{place}{'' if part.place.startswith('[') else ' '}{part.place}".rstrip()
        if part.request is None:
            yield Refused(where, part.reason)
        else:
            yield Found(where, Signal.TRACES, part.request)


def _unwrapped(item: Any) -> Any:
    if isinstance(item, dict) and not any(root in item for root in _ROOTS):
        for name in _WRAPPERS:
            inner = item.get(name)
            if isinstance(inner, dict) and any(root in inner for root in _ROOTS):
                return inner
        for name, root in _SCOPE_ROOTS.items():
            if isinstance(item.get(name), list):
                return {root: [item]}
    return item


def _hits(item: Any) -> list[Any] | None:
    """What a search of Elasticsearch has found."""
    found = item.get("hits") if isinstance(item, dict) else None
    hits = found.get("hits") if isinstance(found, dict) else None
    return hits if isinstance(hits, list) else None


def _ids_as_hex(part: Any) -> None:
    """Write base64 ids (of Tempo, and of protobuf's JSON) as hex; their length shows the encoding."""
    if isinstance(part, list):
        for item in part:
            _ids_as_hex(item)
    elif isinstance(part, dict):
        for name, value in part.items():
            size_bytes = _ID_BYTES.get(name)
            if size_bytes is None:
                if isinstance(value, dict | list):
                    _ids_as_hex(value)
            elif isinstance(value, str) and len(value.rstrip("=")) == (8 * size_bytes + 5) // 6:
                part[name] = _base64_as_hex(value)


def _base64_as_hex(text: str) -> str:
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True).hex()
    except binascii.Error:
        return text
