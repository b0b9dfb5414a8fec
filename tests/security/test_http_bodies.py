"""Requests that are too long, too slow or too many, on both HTTP ports."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from threading import Event
from time import monotonic, sleep
from typing import Any

import grpc
import pytest
from fastapi import APIRouter, Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from collector.http import connections
from collector.server import Server
from collector.settings import MIB, Settings
from collector.signals import GRPC_METHODS, Signal
from tests.pace import check, patience_s, within_s

TIMEOUT_S = 0.4
JSON_HEAD = b"POST /api/sql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
SPANS_HEAD = b"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\n"
HEADS = {"api": JSON_HEAD, "otlp_http": SPANS_HEAD}
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"

Connect = Callable[[str], socket.socket]
AnswerTo = Callable[[socket.socket], bytes]


@pytest.fixture
def impatient(settings: Settings, make_running: Callable[[Server], Any]) -> Iterator[Any]:
    """A server that waits 0.4 s and takes bodies of 1 MiB."""
    changes = {"api_timeout_s": TIMEOUT_S, "otlp_http_timeout_s": TIMEOUT_S, "otlp_max_body_bytes": MIB}
    running = make_running(Server(settings.model_copy(update=changes)))
    yield running
    running.stop()


@pytest.mark.parametrize("port", HEADS)
def test_declared_length(whole: Any, connect: Connect, answer_to: AnswerTo, port: str) -> None:
    """A body that says it has 900 MB is 413 before any of it was sent."""
    with connect(whole.addresses[port]) as connection:
        connection.sendall(HEADS[port] + b"content-length: 900000000\r\n\r\n")
        assert b"HTTP/1.1 413 " in connection.recv(4096)


@pytest.mark.parametrize("port", HEADS)
def test_body_without_a_length(impatient: Any, connect: Connect, answer_to: AnswerTo, port: str) -> None:
    """A body in chunks is 413 when it passes the limit; what still comes is not read for long."""
    piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with connect(impatient.addresses[port]) as connection:
        connection.sendall(HEADS[port] + b"transfer-encoding: chunked\r\n\r\n")
        sent_bytes = 0
        with suppress(ConnectionError, TimeoutError):
            while sent_bytes < 100 * MIB:
                connection.sendall(piece)
                sent_bytes += len(piece)
        assert answer_to(connection).startswith(b"HTTP/1.1 413 ")
        assert sent_bytes < 20 * MIB  # what both sockets hold counts as sent


@pytest.mark.parametrize("port", HEADS)
def test_answered_early(impatient: Any, connect: Connect, answer_to: AnswerTo, port: str) -> None:
    """A client that was answered before the end of its body, and then sends nothing, is disconnected."""
    with connect(impatient.addresses[port]) as connection:
        connection.sendall(HEADS[port] + b"content-length: 900000000\r\n\r\nabc")
        with within_s(connections.DRAIN_S + 5):
            assert answer_to(connection).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("port", HEADS)
def test_the_last_answer_says_so(impatient: Any, connect: Connect, answer_to: AnswerTo, port: str) -> None:
    """An answer before the end of a body says that the connection closes; nothing behind it is answered."""
    size_bytes = MIB + 1
    with connect(impatient.addresses[port]) as connection:
        connection.sendall(HEADS[port] + b"content-length: %d\r\n\r\n" % size_bytes)
        head, _, _ = connection.recv(4096).lower().partition(b"\r\n\r\n")
        assert head.startswith(b"http/1.1 413 ")
        assert b"\r\nconnection: close" in head
        with suppress(ConnectionError):
            connection.sendall(b" " * size_bytes + HEALTH)
        assert b"HTTP/1.1" not in answer_to(connection)


def test_an_answer_at_the_end_of_a_body_keeps_its_connection(whole: Any, connect: Connect) -> None:
    """A whole request that is refused costs no connection."""
    with connect(whole.addresses["otlp_http"]) as connection:
        for _ in range(2):
            connection.sendall(SPANS_HEAD + b"content-length: 3\r\n\r\nabc")
            head = connection.recv(4096).lower()
            assert head.startswith(b"http/1.1 400 ")
            assert b"connection: close" not in head


def test_slow_bodies(impatient: Any, connect: Connect, answer_to: AnswerTo) -> None:
    """300 bodies that stop in the middle are answered with 408 and closed; others are answered meanwhile."""
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(impatient.addresses["api"])) for _ in range(300)]
        for connection in slow:
            connection.sendall(JSON_HEAD + b'content-length: 100\r\n\r\n{"query"')
        assert impatient.api.get("/healthz").status_code == 200
        for connection in slow:
            assert answer_to(connection).startswith(b"HTTP/1.1 408 ")


def test_a_held_up_server(
    impatient: Any, connect: Connect, answer_to: AnswerTo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that came whole while the server itself was held up is answered, however late that is."""
    held = Event()
    usual = HttpToolsProtocol.on_message_begin

    def hold_up(self: HttpToolsProtocol) -> None:
        held.set()
        sleep(3 * TIMEOUT_S)
        usual(self)

    monkeypatch.setattr(HttpToolsProtocol, "on_message_begin", hold_up)
    with connect(impatient.addresses["api"]) as connection:
        connection.sendall(HEALTH[:20])
        assert held.wait(patience_s(10))
        connection.sendall(HEALTH[20:-2] + b"connection: close\r\n\r\n")
        assert answer_to(connection).startswith(b"HTTP/1.1 200 ")


