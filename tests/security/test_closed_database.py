from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic, sleep
from typing import Any

import httpx2
import pytest

import spyhop
from collector.errors import RefusedQuery
from collector.server import Server
from collector.settings import Settings
from collector.sql.query import QueryRunner
from collector.sql.sandbox import IsGone
from tests.pace import patience_s

PROTOBUF = {"content-type": "application/x-protobuf"}
# DuckDB 2.0.0 raises an INTERNAL error here, after which it refuses everything.
CLOSES = "SELECT json_group_structure((repeat('[', 10000) || repeat(']', 10000))::JSON) AS c0"


class LetsAllPass:
    """Instead of the process that checks queries: the next fault of DuckDB is one that it does not know."""

    def warm_up(self) -> None: ...

    def ask(
        self, request: Mapping[str, Any], timeout_s: float, is_gone: IsGone = None
    ) -> tuple[dict[str, Any], None]:
        return {"sql": request["query"], "names": ["c0"], "types": ["VARCHAR"]}, None

    def close(self) -> None: ...


def test_a_query_that_closes_the_database(
    settings: Settings, make_running: Callable[[Server], Any], make_request: Callable[..., Any]
) -> None:
    """A query that makes DuckDB close the database is refused; the database is open again within seconds, and
    nothing that was acknowledged meanwhile is lost."""
    running = make_running(Server(settings, spyhop.build_services))
    bodies = [make_request(10).SerializeToString() for _ in range(6)]

    def send(body: bytes) -> None:
        answer = running.http.post("/v1/traces", content=body, headers=PROTOBUF)
        while answer.status_code == 503:
            sleep(0.1)
            answer = running.http.post("/v1/traces", content=body, headers=PROTOBUF)
        assert answer.status_code == 200

    send(bodies[0])
    with QueryRunner(running.store, checker=LetsAllPass()) as queries:
        for body in bodies[1:3]:
            with pytest.raises(RefusedQuery, match="makes DuckDB fail"):
                queries.run(CLOSES, limit_rows=1)
            send(body)
            wait_until_open(running)
    for body in bodies[3:]:
        send(body)
    running.landed(30.0)
    assert running.client.sql(
        "SELECT count(*) AS n, count(DISTINCT span_id) AS ids FROM spans"
    ).to_dicts() == [{"n": 60, "ids": 60}]
    ready = running.api.get("/readyz").json()
    assert ready["ready"] is True, ready
    deadline_s = monotonic() + patience_s(30)
    while running.api.get("/readyz").json()["checks"]["detection"]["lag_batches"]:
        assert monotonic() < deadline_s, "detection does not go on"
        sleep(0.2)
    running.stop()


def wait_until_open(running: Any) -> None:
    deadline_s = monotonic() + patience_s(30)
    while True:
        answer: httpx2.Response = running.api.post(
            "/api/sql", json={"query": "SELECT count(*) FROM spans_recent"}, timeout=30
        )
        if answer.status_code == 200:
            return
        assert monotonic() < deadline_s, answer.text
        sleep(0.2)
