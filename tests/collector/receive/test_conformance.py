"""The OTLP specification's demands as a table of probes against a running server."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import grpc
import httpx2
import pytest
import zstandard
from google.protobuf import json_format
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from collector.settings import Settings
from collector.signals import GRPC_METHODS, HTTP_PATHS, RESPONSE_TYPES, Signal

PROTOBUF, JSON = "application/x-protobuf", "application/json"
SMALL_LIMIT_BYTES = 1024 * 1024


def post(
    running: Any, body: bytes, content_type: str = PROTOBUF, path: str = "/v1/traces", **headers: str
) -> httpx2.Response:
    answer: httpx2.Response = running.http.post(
        path,
        content=body,
        headers={"content-type": content_type, **{k.replace("_", "-"): v for k, v in headers.items()}},
    )
    return answer


def export(running: Any, body: bytes, signal: Signal = Signal.TRACES, **arguments: Any) -> bytes:
    with grpc.insecure_channel(running.addresses["otlp_grpc"]) as channel:
        answer: bytes = channel.unary_unary(GRPC_METHODS[signal])(body, timeout=10, **arguments)
        return answer


def as_json(request: ExportTraceServiceRequest) -> bytes:
    """OTLP JSON: protobuf's mapping, with hex ids."""
    document = json_format.MessageToDict(request)
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for name in ("traceId", "spanId"):
                    span[name] = base64.b64decode(span[name]).hex()
    return json.dumps(document).encode()


@pytest.mark.parametrize("path", list(HTTP_PATHS))
@pytest.mark.parametrize(("content_type", "body"), [(PROTOBUF, b""), (JSON, b"{}")])
def test_empty_request(shared: Any, path: str, content_type: str, body: bytes) -> None:
    """An empty request succeeds with an empty response in its own content type, for each signal."""
    answer = post(shared, body, content_type, path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, content_type)
    if content_type == JSON:
        assert answer.json() == {}
    else:
        assert answer.content == b""


@pytest.mark.parametrize("signal", list(Signal))
def test_empty_request_grpc(shared: Any, signal: Signal) -> None:
    """An empty gRPC request succeeds, for each signal."""
    assert RESPONSE_TYPES[signal].FromString(export(shared, b"", signal)) == RESPONSE_TYPES[signal]()


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("identity", bytes), ("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", zstandard.compress)],
)
@pytest.mark.parametrize("content_type", [PROTOBUF, JSON, "application/json; charset=utf-8"])
def test_accepted_encodings(
    shared: Any,
    make_request: Callable[..., Any],
    encoding: str,
    compress: Callable[[bytes], bytes],
    content_type: str,
) -> None:
    """Every supported compression of both content types lands all spans, and leaves partial_success unset."""
    request = make_request(3)
    body = as_json(request) if "json" in content_type else request.SerializeToString()
    answer = post(shared, compress(body), content_type, content_encoding=encoding)
    assert answer.status_code == 200, answer.text
    assert answer.content in (b"", b"{}")
    assert shared.spans_of(request).height == 3


def test_gzip_grpc(shared: Any, make_request: Callable[..., Any]) -> None:
    """A gzip-compressed gRPC request lands."""
    request = make_request(2)
    export(shared, request.SerializeToString(), compression=grpc.Compression.Gzip)
    assert shared.spans_of(request).height == 2


BAD_SPANS: dict[str, dict[str, Any]] = {
    "zero trace id": {"trace_id": bytes(16)},
    "short trace id": {"trace_id": b"\x01" * 8},
    "no trace id": {"trace_id": b""},
    "zero span id": {"span_id": bytes(8)},
    "long span id": {"span_id": b"\x01" * 16},
    "odd parent": {"parent_span_id": b"\x01\x02"},
    "beyond 2262": {"end_time_unix_nano": 2**64 - 1},
    "ends before it starts": {"end_time_unix_nano": 1},
}


@pytest.mark.parametrize("fault", BAD_SPANS)
@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_partial_success(shared: Any, make_request: Callable[..., Any], fault: str, transport: str) -> None:
    """A span that cannot be stored is counted with its reason, and the others of its request land."""
    request = make_request(2)
    request.MergeFrom(make_request(1, **BAD_SPANS[fault]))
    body = request.SerializeToString()
    answer = post(shared, body).content if transport == "http" else export(shared, body)
    partial = ExportTraceServiceResponse.FromString(answer).partial_success
    assert partial.rejected_spans == 1
    assert partial.error_message.startswith("1 × ")
    assert shared.spans_of(request).height == 2