def test_slow_heads(impatient: Any, connect: Connect) -> None:
    """Headers that do not end are cut off on the API too."""
    with connect(impatient.addresses["api"]) as connection:
        connection.sendall(JSON_HEAD)
        started_s = monotonic()
        connection.settimeout(0.05)
        with suppress(ConnectionError):
            while True:
                connection.sendall(b"x-a: b\r\n")
                with suppress(TimeoutError):
                    if connection.recv(10) == b"":
                        break
        took_s = monotonic() - started_s
        assert took_s > TIMEOUT_S / 2
        check(took_s, 5)


def test_room_for_bodies(impatient: Any, connect: Connect, answer_to: AnswerTo, make_request: Any) -> None:
    """Large bodies that stop before their end lose their room to one that comes whole."""
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(impatient.addresses["otlp_http"])) for _ in range(4)]
        for connection in slow:
            connection.sendall(SPANS_HEAD + b"content-length: 1048576\r\n\r\n" + bytes(MIB - 1))
        sleep(0.1)  # all are read: three quarters of the room and more are taken
        body = make_request(500, attributes={"text": "x" * 100}).SerializeToString()
        headers = {"content-type": "application/x-protobuf"}
        assert impatient.http.post("/v1/traces", content=body, headers=headers).status_code == 200
        statuses = sorted(answer_to(connection)[9:12] for connection in slow)
        assert statuses == [b"408", b"408", b"408", b"503"]


@pytest.mark.parametrize(
    "head",
    [
        b"x-long: " + b"a" * 70_000 + b"\r\n\r\n",
        b"x-endless: " + b"a" * 2_000_000,
        b"x: y\r\n" * 10_000 + b"\r\n",
    ],
    ids=["long", "endless", "many"],
)
@pytest.mark.parametrize("port", HEADS)
def test_long_heads(whole: Any, connect: Connect, answer_to: AnswerTo, port: str, head: bytes) -> None:
    """Headers beyond 64 KiB are 431."""
    with connect(whole.addresses[port]) as connection:
        with suppress(ConnectionError):
            connection.sendall(HEADS[port] + head)
        assert answer_to(connection).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("path", ["/healthz?q=", "/api/monitor/trace/", "/api/monitor/anomalies?service="])
def test_long_addresses(whole: Any, connect: Connect, answer_to: AnswerTo, path: str) -> None:
    """An address of a megabyte is refused in the form of all errors."""
    with connect(whole.addresses["api"]) as connection:
        with suppress(ConnectionError):
            connection.sendall(f"GET {path}{'a' * 1_000_000} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        head, _, body = answer_to(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert json.loads(body)["error"]["code"] == "too_large"


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\n",
        JSON_HEAD + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        JSON_HEAD + b"transfer-encoding: gzip\r\n\r\n",
        JSON_HEAD + b"transfer-encoding: chunked\r\n\r\nfffffffffffffffffff\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 nothing of HTTP\r\n\r\n",
    ],
)
def test_broken_requests(whole: Any, connect: Connect, answer_to: AnswerTo, head: bytes) -> None:
    """Lengths that contradict each other, unknown transfer codings and the like are 4xx, and the end."""
    with connect(whole.addresses["api"]) as connection:
        connection.sendall(head)
        connection.shutdown(socket.SHUT_WR)
        answer = answer_to(connection)
        assert answer.startswith(b"HTTP/1.1 4"), answer
        assert b'"error"' in answer


