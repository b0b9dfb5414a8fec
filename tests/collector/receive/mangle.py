"""Hypothesis strategies for bodies that are not quite OTLP: mutations on the wire format, JSON and noise."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from hashlib import blake2s
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

from collector.signals import REQUEST_TYPES, Signal
from tests.collector.receive.otlp_calls import batch, document

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
HUGE_LENGTHS = (b"\xff\xff\xff\xff\x07", b"\xff" * 9 + b"\x01", b"\xff" * 11, b"\x80" * 10 + b"\x00")
STRANGE_JSON = (
    *(
        "null",
        "true",
        "-1",
        "1.5",
        "1e400",
        "NaN",
        "-Infinity",
        "{}",
        "[]",
        "[[]]",
        '"\\ud800"',
        '""',
        '"NaN"',
    ),
    *(str(2**64), f'"{2**64}"', '"0x10"', '" 7 "', '"٣"', '{"intValue": []}', "9" * 5000, "[" * 2000),
)


class Place(NamedTuple):
    """Where a field stands in a body."""

    tag: int
    start: int  # of its payload, after the tag and, if it has one, the length
    end: int
    wire_type: int


class Seed(NamedTuple):
    """A sound body and the fields in it, at every depth."""

    signal: Signal
    request: Message
    body: bytes
    places: list[Place]
    text: str  # the same as JSON


def make_seed(signal: Signal, service: str) -> Seed:
    """A request with each field of OTLP that has a form of its own."""
    request: Any = batch(signal, service, 2, text="x" * 20)
    match signal:
        case Signal.TRACES:
            span = request.resource_spans[0].scope_spans[0].spans[0]
            _fill_values(span.attributes)
            event = span.events.add(name="event", time_unix_nano=5)
            _fill_values(event.attributes)
            span.links.add(trace_id=b"\x01" * 16, span_id=b"\x02" * 8, flags=257)
            span.status.code, span.status.message = 2, "why"
        case Signal.LOGS:
            record = request.resource_logs[0].scope_logs[0].log_records[0]
            record.body.kvlist_value.values.add(key="nested").value.array_value.values.add().int_value = 7
            _fill_values(record.attributes)
        case Signal.METRICS:
            _fill_metrics(request.resource_metrics[0].scope_metrics[0].metrics)
    body = request.SerializeToString()
    return Seed(signal, request, body, list(_places(body, request.DESCRIPTOR)), json.dumps(document(request)))


def _fill_values(attributes: Any) -> None:
    attributes.add(key="bool").value.bool_value = True
    attributes.add(key="int").value.int_value = -(2**63)
    attributes.add(key="double").value.double_value = float("inf")
    attributes.add(key="bytes").value.bytes_value = b"\x00\xff"
    attributes.add(key="absent")
    attributes.add(key="list").value.array_value.values.add().string_value = "text"


def _fill_metrics(metrics: Any) -> None:
    total = metrics.add(name="sum").sum
    total.aggregation_temporality, total.is_monotonic = 2, True
    point = total.data_points.add(as_double=1.5)
    point.exemplars.add(as_int=3, trace_id=b"\x01" * 16, span_id=b"\x02" * 8)
    metrics.add(name="h").histogram.data_points.add(count=3, sum=1, bucket_counts=[1, 2], explicit_bounds=[5])
    exponential = metrics.add(name="e").exponential_histogram.data_points.add(scale=3, zero_count=1)
    exponential.positive.bucket_counts.extend([1, 2, 300])
    summary = metrics.add(name="s").summary.data_points.add(count=2)
    summary.quantile_values.add(quantile=0.5, value=1)


def _places(body: bytes, kind: Descriptor | None, start: int = 0, end: int | None = None) -> Iterator[Place]:
    end = len(body) if end is None else end
    while start < end:
        tag = start
        key, start = _read_varint(body, start)
        number, wire_type = key >> 3, key & 7
        match wire_type:
            case 0:
                yield Place(tag, start, stop := _read_varint(body, start)[1], wire_type)
            case 1 | 5:
                yield Place(tag, start, stop := start + (8 if wire_type == FIXED64 else 4), wire_type)
            case _:
                size, start = _read_varint(body, start)
                yield Place(tag, start, stop := start + size, wire_type)
                field = kind.fields_by_number.get(number) if kind else None
                if field is not None and field.message_type is not None:
                    yield from _places(body, field.message_type, start, stop)
        start = stop


def _read_varint(body: bytes, start: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = body[start]
        number |= (byte & 127) << shift
        start, shift = start + 1, shift + 7
        if byte < 128:
            return number, start


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def cut_off(draw: Any, seed: Seed) -> bytes:
    return seed.body[: draw(st.integers(0, len(seed.body) - 1))]


def flipped(draw: Any, seed: Seed) -> bytes:
    body = bytearray(seed.body)
    for bit in draw(st.lists(st.integers(0, 8 * len(body) - 1), min_size=1, max_size=3)):
        body[bit // 8] ^= 1 << bit % 8
    return bytes(body)


def respelled(draw: Any, seed: Seed) -> bytes:
    """Some bytes in the place of others."""
    start = draw(st.integers(0, len(seed.body) - 1))
    end = start + draw(st.integers(0, 8))
    return seed.body[:start] + draw(st.binary(max_size=8)) + seed.body[end:]


def other_wire_type(draw: Any, seed: Seed) -> bytes:
    place = draw(st.sampled_from(seed.places))
    body = bytearray(seed.body)
    body[place.tag] = body[place.tag] & ~7 | draw(st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7]))
    return bytes(body)


def other_field(draw: Any, seed: Seed) -> bytes:
    place = draw(st.sampled_from(seed.places))
    body = bytearray(seed.body)
    body[place.tag] = draw(st.integers(0, 15)) << 3 | body[place.tag] & 7
    return bytes(body)


def huge_length(draw: Any, seed: Seed) -> bytes:
    """A length beyond the body, beyond 2 GiB, or a varint that overflows."""
    place = draw(st.sampled_from(seed.places))
    return seed.body[: place.start - 1] + draw(st.sampled_from(HUGE_LENGTHS)) + seed.body[place.start :]


def overwritten(draw: Any, seed: Seed) -> bytes:
    """A payload of the same size: text that is not UTF-8, times at the end of time, ids of zeros."""
    place = draw(st.sampled_from([place for place in seed.places if place.end > place.start]))
    size = place.end - place.start
    piece = draw(st.sampled_from([b"\xff", b"\x00", b"\x7f", b"\x80", b"\xc0\xaf", b"\xed\xa0\x80"]))
    filled = (piece * size)[:size]
    if place.wire_type == VARINT:
        filled = b"\xff" * (size - 1) + b"\x7f"
    return seed.body[: place.start] + filled + seed.body[place.end :]


def repeated(draw: Any, seed: Seed) -> bytes:
    """A field twice, or elsewhere: legal where the lengths around it allow."""
    place, target = draw(st.sampled_from(seed.places)), draw(st.sampled_from(seed.places))
    return seed.body[: target.tag] + seed.body[place.tag : place.end] + seed.body[target.tag :]


def deep(draw: Any, seed: Seed) -> bytes:
    """An attribute of the resource whose value is nested up to 300 levels, as lists or as maps."""
    value = b"\x18\x01"
    is_list = draw(st.booleans())
    for _ in range(draw(st.integers(1, 300))):
        # AnyValue.array_value = 5 of values = 1; kvlist_value = 6 of KeyValue values = 1 {value = 2}
        inner = value if is_list else b"\x12" + varint(len(value)) + value
        inner = b"\x0a" + varint(len(inner)) + inner
        value = (b"\x2a" if is_list else b"\x32") + varint(len(inner)) + inner
    pair = b"\x0a\x04deep\x12" + varint(len(value)) + value
    resource = b"\x0a" + varint(len(pair)) + pair
    envelope = b"\x0a" + varint(len(resource)) + resource
    request = REQUEST_TYPES[seed.signal].FromString(seed.body)
    (inner_envelope,) = getattr(request, request.DESCRIPTOR.fields[0].name)
    whole = envelope + inner_envelope.SerializeToString()
    return b"\x0a" + varint(len(whole)) + whole


def noise(draw: Any, _: Seed) -> bytes:
    return bytes(draw(st.binary(max_size=60)))


def json_value(draw: Any, seed: Seed) -> bytes:
    """A strange value in the place of a sound one."""
    places = [index for index, sign in enumerate(seed.text) if sign == ":"]
    start = draw(st.sampled_from(places)) + 1
    end = start + len(seed.text[start:].partition(",")[0].rstrip("]}"))
    return (seed.text[:start] + draw(st.sampled_from(STRANGE_JSON)) + seed.text[end:]).encode()


def json_text(draw: Any, seed: Seed) -> bytes:
    start = draw(st.integers(0, len(seed.text) - 1))
    end = start + draw(st.integers(0, 6))
    return seed.text[:start].encode() + draw(st.binary(max_size=4)) + seed.text[end:].encode()


def json_cut_off(draw: Any, seed: Seed) -> bytes:
    return seed.text[: draw(st.integers(0, len(seed.text) - 1))].encode()


Mangle = Callable[[Any, Seed], bytes]
WIRE: list[Mangle] = [
    *(cut_off, flipped, respelled, other_wire_type, other_field, huge_length, overwritten, repeated, deep),
    *(noise, overwritten, overwritten),
]
JSON_TEXT: list[Mangle] = [json_value, json_text, json_cut_off]


class Mangled(NamedTuple):
    signal: Signal
    is_json: bool
    body: bytes
    service: str  # of the sound body it was made from
    how: str


@st.composite
def mangled_bodies(draw: Any, numbers: Iterator[int], count: int) -> list[Mangled]:
    """`count` bodies, each from a seed with a service and ids of its own."""
    bodies = []
    for _ in range(count):
        signal = draw(st.sampled_from(list(Signal)))
        mangle = draw(st.sampled_from(WIRE * 2 + JSON_TEXT * 3))
        # Names that a flipped bit does not turn into each other, all of one length.
        service = blake2s(b"%d" % next(numbers), digest_size=8).hexdigest()
        seed = make_seed(signal, service)
        body = mangle(draw, seed)
        bodies.append(Mangled(signal, mangle in JSON_TEXT, body, service, mangle.__name__))
    return bodies
