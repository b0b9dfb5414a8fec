from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.errors import TooLarge
from collector.receive.check import check_bytes, check_message
from collector.receive.limits import MARK, Limits
from collector.receive.parts import refuse_too_many_parts
from collector.signals import Signal

LIMITS = Limits(value_bytes=100, name_chars=10)
LONG = "x" * 101


def long_key(span: Any) -> None:
    span.attributes.add(key=LONG)


def long_bytes(span: Any) -> None:
    span.attributes.add(key="k").value.bytes_value = LONG.encode()


def long_list(span: Any) -> None:
    values = span.attributes.add(key="k").value.array_value.values
    for _ in range(40):
        values.add().int_value = 1


def long_event(span: Any) -> None:
    span.events.add(name="e").attributes.add(key="k").value.string_value = LONG


def long_event_name(span: Any) -> None:
    span.events.add(name=LONG)


def long_status(span: Any) -> None:
    span.status.message = LONG


def long_state(span: Any) -> None:
    span.trace_state = LONG


def many_short_values(span: Any) -> None:
    for number in range(50):
        span.attributes.add(key=f"k{number}").value.string_value = "x" * 90


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (long_key, f"attribute '{LONG[:64]}'"),
        (long_bytes, "attribute 'k'"),
        (long_list, "attribute 'k'"),
        (long_event, "attribute 'k'"),
        (long_event_name, "name"),
        (long_status, "message"),
        (long_state, "trace_state"),
        (many_short_values, ""),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_where_a_span_is_cut(
    make_request: Callable[..., Any], change: Callable[[Any], None], place: str
) -> None:
    """Any one text, byte string or value beyond the limit is cut and marked; many short ones are not."""
    request = make_request(3, name="op")
    change(request.resource_spans[0].scope_spans[0].spans[1])
    checked = check_message(Signal.TRACES, request, limits=LIMITS)
    assert (checked.accepted_count, checked.rejected_count) == (3, 0)
    reason = f"1 × {place} was cut at 100 bytes (SPYHOP_OTLP_MAX_VALUE_BYTES)"
    assert checked.reason == (reason if place else "")
    kept = ExportTraceServiceRequest.FromString(checked.payload).resource_spans[0].scope_spans[0].spans
    marks = [[pair.value.int_value for pair in span.attributes if pair.key == MARK] for span in kept]
    assert marks == [[], [1] if place else [], []]
    again = check_message(Signal.TRACES, ExportTraceServiceRequest.FromString(checked.payload), limits=LIMITS)
    assert again.reason == "", "what was cut fits"


def test_texts_are_cut_between_characters(make_request: Callable[..., Any]) -> None:
    """99 characters of two bytes each are 198 bytes; what is left of them is valid UTF-8."""
    request = make_request(1, name="op", trace_state="x" + "é" * 99)
    checked = check_message(Signal.TRACES, request, limits=LIMITS)
    kept = ExportTraceServiceRequest.FromString(checked.payload).resource_spans[0].scope_spans[0].spans[0]
    assert kept.trace_state == "x" + "é" * 49


def test_what_comes_first_in_a_value_stays(make_request: Callable[..., Any], any_value: Any) -> None:
    """A long conversation keeps its first messages, the last of them cut, and is one cut value."""
    messages = [{"role": "user", "content": letter * 60} for letter in "abc"]
    request = make_request(1, name="op", attributes={"gen_ai.prompt": messages})
    large = Limits(value_bytes=200, name_chars=10)
    checked = check_message(Signal.TRACES, request, limits=large)
    assert checked.cut == {"attribute 'gen_ai.prompt' was cut at 200 bytes (SPYHOP_OTLP_MAX_VALUE_BYTES)": 1}
    value = request.resource_spans[0].scope_spans[0].spans[0].attributes[0].value
    assert value.ByteSize() <= 200
    first, second = value.array_value.values
    assert first == any_value(messages[0])
    assert second.kvlist_value.values[0].value.string_value == "user"
    assert second.kvlist_value.values[1].value.string_value.startswith("b")


def test_marks_add_up(make_request: Callable[..., Any]) -> None:
    """A span with three long values says three; so does one that was cut on its way here already."""
    request = make_request(1, name="o" * 11, attributes={MARK: 5, "a": LONG, "b": LONG})
    check_message(Signal.TRACES, request, limits=LIMITS)
    span = request.resource_spans[0].scope_spans[0].spans[0]
    assert span.name == "o" * 10
    assert [pair.value.int_value for pair in span.attributes if pair.key == MARK] == [8]


def test_metrics() -> None:
    """Texts are cut, marked in the metric's metadata or the point; a long list of numbers costs its point."""
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    for _ in range(2):
        metrics.add(name="a", description=LONG).sum.data_points.add(as_int=1)
    histogram = metrics.add(name="b").histogram
    histogram.data_points.add(count=1)
    histogram.data_points.add(count=1, bucket_counts=[1] * 20)
    histogram.data_points.add(count=1).attributes.add(key="k").value.string_value = LONG
    exemplar = histogram.data_points.add(count=1).exemplars.add(as_int=1)
    exemplar.filtered_attributes.add(key="k").value.string_value = LONG
    checked = check_message(Signal.METRICS, request, limits=LIMITS)
    assert (checked.accepted_count, checked.rejected_count) == (5, 1)
    assert list(checked.rejected) == [
        "bucket_counts has more than 100 bytes (SPYHOP_OTLP_MAX_VALUE_BYTES)",
    ]
    assert sum(checked.cut.values()) == 4
    assert [len(metric.metadata) for metric in metrics] == [1, 1, 0]
    assert [len(point.attributes) for point in histogram.data_points] == [0, 2, 0]
    assert len(histogram.data_points[2].exemplars[0].filtered_attributes) == 2


def test_answer_stays_short(make_request: Callable[..., Any]) -> None:
    """Thousands of different reasons make an answer of a few lines."""
    request = make_request(2000, name="op")
    for number, span in enumerate(request.resource_spans[0].scope_spans[0].spans):
        span.trace_id = b"\x01" * (17 + number)
    checked = check_message(Signal.TRACES, request)
    assert checked.rejected_count == 2000
    assert checked.reason.endswith("; and 1992 reasons more")
    assert len(checked.reason) < 1000


@pytest.mark.parametrize("part", [b"\x0a\x00", b"\x0a\x02\x1a\x00", b"\x0a\x06\x12\x04\x12\x02\x0a\x00"])
def test_too_many_parts(part: bytes) -> None:
    """Ten megabytes of tiny messages are refused before they become a gigabyte."""
    body = part * (10_000_000 // len(part))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match="parts, more than 1000000: send smaller batches"):
            check_bytes(Signal.TRACES, body)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_large_but_ordinary(make_request: Callable[..., Any]) -> None:
    """15 MB of spans with short values, and a body that is one long text, are no bombs."""
    attributes = {f"http.some.key.{number}": number if number % 3 else "value" for number in range(9)}
    wire = make_request(1000, attributes=attributes).SerializeToString()
    refuse_too_many_parts(wire * (15_000_000 // len(wire)))
    refuse_too_many_parts(b"\x0a\x80\x80\x40" + b"some text " * 500_000)
    refuse_too_many_parts(b'{"a":"' + b"x" * 5_000_000 + b'"}', is_json=True)
