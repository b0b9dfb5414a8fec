"""Files of other tools, as they really look: Go's null for lists, base64 ids, old names, other encodings."""

from __future__ import annotations

import base64
import gzip
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans
from typer.testing import CliRunner

from collector.errors import InvalidInput
from collector.replay.found import Found, Refused
from collector.replay.reader import read_file
from spyhop import app

START_US = 1_790_000_000_000_123
TRACE_HEX = "5b8efff798038103d269b633813fc60c"


def b64(hex_id: str) -> str:
    return base64.b64encode(bytes.fromhex(hex_id)).decode()


JAEGER_NULLS = {
    "data": [
        {
            "traceID": "abc123",
            "spans": [
                {
                    "traceID": "abc123",
                    "spanID": "1",
                    "flags": None,
                    "operationName": "GET /",
                    "references": None,
                    "startTime": START_US,
                    "duration": 1500,
                    "tags": None,
                    "logs": None,
                    "processID": "p1",
                    "warnings": None,
                },
                {
                    "traceID": "abc123",
                    "spanID": "2",
                    "operationName": "query",
                    "references": [{"refType": "CHILD_OF", "traceID": "abc123", "spanID": "1"}],
                    "startTime": START_US,
                    "duration": 7,
                    "tags": [{"key": "empty", "type": "string", "value": None}],
                    "logs": [{"timestamp": START_US, "fields": None}],
                    "processID": "p2",
                    "warnings": None,
                },
            ],
            "processes": {"p1": {"serviceName": "front", "tags": None}},
            "warnings": None,
        }
    ],
    "total": 0,
    "limit": 0,
    "offset": 0,
    "errors": None,
}
SPAN = {
    "name": "GET /",
    "kind": "SPAN_KIND_SERVER",
    "startTimeUnixNano": str(START_US * 1000),
    "endTimeUnixNano": str(START_US * 1000 + 5),
    "status": {"code": "STATUS_CODE_ERROR"},
}
RESOURCE = {"attributes": [{"key": "service.name", "value": {"stringValue": "front"}}]}
TEMPO_SPANS = [
    {**SPAN, "traceId": b64(TRACE_HEX), "spanId": b64("00000000000000a1")},
    {
        **SPAN,
        "traceId": b64(TRACE_HEX),
        "spanId": b64("00000000000000a2"),
        "parentSpanId": b64("00000000000000a1"),
    },
]
SCOPED = [{"scope": {"name": "lib"}, "spans": TEMPO_SPANS}]
OLD_SCOPED = [{"instrumentationLibrary": {"name": "lib"}, "spans": TEMPO_SPANS}]
TEMPO = {
    "batches": {"batches": [{"resource": RESOURCE, "scopeSpans": SCOPED}]},
    "batches of an old Tempo": {
        "batches": [{"resource": RESOURCE, "instrumentationLibrarySpans": OLD_SCOPED}]
    },
    "trace.resourceSpans": {"trace": {"resourceSpans": [{"resource": RESOURCE, "scopeSpans": SCOPED}]}},
    "result of Jaeger's API v3": {
        "result": {"resourceSpans": [{"resource": RESOURCE, "scopeSpans": SCOPED}]}
    },
}
ZIPKIN = [
    [
        {
            "traceId": "463ac35c9f6413ad",
            "id": "a2fb4a1d1a96d312",
            "name": "get /api",
            "kind": "CLIENT",
            "timestamp": START_US,
            "duration": 1500,
            "localEndpoint": {"serviceName": "frontend", "ipv4": "10.0.0.1"},
            "remoteEndpoint": {"serviceName": "backend", "ipv4": "10.0.0.2", "port": 9000},
            "annotations": [{"timestamp": START_US + 3, "value": "ws"}],
            "tags": {"http.path": "/api", "error": "timeout"},
        },
        {
            "traceId": "463ac35c9f6413ad",
            "parentId": "a2fb4a1d1a96d312",
            "id": "b2fb4a1d1a96d312",
            "timestamp": START_US,
            "localEndpoint": None,
            "tags": None,
            "annotations": None,
        },
        {"traceId": "463ac35c9f6413ad", "id": "not hex"},
    ]
]