def test_compressed_body(whole: Any) -> None:
    """The API takes no compressed bodies, and says so."""
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    answer = whole.api.post("/api/sql", content=b"\x1f\x8b", headers=headers)
    assert answer.status_code == 415
    assert "gzip" in answer.json()["error"]["message"]


def test_too_many_connections(
    settings: Settings,
    make_running: Callable[[Server], Any],
    monkeypatch: pytest.MonkeyPatch,
    connect: Connect,
    answer_to: AnswerTo,
) -> None:
    """Beyond the limit the connection that has been idle longest is closed, and new ones are answered."""
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 20)
    running = make_running(Server(settings))
    try:
        for port in HEADS:
            with ExitStack() as stack:
                idle = [stack.enter_context(connect(running.addresses[port])) for _ in range(50)]
                with connect(running.addresses[port]) as connection:
                    connection.sendall(HEALTH.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
                    assert answer_to(connection).startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 404 "))
                assert answer_to(idle[0]) == b""
    finally:
        running.stop()


def test_requests_sent_ahead(whole: Any, connect: Connect, answer_to: AnswerTo) -> None:
    """Some requests may be sent ahead; a thousand at once are refused."""
    with connect(whole.addresses["api"]) as connection:
        connection.sendall(HEALTH * 10)
        answers = b""
        while answers.count(b"HTTP/1.1 200 ") < 10:
            answers += connection.recv(65536)
    with connect(whole.addresses["api"]) as connection:
        connection.sendall(HEALTH * 1000)
        assert b"HTTP/1.1 429 " in answer_to(connection)


def test_answers_that_nobody_reads(
    settings: Settings,
    make_running: Callable[[Server], Any],
    monkeypatch: pytest.MonkeyPatch,
    connect: Connect,
) -> None:
    """A client that asks and does not read is disconnected, one that reads slowly is not."""
    monkeypatch.setattr(connections, "STALLED_ANSWER_S", 0.5)
    router = APIRouter()
    router.get("/large")(lambda: Response(bytes(32 * MIB)))
    running = make_running(Server(settings, lambda _: ((router,), ())))
    ask = b"GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n"
    try:
        with connect(running.addresses["api"]) as stuck, connect(running.addresses["api"]) as slow:
            stuck.sendall(ask)
            slow.sendall(ask)
            received_bytes = 0
            while received_bytes < 32 * MIB:
                piece = slow.recv(2 * MIB)
                assert piece
                received_bytes += len(piece)
                sleep(0.02)
            sleep(1)
            received_bytes = 0
            with suppress(ConnectionError):
                while piece := stuck.recv(MIB):
                    received_bytes += len(piece)
            assert received_bytes < 32 * MIB
    finally:
        running.stop()


def test_1500_idle_connections(running: Any, connect: Connect, make_request: Callable[..., Any]) -> None:
    """While 1,500 connections to each port say nothing, requests to all of them are answered."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 10_000:
        pytest.skip(f"this process may open {hard} files only, and holds both ends of 4,500 connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with ExitStack() as idle:
            for address in running.addresses.values():
                for _ in range(1500):
                    idle.enter_context(connect(address))
            body = make_request(1).SerializeToString()
            headers = {"content-type": "application/x-protobuf"}
            with within_s(10):
                assert running.http.post("/v1/traces", content=body, headers=headers).status_code == 200
                assert running.api.get("/healthz").status_code == 200
                with grpc.insecure_channel(running.addresses["otlp_grpc"]) as channel:
                    channel.unary_unary(GRPC_METHODS[Signal.TRACES])(body, timeout=patience_s(5))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_descriptor_limit() -> None:
    """A server that was started with the usual 1,024 files takes as many as it may."""
    code = (
        "import resource; from collector.http.connections import descriptors_max, raise_descriptor_limit;"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1];"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard));"
        "assert descriptors_max() == 256; raise_descriptor_limit(); assert descriptors_max() == hard"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
