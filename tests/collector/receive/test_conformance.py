"""What OTLP asks of a server, as one table of probes: each runs over gRPC, HTTP protobuf and HTTP JSON, for
traces, logs and metrics, against a running server. A probe says what is sent, what the sender must learn, and
how many items can be queried afterwards."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status

from collector.server import Server
from collector.settings import Settings
from collector.signals import GRPC_METHODS, Signal
from tests.collector.receive.otlp_calls import PROTOBUF, TRANSPORTS, batch, landed_count, send, wire
from tests.collector.receive.probes import (
    BODY_MAX_BYTES,
    COMPRESS,
    LOGS,
    NAME_MAX_CHARS,
    PROBES,
    TRACES,
    VALUE_MAX_BYTES,
    Probe,
    many_parts,
)


def table(probes: list[Probe]) -> list[Any]:
    return [
        pytest.param(probe, signal, transport, id=f"{probe.claim}-{signal.label}-{transport}")
        for probe, signal, transport in itertools.product(probes, Signal, TRANSPORTS)
        if signal in probe.signals and transport in probe.transports
    ]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, make_settings: Any, start_running: Any) -> Iterator[Any]:
    """One server for the whole table, with limits that small requests reach."""
    changes = {
        "otlp_max_body_bytes": BODY_MAX_BYTES,
        "otlp_max_value_bytes": VALUE_MAX_BYTES,
        "otlp_max_name_chars": NAME_MAX_CHARS,
    }
    running = start_running(Server(make_settings(tmp_path_factory.mktemp("conformance"), **changes)))
    yield running
    running.stop()


def check(running: Any, probe: Probe, signal: Signal, transport: str, service: str) -> None:
    body = probe.make(signal, service, transport)
    encoding = probe.encoding.rstrip("!")  # "!": the body is what it is
    if transport != "grpc" and encoding == probe.encoding:
        body = COMPRESS.get(encoding, bytes)(body)
    answer = send(running, signal, transport, body, encoding=encoding, media_type=probe.media_type)
    assert (answer.code, answer.rejected) == (probe.code, probe.rejected), answer
    assert probe.reason in answer.reason
    assert bool(answer.reason) == (probe.code != "ok" or probe.rejected is not None)
    assert answer.retry_hint is None, "only what may succeed later is to be retried"
    assert landed_count(running, signal, service) == probe.lands


@pytest.mark.parametrize(("probe", "signal", "transport"), table(PROBES))
def test_probe(
    server: Any, probe: Probe, signal: Signal, transport: str, request: pytest.FixtureRequest
) -> None:
    """The sender learns what OTLP asks for, and exactly what was accepted lands."""
    check(server, probe, signal, transport, request.node.name)


MANY_PARTS = Probe(
    "here", "a body of a million tiny parts", many_parts, "too large", reason="parts, more than"
)


@pytest.mark.parametrize(("probe", "signal", "transport"), table([MANY_PARTS]))
def test_many_parts(shared_large: Any, probe: Probe, signal: Signal, transport: str) -> None:
    """A body that is small for its kind but gigabytes once parsed is refused unparsed."""
    check(shared_large, probe, signal, transport, "nobody")


@pytest.fixture(scope="module")
def shared_large(
    tmp_path_factory: pytest.TempPathFactory, make_settings: Any, start_running: Any
) -> Iterator[Any]:
    """A server with the default limits."""
    running = start_running(Server(make_settings(tmp_path_factory.mktemp("default"))))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, make_settings: Any, start_running: Any) -> Iterator[Any]:
    """A server whose spool has room for one request and is full: only the very first one lands."""
    settings: Settings = make_settings(tmp_path_factory.mktemp("full"), land_interval_ms=600_000)
    running = start_running(Server(settings.model_copy(update={"spool_max_bytes": 700})))
    filler = wire(batch(TRACES, "filler", 8), "grpc")
    assert send(running, TRACES, "grpc", filler).code == "ok"
    running.landed()
    assert send(running, TRACES, "grpc", filler).code == "ok"  # stays, for the next landing is far away
    yield running
    running.stop()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("signal", list(Signal), ids=lambda signal: signal.label)
def test_overload(full: Any, signal: Signal, transport: str) -> None:
    """A full spool is 503 with Retry-After, UNAVAILABLE with pushback: the sender retries."""
    answer = send(full, signal, transport, wire(batch(signal, "second", 30), transport))
    assert (answer.code, "full" in answer.reason) == ("try later", True)
    assert answer.retry_hint == ("1000" if transport == "grpc" else "1")


def test_absent_ids_of_logs(server: Any) -> None:
    """An id that OTLP says to take for absent is NULL, so that no log claims a trace that cannot be."""
    request = batch(LOGS, "absent ids", 1, trace_id=bytes(16), span_id=b"\x01" * 3)
    assert send(server, LOGS, "protobuf", wire(request, "protobuf")).code == "ok"
    assert landed_count(server, LOGS, "absent ids") == 1
    query = "SELECT trace_id, span_id FROM logs WHERE service_name = 'absent ids'"
    assert server.client.sql(query).rows() == [(None, None)]


@pytest.mark.parametrize(
    ("method", "path", "content_type", "status"),
    [
        ("POST", "/v1/traces", "text/plain", 415),
        ("POST", "/v1/logs", "", 415),
        ("GET", "/v1/metrics", PROTOBUF, 405),
        ("POST", "/v1/nothing", PROTOBUF, 404),
    ],
)
def test_wrong_requests(server: Any, method: str, path: str, content_type: str, status: int) -> None:
    """A wrong content type, method or path is refused with a Status that says what is right."""
    answer = server.http.request(method, path, content=b"", headers={"content-type": content_type})
    assert answer.status_code == status
    assert "send" in Status.FromString(answer.content).message


def test_refusals_are_counted_once(running: Any) -> None:
    """Each refused request is one in /metrics, wherever on its way it was refused."""
    send(running, TRACES, "protobuf", b"\x00garbage")
    send(running, TRACES, "protobuf", b"no gzip", encoding="gzip")
    send(running, TRACES, "protobuf", many_parts(TRACES, "", "protobuf"))
    send(running, TRACES, "grpc", many_parts(TRACES, "", "grpc"))
    metrics = running.api.get("/metrics").text
    assert re.search(r'requests_total\{outcome="malformed",signal="traces"\} 4\b', metrics), metrics


def test_unknown_method(server: Any) -> None:
    """A gRPC method that is not OTLP's is UNIMPLEMENTED, not a fault."""
    with grpc.insecure_channel(server.addresses["otlp_grpc"]) as channel:
        method = GRPC_METHODS[TRACES].replace("Export", "Import")
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(method)(b"", timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