def replay(url: str, *paths: Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["replay", *map(str, paths), "--to", url], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def write(path: Path, document: object) -> Path:
    path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
    return path


def spans_in(path: Path) -> list[Any]:
    found = [item for item, _ in read_file(path)]
    assert not [item for item in found if isinstance(item, Refused)]
    return [
        span
        for item in found
        for resource in item.request.resource_spans  # type: ignore[union-attr]  # none refused
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def test_jaeger_with_null_lists(running: Any, tmp_path: Path) -> None:
    """Jaeger writes null where Go has an empty list; all spans land, the files after it too."""
    first, second = write(tmp_path / "a", JAEGER_NULLS), write(tmp_path / "b", ZIPKIN[0][:2])
    code, out, _ = replay(running.addresses["otlp_http"], first, second)
    running.landed()
    assert (code, out[:12]) == (0, "4 spans sent")
    rows = running.client.sql("SELECT service_name, span_name FROM spans WHERE span_id LIKE '00000%'").rows()
    assert sorted(rows) == [("front", "GET /"), ("unknown_service", "query")]


@pytest.mark.parametrize("name", TEMPO)
def test_tempo(tmp_path: Path, name: str) -> None:
    """Both of Tempo's downloads and Jaeger's v3 are OTLP with base64 ids, which become hex."""
    first, second = spans_in(write(tmp_path / "trace.json", TEMPO[name]))
    assert first.trace_id.hex() == second.trace_id.hex() == TRACE_HEX
    assert (first.span_id.hex(), second.parent_span_id.hex()) == ("00000000000000a1", "00000000000000a1")


def test_zipkin(running: Any, tmp_path: Path) -> None:
    """Zipkin v2 lands with kinds, endpoints, status and annotations; a bad span is named with its place."""
    code, out, err = replay(running.addresses["otlp_http"], write(tmp_path / "zipkin.json", ZIPKIN))
    running.landed()
    assert code == 1
    assert out.startswith("2 spans sent, 1 refused")
    assert err.startswith("zipkin.json:1[0][2]: not a Zipkin v2 span")
    rows = running.client.sql(
        "SELECT trace_id, parent_span_id, service_name, span_name, span_kind, duration_ns, status_code,"
        " status_message, attributes::JSON::VARCHAR AS attributes, events[1].name AS event,"
        " resource_attributes::JSON::VARCHAR AS resource FROM spans ORDER BY span_id"
    ).rows(named=True)
    assert rows == snapshot(
        [
            {
                "trace_id": "0000000000000000463ac35c9f6413ad",
                "parent_span_id": None,
                "service_name": "frontend",
                "span_name": "get /api",
                "span_kind": "CLIENT",
                "duration_ns": 1500000,
                "status_code": "ERROR",
                "status_message": "timeout",
                "attributes": (
                    '{"error":"timeout","http.path":"/api","net.peer.ip":"10.0.0.2","net.peer.port":9000,'
                    '"peer.service":"backend"}'
                ),
                "event": "ws",
                "resource": '{"net.host.ip":"10.0.0.1","service.name":"frontend"}',
            },
            {
                "trace_id": "0000000000000000463ac35c9f6413ad",
                "parent_span_id": "a2fb4a1d1a96d312",
                "service_name": "unknown_service",
                "span_name": "",
                "span_kind": "INTERNAL",
                "duration_ns": 0,
                "status_code": "UNSET",
                "status_message": "",
                "attributes": "{}",
                "event": None,
                "resource": "{}",
            },
        ]
    )


def test_former_names(shared: Any, make_request: Any, tmp_path: Path) -> None:
    """Senders before OTLP 0.15 called scopes instrumentation libraries, in JSON and in field 1000."""
    span = {**SPAN, "traceId": TRACE_HEX, "spanId": "00000000000000b1"}
    old = {"instrumentationLibrary": {"name": "lib"}, "spans": [span]}
    answer = shared.http.post(
        "/v1/traces", json={"resourceSpans": [{"resource": RESOURCE, "instrumentationLibrarySpans": [old]}]}
    )
    assert answer.json() == {}
    shared.landed()
    assert shared.client.sql("SELECT scope_name FROM spans WHERE span_id = '00000000000000b1'").rows() == [
        ("lib",)
    ]
    request = make_request(2)
    scope = request.resource_spans[0].scope_spans[0].SerializeToString()
    assert len(scope) < 128
    del request.resource_spans[0].scope_spans[:]
    resource = request.resource_spans[0].SerializeToString()
    resource += b"\xc2\x3e" + bytes([len(scope)]) + scope
    wire = b"\x0a" + bytes([len(resource), 1]) + resource
    answer = shared.http.post("/v1/traces", content=wire, headers={"content-type": "application/x-protobuf"})
    assert (answer.status_code, answer.content) == (200, b"")
    request.resource_spans[0].scope_spans.append(ScopeSpans.FromString(scope))
    assert shared.spans_of(request).height == 2
    assert len(spans_in(write(tmp_path / "old.bin", wire))) == 2


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("an empty list", b"[]", "holds no spans"),
        ("no resources", b'{"resourceSpans": []}', "holds no spans"),
        (
            "nothing in Jaeger",
            b'{"data": null, "errors": [{"msg": "not found"}]}',
            "an object with data, errors",
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


def encodings(text: bytes) -> dict[str, bytes]:
    lines = text.splitlines()
    return {
        "BOM": b"\xef\xbb\xbf" + text,
        "UTF-16": b"\xff\xfe" + text.decode().encode("utf-16-le"),
        "CRLF": b"\r\n".join(lines) + b"\r\n",
        "blank lines between": b"\n\n".join(lines),
        "blank lines before": b"\n" * 100 + text,
        "gzip of a BOM": gzip.compress(b"\xef\xbb\xbf" + text),
    }


@pytest.mark.parametrize("name", encodings(b""))
def test_encodings(tmp_path: Path, name: str) -> None:
    """Byte order marks and line ends of editors and shells change nothing."""
    line = json.dumps({"resourceSpans": [{"resource": RESOURCE, "scopeSpans": SCOPED}]})
    content = encodings(f"{line}\n{line}\n".encode())[name]
    assert len(spans_in(write(tmp_path / "file", content))) == 4


def test_protobuf_that_looks_like_json(tmp_path: Path, make_request: Any) -> None:
    """A message whose length is the code of a brace is still protobuf."""
    for length in range(40):
        request = make_request(1, name="x" * length, service="")
        wire = request.SerializeToString()
        if wire[1] in b"{[":
            assert len(spans_in(write(tmp_path / "file", wire))) == 1
            return
    pytest.fail("no message of that length")


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


def documents(*span_ids: str) -> list[dict[str, Any]]:
    """OTLP requests of one span each."""
    spans = [{**SPAN, "traceId": TRACE_HEX, "spanId": span_id} for span_id in span_ids]
    return [{"resourceSpans": [{"resource": RESOURCE, "scopeSpans": [{"spans": [span]}]}]} for span in spans]


@pytest.mark.parametrize(("between", "indent"), [("\n", 2), ("\n\n", 1), ("", None), (" ", None)])
def test_documents_one_behind_the_other(tmp_path: Path, between: str, indent: int | None) -> None:
    """Documents that follow each other are all read, as `jq` writes them or without anything between."""
    path = tmp_path / "several.json"
    texts = [json.dumps(document, indent=indent) for document in documents("1" * 16, "2" * 16, "3" * 16)]
    path.write_text(between.join(texts) + "\n")
    found = [item for item, _ in read_file(path)]
    assert [type(item) for item in found] == [Found] * 3
    path.write_text(between.join(texts)[:-9])
    *before, cut = [item for item, _ in read_file(path)]
    assert [type(item) for item in before] == [Found] * 2
    assert isinstance(cut, Refused)
    assert "document 3" in cut.place


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"spanId": "abc"}, "spanId: expected hexadecimal digits, two for each byte, not 'abc'"),
        ({"startTimeUnixNano": "2026-11-29T01:00:00Z"}, "expected an integer, not '2026-11-29T01:00:00Z'"),
        (
            {"attributes": [{"key": "k", "value": {"doubleValue": "much"}}]},
            "doubleValue: expected a number, not 'much'",
        ),
    ],
)
def test_values_that_do_not_fit_are_quoted(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    """A refusal of a value shows it and what was expected."""
    (document,) = documents("1" * 16)
    document["resourceSpans"][0]["scopeSpans"][0]["spans"][0].update(change)
    path = tmp_path / "one.json"
    path.write_text(json.dumps(document))
    ((refused, _),) = read_file(path)
    assert isinstance(refused, Refused)
    assert refused.reason.endswith(reason)


def test_console_output_is_not_zipkin(tmp_path: Path) -> None:
    """A span as JavaScript's console exporter shows it has Zipkin's ids, but is not taken for one."""
    path = tmp_path / "console.json"
    path.write_text(json.dumps({"traceId": TRACE_HEX, "id": "1" * 16, "kind": 0, "attributes": {"a": 1}}))
    refused = [item for item, _ in read_file(path) if isinstance(item, Refused)]
    assert [item.reason for item in refused] == [
        "not a Zipkin v2 span (kind is 0, and not a word such as CLIENT)"
    ]
