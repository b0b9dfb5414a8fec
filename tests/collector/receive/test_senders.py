"""What is not taken is seen by the person who runs the server: in its log, on /readyz and at /api/senders."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from time import monotonic, sleep
from typing import Any

import grpc
import pytest

from collector.receive.senders import (
    LINES_PER_MINUTE_MAX,
    PROBLEMS_PER_SENDER_MAX,
    SENDERS_MAX,
    Sender,
    Senders,
)
from collector.server import Server
from collector.signals import GRPC_METHODS, Signal
from tests.collector.receive.otlp_calls import batch, send, wire
from tests.pace import patience_s

SENDER = Sender("10.0.0.7", "agent/1", "grpc")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_one_line_a_minute(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """The same problem is logged at once, then once a minute with the sum; another one at once."""
    senders = Senders(clock)
    for _ in range(100):
        senders.rejected(SENDER, Signal.TRACES, {"trace_id is all zero": 3})
    senders.refused(SENDER, None, "nothing is served at /v1/trace")
    clock.now_s += 60
    senders.rejected(SENDER, Signal.TRACES, {"trace_id is all zero": 3})
    assert [record.message for record in caplog.records] == [
        "sender 10.0.0.7 (grpc, agent/1): traces: 3 spans rejected: trace_id is all zero",
        "sender 10.0.0.7 (grpc, agent/1): 1 requests refused: nothing is served at /v1/trace",
        "sender 10.0.0.7 (grpc, agent/1): traces: 300 spans rejected: trace_id is all zero",
    ]
    problems: Any = senders.status()[0]["problems"]
    assert [problem["count"] for problem in problems] == [303, 1]


def test_bounded(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Thousands of names and reasons take neither memory nor the log, and steer no terminal."""
    senders = Senders(clock)
    for number in range(2000):
        senders.refused(Sender("10.0.0.8", f"a{number}", "grpc"), Signal.LOGS, "why")
        senders.refused(SENDER, Signal.LOGS, f"\x1b[2J{number}" + "x" * 10_000)
    status: Any = senders.status()
    assert len(status) == SENDERS_MAX
    assert max(len(sender["problems"]) for sender in status) == PROBLEMS_PER_SENDER_MAX
    assert len(caplog.records) == LINES_PER_MINUTE_MAX
    assert "\x1b" not in caplog.text
    assert max(len(record.message) for record in caplog.records) < 400


@pytest.mark.parametrize("transport", ["grpc", "protobuf", "json"])
def test_every_refusal_is_seen(running: Any, caplog: pytest.LogCaptureFixture, transport: str) -> None:
    """A rejected span, a cut value and a refused body are reported with the sender's name, address and
    reason.
    """
    caplog.set_level(logging.WARNING)
    send(running, Signal.TRACES, transport, wire(batch(Signal.TRACES, "s", 3, trace_id=bytes(16)), transport))
    long = batch(Signal.LOGS, "s", 1, text="x" * 1_100_000)
    send(running, Signal.LOGS, transport, wire(long, transport))
    send(running, Signal.METRICS, transport, b"\xffgarbage")
    (sender,) = [s for s in running.api.get("/api/senders").json()["senders"] if s["accepted"]]
    assert sender["address"] == "127.0.0.1"
    assert sender["transport"] == ("grpc" if transport == "grpc" else f"http/{transport}")
    assert ("grpc-python" if transport == "grpc" else "httpx") in sender["agent"]
    assert sender["accepted"] == {"traces": 2, "logs": 1}
    assert [(problem["signal"], problem["what"], problem["count"]) for problem in sender["problems"]] == [
        ("metrics", "requests refused", 1),
        ("logs", "values cut", 1),
        ("traces", "spans rejected", 1),
    ]
    assert len([r for r in caplog.records if r.name == "collector.receive.senders"]) == 3
    readiness = running.api.get("/readyz").json()["checks"]["senders"]
    assert (readiness["count"], len(readiness["problems"])) == (1, 3)
    metrics = running.api.get("/metrics").text
    assert 'spyhop_truncated_values_total{signal="logs"} 1' in metrics


@pytest.fixture
def small(settings: Any, make_running: Any) -> Iterator[Any]:
    """A server that takes bodies up to 1 MiB."""
    running = make_running(Server(settings.model_copy(update={"otlp_max_body_bytes": 2**20})))
    yield running
    running.stop()


def test_wrong_addresses_are_seen(small: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A sender of an unknown path, media type or gRPC method is named, and one of too large a message."""
    running = small
    running.http.post("/v1/trace", content=b"", headers={"content-type": "application/x-protobuf"})
    running.http.post("/v1/traces", content=b"", headers={"content-type": "text/plain"})
    with grpc.insecure_channel(running.addresses["otlp_grpc"]) as channel:
        with pytest.raises(grpc.RpcError):
            channel.unary_unary("/jaeger.api_v2.CollectorService/PostSpans")(b"", timeout=5)
        with pytest.raises(grpc.RpcError):
            channel.unary_unary(GRPC_METHODS[Signal.TRACES])(b"\x0a" * 2**21, timeout=20)
    deadline_s = monotonic() + patience_s(10)
    while "larger than" not in caplog.text:  # gRPC answers before it tells us
        assert monotonic() < deadline_s, caplog.text
        sleep(0.01)
    text = caplog.text
    assert "sender unknown" not in text
    assert "nothing is served at /v1/trace" in text
    assert "Content-Type text/plain is not supported" in text
    assert "a gRPC method that is not OTLP's" in text


def test_requests_at_the_wrong_path_are_seen(small: Any) -> None:
    """JSON of one signal at the path of another is acknowledged, as OTLP asks, and reported."""
    small.http.post("/v1/traces", json={"resourceLogs": [{"scopeLogs": []}]})
    small.http.post("/v1/metrics", json={"resourceSpans": []})
    small.http.post("/v1/logs", json={})
    small.http.post("/v1/logs", json={"resourceLogs": [], "resourceSpans": []})
    (sender,) = small.api.get("/api/senders").json()["senders"]
    assert [(problem["what"], problem["reason"]) for problem in sender["problems"]] == [
        ("requests without data points", "resourceSpans belongs to /v1/traces"),
        ("requests without spans", "resourceLogs belongs to /v1/logs"),
    ]


@pytest.mark.parametrize("path", ["//v1/traces", "/v1/traces/", "//v1//traces/"])
def test_slashes_too_many(shared: Any, path: str) -> None:
    """An endpoint that ends with a slash, to which an exporter adds its path, is understood."""
    url = shared.addresses["otlp_http"] + path
    content = wire(batch(Signal.TRACES, "s", 1), "protobuf")
    answer = shared.http.post(url, content=content, headers={"content-type": "application/x-protobuf"})
    assert answer.status_code == 200
