from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode.logs import decode_logs
from collector.decode.metrics import decode_metrics
from collector.decode.traces import decode_traces
from collector.errors import MalformedBody
from collector.receive.check import check_bytes
from collector.signals import Signal

DECODERS: dict[Signal, Callable[[list[bytes]], Any]] = {
    Signal.TRACES: decode_traces,
    Signal.LOGS: decode_logs,
    Signal.METRICS: decode_metrics,
}


@pytest.fixture(scope="module")
def sound_body(make_request: Callable[..., Any]) -> bytes:
    """Two spans with a bit of everything, the same for all examples."""
    request = make_request(2, attributes={"a": "text", "b": [1, {"c": b"\x00"}], "d": 1.5}, name="op")
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.events.add(name="event").attributes.add(key="k").value.int_value = 1
    span.links.add(trace_id=b"\x01" * 16, span_id=b"\x02" * 8)
    span.status.code = 2
    wire: bytes = request.SerializeToString()
    return wire


@settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "200")), deadline=None)
@given(data=st.data())
def test_what_is_accepted_decodes(data: st.DataObject, sound_body: bytes) -> None:
    """However bytes are mangled, they are refused at the door or they land: nothing in between."""
    body = bytearray(sound_body)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body) - 1))
        end = start + data.draw(st.integers(0, 6))
        body[start:end] = data.draw(st.binary(max_size=6))
        if not body:
            return
    signal = data.draw(st.sampled_from(list(Signal)))
    try:
        checked = check_bytes(signal, bytes(body))
    except MalformedBody:
        return
    decoded = DECODERS[signal]([checked.payload])
    row_count = sum(t.num_rows for t in decoded) if isinstance(decoded, list) else decoded.num_rows
    assert row_count == checked.accepted_count


@pytest.mark.parametrize("again", ["resource", "status"])
def test_message_in_two_pieces(make_request: Callable[..., Any], again: str) -> None:
    """Protobuf lets a writer send a message field in pieces that the reader merges; both readers do."""
    request = make_request(1)
    resource = request.resource_spans[0]
    if again == "resource":
        more = type(resource)()
        more.resource.attributes.add(key="second").value.string_value = "x"
        whole = resource.SerializeToString() + more.SerializeToString()
    else:
        span = resource.scope_spans[0].spans[0]
        first, second = type(span)(), type(span)()
        first.CopyFrom(span)
        first.status.message = "why"
        second.status.code = 2
        scope = type(resource.scope_spans[0])()
        joined = first.SerializeToString() + second.SerializeToString()
        scope_bytes = scope.SerializeToString() + b"\x12" + _varint(len(joined)) + joined
        bare = type(resource)()
        bare.resource.CopyFrom(resource.resource)
        whole = bare.SerializeToString() + b"\x12" + _varint(len(scope_bytes)) + scope_bytes
    body = b"\x0a" + _varint(len(whole)) + whole
    merged = ExportTraceServiceRequest.FromString(body).resource_spans[0]
    row = decode_traces([check_bytes(Signal.TRACES, body).payload])
    assert row.num_rows == 1
    assert row["service_name"].to_pylist() == ["svc"]
    assert row["status_code"].to_pylist() == [
        ["UNSET", "OK", "ERROR"][merged.scope_spans[0].spans[0].status.code]
    ]
    assert row["status_message"].to_pylist() == [merged.scope_spans[0].spans[0].status.message]


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])
