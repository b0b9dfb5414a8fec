from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

import grpc

from collector.errors import Timeout
from collector.server import Server
from collector.settings import Settings
from collector.signals import GRPC_METHODS, Signal
from tests.pace import patience_s, slowness

PROTOBUF = {"content-type": "application/x-protobuf"}
ENDLESS = "SELECT count(*) FROM range(10_000_000) a, range(10_000_000) b WHERE hash(a.range, b.range) = 1"


def test_landing_goes_on(
    settings: Settings, make_running: Callable[[Server], Any], make_request: Any
) -> None:
    """While queries that never end hold every core, spans land; the time limit ends the queries."""
    times = slowness()
    running = make_running(Server(settings.model_copy(update={"sql_timeout_s": 4.0 * times})))
    ended: list[object] = []

    def ask() -> None:
        try:
            ended.append(running.client.sql(ENDLESS))
        except Timeout as error:
            ended.append(error)

    try:
        asking = threading.Thread(target=ask)
        asking.start()
        sleep(0.3)
        started_s = monotonic()
        for _ in range(5):
            body = make_request(10).SerializeToString()
            assert running.http.post("/v1/traces", content=body, headers=PROTOBUF).status_code == 200
        with grpc.insecure_channel(running.addresses["otlp_grpc"]) as channel:
            body = make_request(10).SerializeToString()
            channel.unary_unary(GRPC_METHODS[Signal.TRACES])(body, timeout=3 * times)
        running.landed(3.0)
        assert monotonic() - started_s < 3.0 * times
        assert running.client.sql("SELECT count(*) AS n FROM spans")["n"][0] == 60
        assert asking.is_alive(), "the query was over before the spans had landed"
        asking.join(patience_s(10))
        assert isinstance(ended[0], Timeout)
    finally:
        running.stop()
