"""Files that hold nothing, and damage of any kind: each is told."""

from __future__ import annotations

import gzip
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.errors import InvalidInput
from collector.replay.found import Found
from collector.replay.reader import read_file
from tests.collector.replay.foreign_files import (
    JAEGER_NULLS,
    START_US,
    TEMPO,
    ZIPKIN,
    replay,
    write,
)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("an empty list", b"[]", "holds no spans"),
        ("no resources", b'{"resourceSpans": []}', "holds no spans"),
        (
            "nothing in Jaeger",
            b'{"data": null, "errors": [{"msg": "not found"}]}',
            "Jaeger's answer has no traces: not found",
        ),
        (
            "a search of Tempo",
            b'{"traces": [{"traceID": "a"}], "metrics": {}}',
            "an object with traces, metrics",
        ),
        ("blank lines", b"\n\n \r\n", "blank lines"),
        ("a Parquet file", b"PAR1\x15\x04", "found a Parquet file"),
        ("an error page", b"<!doctype html><html>", "found HTML or XML"),
        ("null", b"null", "something that begins with b'null'"),
    ],
)
def test_nothing_sent(shared: Any, tmp_path: Path, name: str, content: bytes, told: str) -> None:
    """A file without telemetry ends with exit code 1 and what was found in it."""
    code, out, err = replay(shared.addresses["otlp_http"], write(tmp_path / "file", content))
    assert (code, out[:12]) == (1, "nothing sent")
    assert told in err


def small_request() -> bytes:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=bytes(range(16)), name="GET /")
    span.span_id, span.start_time_unix_nano = bytes(range(8)), START_US * 1000
    return request.SerializeToString()


WIRE = small_request()
SEEDS: list[Any] = [JAEGER_NULLS, *TEMPO.values(), ZIPKIN]
JUNK = st.sampled_from(
    [None, True, 0, -1, 2**80, 1e308, float("inf"), "", "x", "\ud800", [], [None], {}, {"a": None}, [[]]]
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A document in which one place, anywhere, is replaced by junk; then perhaps cut off."""
    document = json.loads(json.dumps(draw(st.sampled_from(SEEDS))))
    place: Any = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        child = place[key]
        if not isinstance(child, dict | list) or not child or draw(st.booleans()):
            place[key] = draw(JUNK)
            break
        place = child
    text = json.dumps(document).encode()
    return text[: draw(st.integers(1, len(text)))] if draw(st.integers(0, 3)) == 0 else text


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutated())
def test_any_damage_is_told(tmp_path: Path, text: bytes) -> None:
    """Whatever stands in a document, each part of it is found or refused with a reason; nothing is raised."""
    for item, _ in read_file(write(tmp_path / "file", text)):
        assert isinstance(item, Found) or item.reason


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damaged_bytes_are_told(tmp_path: Path, data: st.DataObject) -> None:
    """A flipped, cut or inserted byte in any container is reported, and raises nothing but InvalidInput."""
    text = json.dumps(TEMPO["batches"]).encode()
    containers = [WIRE, len(WIRE).to_bytes(4, "big") + WIRE, gzip.compress(WIRE, mtime=0), text]
    container = data.draw(st.sampled_from(containers))
    place = data.draw(st.integers(0, len(container) - 1))
    insert = data.draw(st.binary(max_size=3))
    damaged = container[:place] + insert + container[place + data.draw(st.integers(0, 3)) :]
    with suppress(InvalidInput):
        for item, _ in read_file(write(tmp_path / "file", damaged)):
            assert isinstance(item, Found) or item.reason
