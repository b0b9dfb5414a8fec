"""Clients that hold a connection and give nothing."""

from __future__ import annotations

import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest

from collector.server import Server
from collector.settings import Settings
from collector.signals import GRPC_METHODS, Signal
from tests.pace import check, patience_s, within_s

TIMEOUT_S = 0.3
PROTOBUF = {"content-type": "application/x-protobuf"}
HEAD = b"POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-protobuf\r\n"


@pytest.fixture
def impatient(settings: Settings, make_running: Callable[[Server], Any]) -> Iterator[Any]:
    running = make_running(Server(settings.model_copy(update={"otlp_http_timeout_s": TIMEOUT_S})))
    yield running
    running.stop()


def connect(url: str) -> socket.socket:
    parts = urlsplit(url if "//" in url else f"//{url}")
    assert parts.hostname is not None
    return socket.create_connection((parts.hostname, parts.port), timeout=5)


def answer_to(connection: socket.socket) -> bytes:
    """All that the server sends until it closes."""
    pieces = []
    while piece := connection.recv(4096):
        pieces.append(piece)
    return b"".join(pieces)


def trickle_until_closed(connection: socket.socket, drop: bytes) -> None:
    connection.settimeout(0.05)
    with suppress(ConnectionError):
        while True:
            connection.sendall(drop)
            with suppress(TimeoutError):
                if connection.recv(10) == b"":
                    return


@pytest.mark.parametrize("first", [b"", b"P", HEAD], ids=["nothing", "one byte", "endless headers"])
def test_headers_that_never_end(impatient: Any, first: bytes) -> None:
    """A client that trickles its headers is cut off after the time limit, however lively it seems."""
    with connect(impatient.addresses["otlp_http"]) as connection:
        connection.sendall(first)
        started_s = monotonic()
        trickle_until_closed(connection, b"x-a: b\r\n" if first == HEAD else b"")
        took_s = monotonic() - started_s
        assert took_s > TIMEOUT_S / 2
        check(took_s, 3)


def test_body_that_never_comes(impatient: Any) -> None:
    """A body that stops in the middle is answered with 408 and the connection closed."""
    with connect(impatient.addresses["otlp_http"]) as connection:
        connection.sendall(HEAD + b"content-length: 100\r\n\r\nabc")
        assert answer_to(connection).startswith(b"HTTP/1.1 408 ")


def test_kept_alive_connection_outlives_the_limit(impatient: Any, make_request: Any) -> None:
    """The limit is for a request under way: between two exports a connection may rest."""
    for _ in range(2):
        body = make_request(1).SerializeToString()
        assert impatient.http.post("/v1/traces", content=body, headers=PROTOBUF).status_code == 200
        sleep(2 * TIMEOUT_S)


def test_500_idle_connections(running: Any, make_request: Any) -> None:
    """While 500 connections say nothing, requests on both receivers are answered within a second."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip(f"this process may open {hard} files only, and holds both ends of 500 connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    try:
        with ExitStack() as idle:
            for number in range(500):
                address = running.addresses["otlp_grpc" if number % 2 else "otlp_http"]
                idle.enter_context(connect(address))
            body = make_request(1).SerializeToString()
            with within_s(1):
                assert running.http.post("/v1/traces", content=body, headers=PROTOBUF).status_code == 200
                with grpc.insecure_channel(running.addresses["otlp_grpc"]) as channel:
                    channel.unary_unary(GRPC_METHODS[Signal.TRACES])(body, timeout=patience_s(5))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_grpc_calls_without_a_message(impatient: Any, make_request: Any) -> None:
    """300 gRPC calls that open and then say nothing hold up no other, and are cancelled after the limit."""
    ended = threading.Event()

    def never() -> Iterator[bytes]:
        ended.wait(20)
        yield from ()

    method = GRPC_METHODS[Signal.TRACES]
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(impatient.addresses["otlp_grpc"], options=options) as slow:
        silent = [slow.stream_unary(method).future(never()) for _ in range(300)]
        try:
            with grpc.insecure_channel(impatient.addresses["otlp_grpc"]) as channel:
                for _ in range(3):
                    channel.unary_unary(method)(make_request(1).SerializeToString(), timeout=5)
            for call in silent:
                assert call.exception(timeout=10).code() is grpc.StatusCode.CANCELLED  # type: ignore[attr-defined]
        finally:
            ended.set()
            for call in silent:
                call.cancel()


@pytest.mark.parametrize("piece", [b"a"], ids=["one byte"])
def test_body_that_trickles(impatient: Any, piece: bytes) -> None:
    """A body that comes byte by byte is cut off, although no single wait is too long."""
    with connect(impatient.addresses["otlp_http"]) as connection:
        connection.sendall(HEAD + b"content-length: 100000\r\n\r\n")
        started_s = monotonic()
        trickle_until_closed(connection, piece)
        took_s = monotonic() - started_s
        assert took_s > TIMEOUT_S / 2
        check(took_s, 3)
