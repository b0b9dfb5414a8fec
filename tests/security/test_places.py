"""Requests that take long: they hold up others of their kind at most, and never health."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter
from starlette.testclient import TestClient

from collector import api
from collector.api import create_app
from collector.http import latest
from collector.server import Server
from collector.settings import Settings
from collector.store.store import Store
from tests.pace import check, within_s

PROCESS_PATHS = ["/healthz", "/readyz", "/metrics"]


class Gate:
    """Handlers that wait until the test lets them go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.entered = threading.Semaphore(0)
        self.router = APIRouter()
        for path in ("/api/monitor/wait", "/api/monitor/analyze/wait", "/api/monitor/training/wait"):
            self.router.get(path)(self.wait)

    def wait(self) -> dict[str, bool]:
        self.entered.release()
        return {"ok": self.go_on.wait(30)}


@pytest.fixture
def gated(settings: Settings, make_running: Callable[[Server], Any]) -> Iterator[tuple[Any, Gate]]:
    gate = Gate()
    running = make_running(Server(settings, lambda _: ((gate.router,), ())))
    yield running, gate
    gate.go_on.set()
    running.stop()


def test_60_waiting_requests(gated: tuple[Any, Gate]) -> None:
    """While 60 requests wait, health, readiness and metrics answer within 100 ms, other parts go on,
    and what has no place is 503 with Retry-After.
    """
    running, gate = gated
    url = running.addresses["api"]

    def ask(_: int) -> httpx2.Response:
        return httpx2.get(f"{url}/api/monitor/wait", timeout=60, trust_env=False)

    with ThreadPoolExecutor(60) as pool:
        answers = [pool.submit(ask, number) for number in range(60)]
        for _ in range(api.PLACES["/api/monitor/"]):
            assert gate.entered.acquire(timeout=10)
        for path in PROCESS_PATHS:
            running.api.get(path)
        waits_s = []
        for path in PROCESS_PATHS * 5:
            started_s = monotonic()
            assert running.api.get(path).status_code == 200
            waits_s.append(monotonic() - started_s)
        check(sorted(waits_s)[len(waits_s) // 2], 0.1)
        check(max(waits_s), 5)
        query = running.api.post("/api/sql", json={"query": "SELECT 1"}, timeout=20)
        assert query.status_code == 200
        sleep(0.1)
        refused = ask(0)
        gate.go_on.set()
        statuses = [answer.result().status_code for answer in answers]
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["code"] == "unavailable"
    assert statuses.count(200) >= api.PLACES["/api/monitor/"]
    assert set(statuses) <= {200, 503}
    assert running.api.get("/api/monitor/wait").status_code == 200  # places are given back


def test_parts_do_not_share_places(gated: tuple[Any, Gate]) -> None:
    """Explanations that wait for their model leave the places of all others free."""
    running, gate = gated
    url = running.addresses["api"]

    def ask(path: str) -> int:
        return httpx2.get(f"{url}{path}", timeout=60, trust_env=False).status_code

    with ThreadPoolExecutor(30) as pool:
        slow = [
            pool.submit(ask, "/api/monitor/analyze/wait") for _ in range(api.PLACES["/api/monitor/analyze"])
        ]
        for _ in slow:
            assert gate.entered.acquire(timeout=10)
        assert ask("/api/monitor/analyze/wait") == 503
        others = [pool.submit(ask, path) for path in ("/api/monitor/wait", "/api/monitor/training/wait")]
        for _ in others:
            assert gate.entered.acquire(timeout=10)
        gate.go_on.set()
        assert {answer.result() for answer in [*slow, *others]} == {200}


def test_places_are_fewer_than_threads() -> None:
    """All kinds together leave some of the 40 threads that they share, with SQL's four."""
    assert sum(api.PLACES.values()) <= 36


def test_readiness_that_hangs(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a check waits for a lock, /readyz answers with the last result, and in the end with 503."""
    go_on = threading.Event()
    go_on.set()

    def readiness() -> tuple[bool, Mapping[str, object]]:
        go_on.wait(30)
        return True, {"spool": {"failure": ""}}

    app = create_app(store, settings=Settings(), readiness=readiness, metrics=lambda _: "up 1\n")
    with TestClient(app, base_url="http://localhost") as client:
        assert client.get("/readyz").json() == {"ready": True, "checks": {"spool": {"failure": ""}}}
        go_on.clear()
        with within_s(latest.WAIT_S + 1):
            assert client.get("/readyz").json()["ready"] is True
        assert client.get("/metrics").text == "up 1\n"
        monkeypatch.setattr(api, "STALE_CHECKS_S", 0.1)
        answer = client.get("/readyz")
        go_on.set()
        assert answer.status_code == 503
        assert "not answered" in answer.json()["checks"]["checks"]["failure"]
        assert answer.json()["checks"]["spool"] == {"failure": ""}
