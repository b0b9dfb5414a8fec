"""gRPC calls that open and say nothing, from one connection and from many."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import SecretStr

from collector.receive import grpc_patience
from collector.server import Server
from collector.signals import GRPC_METHODS, Signal
from tests.pace import patience_s, within_s

EXPORT = GRPC_METHODS[Signal.TRACES]
CHECK = "/grpc.health.v1.Health/Check"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
SILENT_COUNT = 900  # more than there are threads


@contextmanager
def silence(address: str, method: str, *, connections: int = 1) -> Iterator[list[Any]]:
    """Many open calls without a message."""
    ended = threading.Event()

    def never() -> Iterator[bytes]:
        ended.wait(60)
        yield from ()

    with ExitStack() as stack:
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [
            stack.enter_context(grpc.insecure_channel(address, options=options)) for _ in range(connections)
        ]
        calls = [
            channels[number % connections].stream_stream(method)(never()) for number in range(SILENT_COUNT)
        ]
        try:
            yield calls
        finally:
            ended.set()
            for call in calls:
                call.cancel()


@pytest.mark.parametrize(
    ("method", "connections"),
    [(EXPORT, 1), (EXPORT, 50), (CHECK, 1), (REFLECTION, 1)],
    ids=["exports", "exports from 50 connections", "health", "reflection"],
)
def test_others_go_on(running: Any, make_request: Any, method: str, connections: int) -> None:
    """While 900 calls are silent, with a minute to speak, exports and health checks are answered."""
    address = running.addresses["otlp_grpc"]
    with silence(address, method, connections=connections), grpc.insecure_channel(address) as channel:
        export = channel.unary_unary(EXPORT)
        export(make_request(1).SerializeToString(), timeout=20)  # behind those that are being given up
        with within_s(10):
            for _ in range(5):
                export(make_request(1).SerializeToString(), timeout=patience_s(5))
            health = health_pb2_grpc.HealthStub(channel)
            health.Check(health_pb2.HealthCheckRequest(), timeout=patience_s(5))


def test_same_connection(running: Any, make_request: Any) -> None:
    """The calls of the very connection that is silent otherwise are answered, too."""
    ended = threading.Event()

    def never() -> Iterator[bytes]:
        ended.wait(60)
        yield from ()

    with grpc.insecure_channel(running.addresses["otlp_grpc"]) as channel:
        calls = [channel.stream_stream(EXPORT)(never()) for _ in range(SILENT_COUNT)]
        try:
            channel.unary_unary(EXPORT)(make_request(1).SerializeToString(), timeout=20)
        finally:
            ended.set()
            for call in calls:
                call.cancel()


def test_without_a_token(
    settings: Any, make_running: Callable[[Server], Any], make_request: Callable[..., Any]
) -> None:
    """A client without a token is refused before any message, and holds up nobody."""
    running = make_running(Server(settings.model_copy(update={"otlp_token": SecretStr("secret")})))
    try:
        address = running.addresses["otlp_grpc"]
        with silence(address, EXPORT) as calls, grpc.insecure_channel(address) as channel:
            for call in calls:
                assert call.code() is grpc.StatusCode.UNAUTHENTICATED
            metadata = [("authorization", "Bearer secret")]
            body = make_request(1).SerializeToString()
            channel.unary_unary(EXPORT)(body, metadata=metadata, timeout=5)
    finally:
        running.stop()


def test_the_silent_connection_pays(running: Any, make_request: Any, monkeypatch: Any) -> None:
    """A slow call of its own connection outlives a flood of silent ones from another."""
    monkeypatch.setattr(grpc_patience, "SILENT_MAX", 20)
    go_on = threading.Event()

    def late() -> Iterator[bytes]:
        go_on.wait(30)
        yield make_request(1).SerializeToString()

    address = running.addresses["otlp_grpc"]
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(address, options=options) as channel:
        slow = channel.stream_unary(EXPORT).future(late())
        with silence(address, EXPORT) as calls:
            assert calls[0].code() is grpc.StatusCode.CANCELLED
            go_on.set()
            assert slow.result(timeout=20) == b""


def test_lingering(running: Any, monkeypatch: Any) -> None:
    """Of calls that take long only so many are kept, long before their time is over."""
    monkeypatch.setattr(grpc_patience, "LINGERING_MAX", 5)
    monkeypatch.setattr(grpc_patience, "LINGERING_S", 0.2)
    with silence(running.addresses["otlp_grpc"], EXPORT) as calls:
        deadline_s = monotonic() + 20
        while len(running_calls := [call for call in calls if call.is_active()]) > 5:
            assert monotonic() < deadline_s, len(running_calls)
            threading.Event().wait(0.05)
