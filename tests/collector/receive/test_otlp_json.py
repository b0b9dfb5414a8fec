from __future__ import annotations

import json
import math
from typing import Any

import pytest

from collector.errors import MalformedBody
from collector.receive.otlp_json import parse_json
from collector.signals import Signal


def span_of(span: dict[str, Any]) -> Any:
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    return parse_json(Signal.TRACES, json.dumps(body).encode()).resource_spans[0].scope_spans[0].spans[0]


def value_of(value: dict[str, Any]) -> Any:
    return span_of({"attributes": [{"key": "k", "value": value}]}).attributes[0].value


def test_ids_are_hex() -> None:
    """Trace, span, parent and link ids are hex in either case, unlike protobuf's own base64."""
    span = span_of(
        {"traceId": "AB" * 16, "spanId": "cd" * 8, "parentSpanId": "", "links": [{"spanId": "01" * 8}]}
    )
    assert (span.trace_id, span.span_id, span.parent_span_id) == (b"\xab" * 16, b"\xcd" * 8, b"")
    assert span.links[0].span_id == b"\x01" * 8


@pytest.mark.parametrize("kind", [2, "2", "SPAN_KIND_SERVER", 2.0], ids=repr)
def test_enums(kind: object) -> None:
    """An enum may be its number or its name."""
    assert span_of({"kind": kind}).kind == 2


@pytest.mark.parametrize("time", [1790000000000000001, "1790000000000000001"], ids=repr)
def test_large_integers(time: object) -> None:
    """64-bit integers keep every digit as numbers and as strings."""
    assert span_of({"startTimeUnixNano": time}).start_time_unix_nano == 1790000000000000001


def test_both_spellings_and_unknown_fields() -> None:
    """camelCase and the proto's own names are read; unknown fields and nulls are passed over."""
    span = span_of({"trace_state": "a=b", "name": "n", "future": {"x": [1]}, "status": None, "flags": 257})
    assert (span.trace_state, span.name, span.flags) == ("a=b", "n", 257)
    assert not span.HasField("status")


def test_values() -> None:
    """Each member of a value is set, also when it holds the type's zero."""
    assert value_of({"intValue": "0"}).WhichOneof("value") == "int_value"
    assert value_of({"boolValue": False}).WhichOneof("value") == "bool_value"
    assert value_of({"stringValue": ""}).WhichOneof("value") == "string_value"
    assert value_of({"doubleValue": 1}).double_value == 1.0
    assert math.isnan(value_of({"doubleValue": "NaN"}).double_value)
    assert value_of({"doubleValue": "-Infinity"}).double_value == -math.inf
    assert value_of({"bytesValue": "AP8="}).bytes_value == b"\x00\xff"
    assert value_of({"bytesValue": "AP8"}).bytes_value == b"\x00\xff"
    assert value_of({"arrayValue": {}}).WhichOneof("value") == "array_value"
    nested = value_of({"kvlistValue": {"values": [{"key": "a", "value": {"arrayValue": {"values": [{}]}}}]}})
    assert nested.kvlist_value.values[0].value.array_value.values[0].WhichOneof("value") is None


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "the body must be an object, not an array"),
        (b'{"resourceSpans": {}}', "resourceSpans must be an array"),
        (b'{"resourceSpans": [1]}', r"resourceSpans\[0\] must be an object, not a number"),
        (b'{"resourceSpans": [{"schemaUrl": 1}]}', r"resourceSpans\[0\]\.schemaUrl: expected a string"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_malformed(body: bytes, complaint: str) -> None:
    """Errors name the place of the fault."""
    with pytest.raises(MalformedBody, match=complaint):
        parse_json(Signal.TRACES, body)


@pytest.mark.parametrize(
    "span",
    [
        {"traceId": "xyz"},
        {"traceId": "abc"},
        {"kind": "SPAN_KIND_FANCY"},
        {"kind": True},
        {"flags": -1},
        {"flags": 1.5},
        {"startTimeUnixNano": 2**64},
        {"startTimeUnixNano": "soon"},
        {"name": "\ud800"},
        {"attributes": [{"value": {"bytesValue": "?"}}]},
        {"attributes": [{"value": {"boolValue": "true"}}]},
        {"attributes": [{"value": {"intValue": 2**63}}]},
    ],
)
def test_wrong_values(span: dict[str, Any]) -> None:
    """A value that does not fit its field is refused, not bent."""
    with pytest.raises(MalformedBody):
        span_of(span)


def test_deep_nesting() -> None:
    """A value nested without end is refused before it exhausts the stack."""
    value: dict[str, Any] = {}
    for _ in range(300):
        value = {"arrayValue": {"values": [value]}}
    with pytest.raises(MalformedBody, match="nested deeper"):
        value_of(value)
