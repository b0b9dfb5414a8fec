"""Files of other tools, as they really look: Go's null for lists, base64 ids, old names, other encodings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from collector.replay.found import Refused
from collector.replay.reader import read_file
from tests.collector.replay.foreign_files import (
    JAEGER_NULLS,
    RESOURCE,
    SPAN,
    START_US,
    TEMPO,
    TRACE_HEX,
    ZIPKIN,
    documents,
    replay,
    spans_in,
    write,
)


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
    assert err.startswith("zipkin.json:1[0][2]: not a Zipkin span")
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


STORED = {
    "traceID": "abc123",
    "spanID": "1",
    "operationName": "GET /",
    "startTime": START_US,
    "tag": {"http@status_code": 200, "span@kind": "server"},
    "process": {"serviceName": "front", "tag": {"host@name": "h"}},
}


@pytest.mark.parametrize(
    "document",
    [
        {"_index": "jaeger-span", "_source": STORED},
        {"took": 1, "hits": {"total": 1, "hits": [{"_source": STORED}]}},
    ],
)
def test_what_elasticsearch_holds(tmp_path: Path, document: object) -> None:
    """Spans of Jaeger are read out of Elasticsearch's documents and answers, with tags that are fields."""
    path = write(tmp_path / "dump.json", document)
    (span,) = spans_in(path)
    assert (span.kind, span.attributes[0].key, span.attributes[0].value.int_value) == (
        2,
        "http.status_code",
        200,
    )
    ((found, _),) = read_file(path)
    assert found.request.resource_spans[0].resource.attributes[1].key == "host.name"  # type: ignore[union-attr]


def test_one_resource(tmp_path: Path) -> None:
    """One element of `resourceSpans` by itself is read."""
    (document,) = documents("1" * 16)
    assert len(spans_in(write(tmp_path / "one.json", document["resourceSpans"]))) == 1


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
    ("change", "reason"),
    [
        ({"spanId": "abc"}, "spanId: expected hexadecimal digits, two for each byte, not 'abc'"),
        ({"startTimeUnixNano": "2026-11-29T01:00:00Z"}, "expected an integer, not '2026-11-29T01:00:00Z'"),
        ({"kind": "SERVER"}, "kind: expected a number or a name such as SPAN_KIND_CONSUMER, not 'SERVER'"),
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
        "not a Zipkin span (kind is 0, and not a word such as CLIENT)"
    ]
