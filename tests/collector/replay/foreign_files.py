"""Documents of other tools, and how tests replay and read them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from collector.replay.found import Refused
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


def documents(*span_ids: str) -> list[dict[str, Any]]:
    """OTLP requests of one span each."""
    spans = [{**SPAN, "traceId": TRACE_HEX, "spanId": span_id} for span_id in span_ids]
    return [{"resourceSpans": [{"resource": RESOURCE, "scopeSpans": [{"spans": [span]}]}]} for span in spans]
