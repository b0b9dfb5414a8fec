"""Files of every format, sent to a running server by `spyhop replay` and read back with SQL."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from google.protobuf import json_format
from inline_snapshot import snapshot
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from collector.errors import InvalidInput, Unavailable
from collector.replay.command import run_replay
from collector.replay.jaeger import read_jaeger
from collector.replay.reader import read_file
from collector.replay.run import Report
from collector.replay.sender import parts
from collector.signals import Signal


@pytest.fixture
def replayed(running: Any, tmp_path: Path) -> Callable[..., Report]:
    """`replayed(name=content, …)` sends files of these contents and waits until they have landed."""

    def run(**files: bytes) -> Report:
        folder = tmp_path / "files"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        report = run_replay([folder], running.addresses["otlp_http"])
        running.landed()
        return report

    return run


def as_json(request: Any) -> dict[str, Any]:
    document = json_format.MessageToDict(request)
    for span in document["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for name in ("traceId", "spanId", "parentSpanId"):
            if name in span:
                span[name] = base64.b64decode(span[name]).hex()
    return dict(document)


def log_request() -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=7)
    record.body.string_value = "hello"
    return request


def metric_request() -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="orders", unit="1")
    metric.gauge.data_points.add(time_unix_nano=7, as_int=3)
    return request


def lines(*requests: Any) -> bytes:
    return b"".join(json.dumps(as_json(request)).encode() + b"\n" for request in requests)


def sized(*payloads: bytes) -> bytes:
    return b"".join(len(payload).to_bytes(4, "big") + payload for payload in payloads)


@pytest.fixture
def formats(make_request: Any) -> dict[str, tuple[bytes, int]]:
    """Every way to write three requests of two spans, and how many spans that makes."""
    requests = [make_request(2, attributes={"k": 1}) for _ in range(3)]
    wires = [request.SerializeToString() for request in requests]
    text = lines(*requests)
    return {
        "lines": (text, 6),
        "lines without last newline": (text.rstrip(), 6),
        "lines, gzip": (gzip.compress(text), 6),
        "lines, zstd": (zstandard.compress(text), 6),
        "array": (b"[" + b",".join(text.splitlines()) + b"]", 6),
        "one document, indented": (json.dumps(as_json(requests[0]), indent=2).encode(), 2),
        "protobuf": (b"".join(wires), 6),
        "sized protobuf": (sized(*wires), 6),
        "sized protobuf, gzip": (gzip.compress(sized(*wires)), 6),
        "sized protobuf, each zstd": (sized(*map(zstandard.compress, wires)), 6),
        "sized JSON, each zstd": (sized(*map(zstandard.compress, text.splitlines())), 6),
    }


@pytest.mark.parametrize(
    "name",
    [
        "lines",
        "lines without last newline",
        "lines, gzip",
        "lines, zstd",
        "array",
        "one document, indented",
        "protobuf",
        "sized protobuf",
        "sized protobuf, gzip",
        "sized protobuf, each zstd",
        "sized JSON, each zstd",
    ],
)
def test_formats(shared: Any, tmp_path: Path, formats: dict[str, tuple[bytes, int]], name: str) -> None:
    """A file is understood by its content, whatever its name, and every span of it lands."""
    content, span_count = formats[name]
    path = tmp_path / "anything.bin"
    path.write_bytes(content)
    found = [item for item, _ in read_file(path)]
    report = run_replay([path], shared.addresses["otlp_http"])
    assert (report.sent[Signal.TRACES], report.refused) == (span_count, [])
    stored = sum(shared.spans_of(item.request).height for item in found)  # type: ignore[union-attr]  # none refused
    assert stored == span_count


def test_signals_in_protobuf(replayed: Callable[..., Report], running: Any, make_request: Any) -> None:
    """The three signals have one wire shape; each file is recognised by its first item."""
    report = replayed(
        a=log_request().SerializeToString(),
        b=sized(metric_request().SerializeToString(), make_request(1).SerializeToString()),
        c=json_format.MessageToJson(log_request()).encode(),
    )
    assert report.summary() == "1 span, 2 log records, 1 data point sent"
    assert running.client.sql("SELECT body::VARCHAR AS b FROM logs").rows() == [("hello",), ("hello",)]
    assert running.client.sql("SELECT metric_name, value_int FROM metrics").rows() == [("orders", 3)]


def test_bad_records_do_not_stop_the_rest(
    replayed: Callable[..., Report], running: Any, make_request: Any
) -> None:
    """Items that cannot be sent are reported with file and line; everything around them lands."""
    good, zero = make_request(1), make_request(1, span_id=bytes(8))
    report = replayed(
        **{
            "a.jsonl": b"{broken}\n" + lines(good, zero, good) + b'{"other": 1}\n{"resourceSpans": [5]}\n',
            "b.bin": sized(make_request(1).SerializeToString(), b"\x0a\x05junk!") + b"\0\0\0\x63short",
            "c.txt": b"once upon a time",
            "d": b"",
            "e.gz": gzip.compress(lines(make_request(1)))[:-12],
        }
    )
    places = {refused.place.rpartition("/")[2]: refused.reason for refused in report.refused}
    assert list(places) == snapshot(
        [
            "a.jsonl:1",
            "a.jsonl:3",
            "a.jsonl:5",
            "a.jsonl:6",
            "b.bin record 2",
            "b.bin record 3",
            "c.txt",
            "d",
            "e.gz",
        ]
    )
    assert running.client.sql("FROM spans").height == 2


JAEGER: dict[str, Any] = {
    "data": [
        {
            "traceID": "abc123",
            "spans": [
                {
                    "traceID": "abc123",
                    "spanID": "1",
                    "operationName": "GET /",
                    "references": [],
                    "startTime": 1_790_000_000_000_123,
                    "duration": 1500,
                    "processID": "p1",
                    "flags": 1,
                    "tags": [
                        {"key": "span.kind", "type": "string", "value": "server"},
                        {"key": "http.status_code", "type": "int64", "value": 500},
                        {"key": "error", "type": "bool", "value": True},
                        {"key": "otel.status_description", "type": "string", "value": "boom"},
                        {"key": "otel.library.name", "type": "string", "value": "lib"},
                        {"key": "ratio", "type": "float64", "value": 0.5},
                        {"key": "blob", "type": "binary", "value": "AP8="},
                    ],
                    "logs": [
                        {
                            "timestamp": 1_790_000_000_000_200,
                            "fields": [
                                {"key": "event", "type": "string", "value": "retry"},
                                {"key": "n", "type": "int64", "value": 2},
                            ],
                        }
                    ],
                },
                {
                    "traceID": "abc123",
                    "spanID": "2",
                    "operationName": "query",
                    "references": [
                        {"refType": "CHILD_OF", "traceID": "abc123", "spanID": "1"},
                        {"refType": "FOLLOWS_FROM", "traceID": "ff", "spanID": "9"},
                    ],
                    "startTime": 1_790_000_000_000_300,
                    "duration": 7,
                    "processID": "p2",
                    "tags": [],
                    "logs": [],
                },
                {"traceID": "abc123", "spanID": "3"},
            ],
            "processes": {
                "p1": {
                    "serviceName": "front",
                    "tags": [{"key": "host", "type": "string", "value": "h1"}],
                },
                "p2": {"serviceName": "db", "tags": []},
            },
        }
    ]
}


def test_jaeger(replayed: Callable[..., Report], running: Any) -> None:
    """A Jaeger download lands with its types, kinds, status, events, parents and links."""
    report = replayed(jaeger=json.dumps(JAEGER, indent=1).encode())
    assert [refused.place for refused in report.refused] == ["jaeger trace abc123 span 2"]
    rows = running.client.sql(
        "SELECT trace_id, span_id, parent_span_id, service_name, span_name, span_kind, duration_ns,"
        " epoch_ns(start_time) AS start_ns, status_code, status_message, scope_name,"
        " attributes::JSON::VARCHAR AS attributes, resource_attributes::JSON::VARCHAR AS resource,"
        " events[1].name AS event, links[1].trace_id AS linked FROM spans ORDER BY span_id"
    ).rows(named=True)
    assert rows == snapshot(
        [
            {
                "trace_id": "00000000000000000000000000abc123",
                "span_id": "0000000000000001",
                "parent_span_id": None,
                "service_name": "front",
                "span_name": "GET /",
                "span_kind": "SERVER",
                "duration_ns": 1500000,
                "start_ns": 1790000000000123000,
                "status_code": "ERROR",
                "status_message": "boom",
                "scope_name": "lib",
                "attributes": '{"blob":"\\\\x00\\\\xFF","error":true,"http.status_code":500,"ratio":0.5}',
                "resource": '{"host":"h1","service.name":"front"}',
                "event": "retry",
                "linked": None,
            },
            {
                "trace_id": "00000000000000000000000000abc123",
                "span_id": "0000000000000002",
                "parent_span_id": "0000000000000001",
                "service_name": "db",
                "span_name": "query",
                "span_kind": "UNSPECIFIED",
                "duration_ns": 7000,
                "start_ns": 1790000000000300000,
                "status_code": "UNSET",
                "status_message": "",
                "scope_name": "",
                "attributes": "{}",
                "resource": '{"service.name":"db"}',
                "event": None,
                "linked": "000000000000000000000000000000ff",
            },
        ]
    )


def test_jaeger_links_keep_their_kind() -> None:
    """A reference that is not the parent says which kind it was."""
    (_, whole) = read_jaeger(JAEGER)
    assert whole.request is not None
    (link,) = whole.request.resource_spans[1].scope_spans[0].spans[0].links
    assert link.attributes[0].value.string_value == "follows_from"


def test_large_requests_are_split(make_request: Any) -> None:
    """A file with one huge request becomes several that keep resource and scope, and lose no span."""
    request = make_request(40_000, attributes={"text": "x" * 100}, service="big")
    pieces = [type(request).FromString(piece) for piece in parts(request)]
    assert len(pieces) == 20
    assert {piece.resource_spans[0].resource.attributes[0].value.string_value for piece in pieces} == {"big"}
    ids = {span.span_id for piece in pieces for span in piece.resource_spans[0].scope_spans[0].spans}
    assert len(ids) == 40_000


@pytest.fixture
def nobody() -> Iterator[str]:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_no_endpoint(nobody: str, tmp_path: Path, make_request: Any) -> None:
    """Without a server there is one line that says how to get one."""
    (tmp_path / "a").write_bytes(make_request(1).SerializeToString())
    with pytest.raises(Unavailable, match="spyhop serve"):
        run_replay([tmp_path], nobody)


def test_unusable_paths(tmp_path: Path) -> None:
    """A missing path and an empty folder are refused before anything is sent."""
    with pytest.raises(InvalidInput, match="does not exist"):
        run_replay([tmp_path / "gone"], "http://127.0.0.1:1")
    with pytest.raises(InvalidInput, match="holds no files"):
        run_replay([tmp_path], "http://127.0.0.1:1")
