from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.receive import json_wire
from collector.receive.json_wire import TraceTranslator
from collector.receive.otlp_json import parse_json
from collector.signals import Signal

SPAN: dict[str, Any] = {
    "traceId": "0102030405060708090a0b0c0d0e0f10",
    "spanId": "0102030405060708",
    "name": "GET /",
    "startTimeUnixNano": "1790000000000000000",
    "endTimeUnixNano": 1790000000000000500,
}
VALUES = [
    {"stringValue": ""},
    {"stringValue": "é😀" * 60},
    {"boolValue": False},
    {"boolValue": True},
    {"intValue": 0},
    {"intValue": "-9223372036854775808"},
    {"intValue": 9223372036854775807},
    {"doubleValue": -0.5},
    {"doubleValue": 3},
    {"doubleValue": "NaN"},
    {"bytesValue": "AAE="},
    {"arrayValue": {"values": [{"intValue": 1}, {"stringValue": "x"}, {}]}},
    {"kvlistValue": {"values": [{"key": "a", "value": {"boolValue": True}}]}},
    {"stringValue": "later wins", "intValue": 3},
    {"string_value": "protobuf's own name"},
    {"unheardOf": 1},
    {},
]


def body_of(*spans: dict[str, Any], **resource_spans: Any) -> bytes:
    resource = {"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "s"}}]}}
    scopes = [{"scope": {"name": "lib", "version": "1"}, "spans": list(spans), "schemaUrl": "u"}]
    return json.dumps({"resourceSpans": [{**resource, "scopeSpans": scopes, **resource_spans}]}).encode()


def exact(body: bytes) -> bytes:
    return parse_json(Signal.TRACES, body).SerializeToString()


def with_attributes(*values: dict[str, Any]) -> dict[str, Any]:
    return SPAN | {"attributes": [{"key": f"k{i}", "value": value} for i, value in enumerate(values)]}


def test_every_field_the_same_bytes() -> None:
    """A span with every field set comes out as the bytes that the message would be written as."""
    attribute = {"key": "k", "value": {"stringValue": "v"}}
    span = with_attributes(*VALUES) | {
        "traceState": "a=b",
        "parentSpanId": "1112131415161718",
        "flags": 4294967295,
        "kind": 3,
        "droppedAttributesCount": 300,
        "events": [{"name": "e", "timeUnixNano": "5", "attributes": [attribute]}, {}],
        "droppedEventsCount": 1,
        "links": [{"traceId": SPAN["traceId"], "spanId": SPAN["spanId"], "attributes": [attribute]}],
        "droppedLinksCount": 2,
        "status": {"code": "STATUS_CODE_ERROR", "message": "no"},
    }
    body = body_of(SPAN, span, SPAN | {"kind": "SPAN_KIND_CLIENT", "status": {}}, schemaUrl="v")
    assert TraceTranslator().translate(body) == exact(body)


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_attribute_values(value: dict[str, Any]) -> None:
    """Each kind of value has the same bytes the first time and when it is known already."""
    translator, body = TraceTranslator(), body_of(with_attributes(value, value), with_attributes(value))
    assert translator.translate(body) == translator.translate(body) == exact(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"resource_spans": []}',
        body_of(SPAN | {"trace_id": "00"}),
        body_of(SPAN | {"parentSpanId": None}),
        body_of(SPAN | {"traceId": "xyz"}),
        body_of(SPAN | {"kind": "SPAN_KIND_NEW"}),
        body_of(SPAN | {"kind": 1000}),
        body_of(SPAN | {"startTimeUnixNano": -1}),
        body_of(SPAN | {"endTimeUnixNano": 2**64}),
        body_of(SPAN | {"flags": 2**32}),
        body_of(SPAN | {"name": 5}),
        body_of(SPAN | {"name": "\ud800"}),
        body_of(SPAN | {"events": [None]}),
        body_of(SPAN | {"newField": 1}),
        body_of(with_attributes({"intValue": 2**63})),
        body_of(with_attributes({"intValue": "five"})),
        body_of(with_attributes({"stringValue": "\ud800"})),
        body_of(SPAN).replace(b"GET /", b"\xff"),
        body_of(with_attributes({"stringValue": "bad"})).replace(b"bad", b"\xff"),
        body_of(SPAN).decode().encode("utf-16"),
    ],
)
def test_the_unusual_takes_the_exact_way(body: bytes) -> None:
    """Bodies that this way cannot decode for certain are left to the other, which takes them or names the
    fault.
    """
    assert TraceTranslator().translate(body) is None


_scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
_members = st.sampled_from(
    ["stringValue", "boolValue", "intValue", "doubleValue", "bytesValue", "arrayValue", "other"]
)
_values = st.dictionaries(_members, _scalars, max_size=2)
_fields = st.sampled_from(
    [
        "traceId",
        "spanId",
        "name",
        "kind",
        "flags",
        "startTimeUnixNano",
        "droppedLinksCount",
        "status",
        "links",
    ]
)
_spans = st.builds(
    lambda fields, values: with_attributes(*values) | fields,
    st.dictionaries(_fields, _scalars, max_size=2),
    st.lists(_values, max_size=3),
)


@given(spans=st.lists(_spans, max_size=3))
def test_never_other_bytes(spans: list[dict[str, Any]]) -> None:
    """Whatever a span holds: the bytes are those of the exact way, or there are none."""
    body = body_of(*spans)
    translated = TraceTranslator().translate(body)
    assert translated is None or translated == exact(body)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many attributes come by, only so many are kept, and none that is long."""
    monkeypatch.setattr(json_wire, "_KNOWN_MAX", 10)
    translator = TraceTranslator()
    for number in range(100):
        body = body_of(with_attributes({"intValue": number}, {"stringValue": "x" * 300}))
        assert translator.translate(body) == exact(body)
    assert 0 < len(translator.known) <= 10
