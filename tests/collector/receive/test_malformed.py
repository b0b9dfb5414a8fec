"""10,000 malformed bodies: each is refused with a 4xx and leaves nothing, or accepted and can be read."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.receive.http_app import JSON, PROTOBUF, HttpReceiver
from collector.server import Server
from collector.signals import Signal
from tests.collector.receive.mangle import Mangled, mangled_bodies
from tests.collector.receive.otlp_calls import send

BODY_COUNT = int(os.environ.get("FUZZ_BODIES", "10000"))
TOGETHER = 40  # bodies of one example are sent at once, so that they share a write to disk
NUMBERS = itertools.count()
VIEWS = {Signal.TRACES: "spans", Signal.LOGS: "logs", Signal.METRICS: "metrics"}


class Sent:
    """The results of the bodies so far."""

    def __init__(self, running: Any) -> None:
        self.running = running
        self.refused_services: set[str] = set()
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.receiver = HttpReceiver(
            running.server.intake, max_body_bytes=1024 * 1024, body_timeout_s=15
        )  # the very application, without a socket
        self.loop = asyncio.new_event_loop()

    async def post(self, mangled: Mangled) -> int:
        answers = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": mangled.body}

        async def answer(event: Any) -> None:
            answers.append(event)

        content_type = (JSON if mangled.is_json else PROTOBUF).encode()
        scope = {
            "type": "http",
            "method": "POST",
            "path": f"/v1/{mangled.signal.label}",
            "headers": [(b"content-type", content_type)],
        }
        await self.receiver(scope, receive, answer)
        return int(answers[0]["status"])

    def note(self, mangled: Mangled, status: int) -> None:
        assert status in (200, 400, 413), (status, mangled)
        self.statuses[mangled.how, status] += 1
        if status != 200:
            self.refused_services.add(mangled.service)

    def check_store(self) -> None:
        """All that was accepted is in the store or was there already; nothing of what was refused is."""
        running = self.running
        running.landed()
        counts = running.server.intake.counts()
        totals = running.server.lander.totals
        accepted = {signal: counts.get((signal.label, "received"), 0) for signal in Signal}
        assert totals.quarantined_records == 0
        stored_services: set[str] = set()
        for signal, view in VIEWS.items():
            rows = running.client.sql(f"FROM {view}", limit=1_000_000)
            duplicates = totals.duplicate_spans if signal is Signal.TRACES else 0
            assert rows.height + duplicates == accepted[signal], signal
            stored_services |= set(rows["service_name"])
            running.client.sql(f"SELECT attributes::VARCHAR, resource_attributes::VARCHAR FROM {view}")
        assert not stored_services & self.refused_services
        assert running.api.get("/readyz").status_code == 200


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory, make_settings: Any, start_running: Any) -> Iterator[Sent]:
    running = start_running(Server(make_settings(tmp_path_factory.mktemp("malformed"))))
    sent = Sent(running)
    yield sent
    sent.loop.close()
    running.stop()


@settings(
    max_examples=BODY_COUNT // TOGETHER,
    deadline=None,
    suppress_health_check=list(HealthCheck),  # forty bodies are a large example, and meant to be
)
@given(data=st.data())
def send_without_socket(sent: Sent, data: st.DataObject) -> None:
    bodies = data.draw(mangled_bodies(NUMBERS, TOGETHER))

    async def post_all() -> list[int]:
        return await asyncio.gather(*map(sent.post, bodies))

    for mangled, status in zip(bodies, sent.loop.run_until_complete(post_all()), strict=True):
        sent.note(mangled, status)


def test_malformed_bodies(sent: Sent) -> None:
    """No malformed body is a 5xx; what is accepted lands and can be read, and nothing else does."""
    send_without_socket(sent)
    sent.check_store()
    kinds = {how for how, _ in sent.statuses}
    assert sum(sent.statuses.values()) >= BODY_COUNT
    assert len(kinds) == 13, "every kind of damage was tried"
    refused_count = sum(count for (_, status), count in sent.statuses.items() if status != 200)
    assert 0.2 < refused_count / sum(sent.statuses.values()) < 0.98, "neither all sound nor all garbage"


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def send_over_sockets(sent: Sent, data: st.DataObject) -> None:
    codes = {"ok": 200, "bad data": 400, "too large": 413}
    for mangled in data.draw(mangled_bodies(NUMBERS, TOGETHER)):
        transport = "json" if mangled.is_json else "grpc" if len(mangled.body) % 2 else "protobuf"
        outcome = send(sent.running, mangled.signal, transport, mangled.body)
        sent.note(mangled, codes[outcome.code])


def test_malformed_bodies_over_sockets(sent: Sent) -> None:
    """The same holds through gRPC and uvicorn."""
    send_over_sockets(sent)
    sent.check_store()
