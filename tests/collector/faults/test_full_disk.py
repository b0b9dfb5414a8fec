from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

import grpc
import pytest

from collector.server import Server
from collector.settings import Settings
from collector.signals import GRPC_METHODS, Signal
from tests.pace import patience_s

PROTOBUF = {"content-type": "application/x-protobuf"}
ANYWHERE = "127.0.0.1:0"


def wait_until(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    deadline_s = monotonic() + patience_s(timeout_s)
    while not condition():
        assert monotonic() < deadline_s, "it does not happen"
        sleep(0.02)


def settings_on(disk: Any, reserve_bytes: int) -> Settings:
    return Settings(
        data=disk.folder / "data",
        otlp_grpc=ANYWHERE,
        otlp_http=ANYWHERE,
        api=ANYWHERE,
        land_interval_ms=20,
        disk_reserve_bytes=reserve_bytes,
    )


@pytest.mark.parametrize("reserve_bytes", [4 * 1024 * 1024, 0], ids=["with a reserve", "to the last byte"])
def test_full_disk(
    small_disk: Any, make_running: Callable[[Server], Any], make_request: Any, reserve_bytes: int
) -> None:
    """A full disk is told on /readyz and /metrics and to every sender; with room again, all goes on, and what
    was acknowledged before and after is there once."""
    running = make_running(Server(settings_on(small_disk, reserve_bytes)))
    acknowledged = []

    def send(span_count: int = 3) -> int:
        request = make_request(span_count, attributes={"text": "x" * 200})
        body = request.SerializeToString()
        answer = running.http.post("/v1/traces", content=body, headers=PROTOBUF)
        if answer.status_code == 200:
            spans = request.resource_spans[0].scope_spans[0].spans
            acknowledged.extend(span.span_id.hex() for span in spans)
        else:
            assert answer.headers["retry-after"] == "1"
        return int(answer.status_code)

    try:
        assert send() == 200
        running.landed()
        small_disk.fill()
        if reserve_bytes:  # told before anybody has sent
            wait_until(lambda: running.api.get("/readyz").status_code == 503, 1.0)
        for _ in range(20):
            send(500)
        assert send(500) == 503
        answer = running.api.get("/readyz")
        assert answer.status_code == 503
        assert [name for name, check in answer.json()["checks"].items() if check.get("failure")]
        metrics = running.api.get("/metrics").text
        assert "spyhop_disk_failing 1" in metrics or "spyhop_landing_failing 1" in metrics
        with grpc.insecure_channel(running.addresses["otlp_grpc"]) as channel:
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(GRPC_METHODS[Signal.TRACES])(make_request(500).SerializeToString())
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

        small_disk.empty()
        wait_until(lambda: running.api.get("/readyz").status_code == 200)
        assert send() == 200
        running.landed()
        stored = running.client.sql("SELECT span_id FROM spans")["span_id"].to_list()
        assert sorted(stored) == sorted(acknowledged)
    finally:
        running.stop()