def test_partial_success_json(shared: Any, make_request: Callable[..., Any]) -> None:
    """In JSON the partial success is JSON too, with the count as protobuf's mapping writes it."""
    answer = post(shared, as_json(make_request(1, span_id=bytes(8))), JSON)
    assert answer.status_code == 200
    assert answer.json() == {
        "partialSuccess": {"rejectedSpans": "1", "errorMessage": "1 × span_id is all zero"}
    }


BOMB = zstandard.compress(bytes(200 * SMALL_LIMIT_BYTES))
MALFORMED: list[tuple[str, bytes, dict[str, str], int]] = [
    ("garbage", b"\x00garbage", {}, 400),
    ("cut off", b"\x0a\xff\x01", {}, 400),
    ("text that is not UTF-8", b"\x0a\x03\x1a\x01\xff", {}, 400),
    ("bad gzip", b"no gzip", {"content_encoding": "gzip"}, 400),
    ("cut off gzip", gzip.compress(b"x" * 1000)[:20], {"content_encoding": "gzip"}, 400),
    ("bad zstd", b"no zstd", {"content_encoding": "zstd"}, 400),
    ("unknown encoding", b"", {"content_encoding": "br"}, 415),
    ("too large", bytes(SMALL_LIMIT_BYTES + 1), {}, 413),
    ("zstd bomb", BOMB, {"content_encoding": "zstd"}, 413),
    ("gzip bomb", gzip.compress(bytes(2 * SMALL_LIMIT_BYTES)), {"content_encoding": "gzip"}, 413),
]


@pytest.mark.parametrize("path", list(HTTP_PATHS))
@pytest.mark.parametrize("content_type", [PROTOBUF, JSON])
@pytest.mark.parametrize("probe", MALFORMED, ids=[row[0] for row in MALFORMED])
def test_malformed(
    shared: Any, path: str, content_type: str, probe: tuple[str, bytes, dict[str, str], int]
) -> None:
    """A bad body is answered with the right code and a Status in the request's content type."""
    _, body, headers, status = probe
    answer = post(shared, body, content_type, path, **headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, content_type)
    error = Status()
    if content_type == JSON:
        json_format.Parse(answer.text, error)
    else:
        error.ParseFromString(answer.content)
    assert error.code != 0
    assert error.message


@pytest.mark.parametrize(
    ("method", "path", "content_type", "status"),
    [
        ("POST", "/v1/traces", "text/plain", 415),
        ("POST", "/v1/traces", "", 415),
        ("GET", "/v1/traces", PROTOBUF, 405),
        ("POST", "/v1/nothing", PROTOBUF, 404),
    ],
)
def test_wrong_requests(shared: Any, method: str, path: str, content_type: str, status: int) -> None:
    """A wrong content type, method or path is refused with a Status that says what is right."""
    answer = shared.http.request(method, path, content=b"", headers={"content-type": content_type})
    assert answer.status_code == status
    assert "send" in Status.FromString(answer.content).message


@pytest.mark.parametrize(
    ("body", "compression", "code"),
    [
        (b"\x00garbage", None, grpc.StatusCode.INVALID_ARGUMENT),
        (bytes(SMALL_LIMIT_BYTES + 1), None, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (bytes(200 * SMALL_LIMIT_BYTES), grpc.Compression.Gzip, grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
def test_malformed_grpc(shared: Any, body: bytes, compression: Any, code: grpc.StatusCode) -> None:
    """Bad bytes are INVALID_ARGUMENT; too many, also once decompressed, RESOURCE_EXHAUSTED without retry."""
    with pytest.raises(grpc.RpcError) as caught:
        export(shared, body, compression=compression)
    assert caught.value.code() == code
    assert "grpc-retry-pushback-ms" not in dict(caught.value.trailing_metadata())


class TestFull:
    """A spool without room."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        # Landing never comes, so the second request finds the first still there.
        return settings.model_copy(
            update={
                "spool_max_bytes": 700,
                "land_interval_ms": 600_000,
                "otlp_max_body_bytes": SMALL_LIMIT_BYTES,
            }
        )

    def test_asks_to_retry(self, running: Any, make_request: Callable[..., Any]) -> None:
        """A full spool is 503 with Retry-After and UNAVAILABLE with pushback; what it took is kept."""
        body = make_request(8).SerializeToString()
        assert post(running, body).status_code == 200
        answer = post(running, make_request(8).SerializeToString())
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "full" in Status.FromString(answer.content).message
        with pytest.raises(grpc.RpcError) as caught:
            export(running, make_request(8).SerializeToString())
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert dict(caught.value.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
