"""A server process killed under load: what it acknowledged is there after a restart, exactly once."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import Any

import grpc
import httpx2
import pytest

from collector.server import Server
from collector.settings import Settings
from collector.signals import GRPC_METHODS, Signal

SERVE = """
import json, sys
from pathlib import Path
from collector.server import run
from collector.settings import Settings
anywhere = "127.0.0.1:0"
settings = Settings(data=Path(sys.argv[1]), otlp_grpc=anywhere, otlp_http=anywhere, api=anywhere,
                    land_interval_ms=20, spool_segment_bytes=65536)
run(settings, on_ready=lambda addresses: print(json.dumps(addresses), flush=True))
"""


def start(folder: Path) -> tuple[subprocess.Popen[str], dict[str, str]]:
    process = subprocess.Popen([sys.executable, "-c", SERVE, folder], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


class Sender(threading.Thread):
    """Sends request after request until the server is gone, noting each span id that was acknowledged."""

    def __init__(self, send: Callable[[bytes], object], make_request: Callable[..., Any]) -> None:
        super().__init__(daemon=True)
        self._send, self._make_request = send, make_request
        self.acknowledged: set[str] = set()
        self.unanswered: Any = None

    def run(self) -> None:
        with suppress(httpx2.HTTPError, grpc.RpcError):
            while True:
                self.unanswered = self._make_request(20, attributes={"k": "v", "n": 1})
                self._send(self.unanswered.SerializeToString())
                self.acknowledged |= {span.span_id.hex() for span in spans_of(self.unanswered)}


def spans_of(request: Any) -> Any:
    return request.resource_spans[0].scope_spans[0].spans


@pytest.mark.parametrize("after_s", [0.3, 1.0])
def test_kill_under_load(tmp_path: Path, make_request: Callable[..., Any], after_s: float) -> None:
    """Killed in mid-landing, the server loses nothing acknowledged, and a sender's retry doubles nothing."""
    process, addresses = start(tmp_path)
    http = httpx2.Client(base_url=addresses["otlp_http"], trust_env=False)
    channel = grpc.insecure_channel(addresses["otlp_grpc"])
    export = channel.unary_unary(GRPC_METHODS[Signal.TRACES])

    def by_http(body: bytes) -> None:
        http.post(
            "/v1/traces", content=body, headers={"content-type": "application/x-protobuf"}
        ).raise_for_status()

    senders = [Sender(send, make_request) for send in (by_http, lambda body: export(body, timeout=10))]
    for sender in senders:
        sender.start()
    sleep(after_s)
    process.kill()
    process.communicate()
    for sender in senders:
        sender.join(15)
        assert not sender.is_alive()
    http.close()
    channel.close()
    acknowledged = set().union(*(sender.acknowledged for sender in senders))
    assert len(acknowledged) > 20

    anywhere = "127.0.0.1:0"
    settings = Settings(
        data=tmp_path, otlp_grpc=anywhere, otlp_http=anywhere, api=anywhere, land_interval_ms=20
    )
    server = Server(settings)
    addresses = server.start()
    try:
        with httpx2.Client(base_url=addresses["otlp_http"], trust_env=False) as retry:
            for sender in senders:
                body = sender.unanswered.SerializeToString()
                retry.post(
                    "/v1/traces", content=body, headers={"content-type": "application/x-protobuf"}
                ).raise_for_status()
        while server._spool.status()["bytes"]:
            sleep(0.01)
        stored = server.store.read("SELECT span_id FROM spans")["span_id"].to_pylist()
    finally:
        server.stop()
    retried = {span.span_id.hex() for sender in senders for span in spans_of(sender.unanswered)}
    assert len(stored) == len(set(stored)), "a span landed twice"
    assert set(stored) == acknowledged | retried


def test_sigterm_drains(tmp_path: Path, make_request: Callable[..., Any]) -> None:
    """At SIGTERM everything acknowledged is landed, the process ends by itself, and the folder is free."""
    process, addresses = start(tmp_path)
    with httpx2.Client(base_url=addresses["otlp_http"], trust_env=False) as http:
        for _ in range(20):
            body = make_request(50).SerializeToString()
            http.post(
                "/v1/traces", content=body, headers={"content-type": "application/x-protobuf"}
            ).raise_for_status()
    process.terminate()
    process.communicate(timeout=5)
    assert process.returncode == 0
    from collector.store.store import Store

    store = Store.open(tmp_path)
    assert store.read("SELECT count(*) AS n FROM spans")["n"][0].as_py() == 1000
    store.close()
