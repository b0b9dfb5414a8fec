from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import duckdb
import pytest
from fastapi import APIRouter

from collector.errors import DataFolderInUse
from collector.server import Server
from collector.settings import Settings
from tests.pace import patience_s

JSON = {"content-type": "application/json"}


def test_logs_and_metrics_land(running: Any) -> None:
    """Logs and metrics sent as OTLP JSON are rows of the views `logs` and `metrics`."""
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    record = {"timeUnixNano": "5", "severityNumber": 9, "body": {"stringValue": "hi"}, "traceId": "ab" * 16}
    logs = {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]}
    metric = {"name": "orders", "gauge": {"dataPoints": [{"timeUnixNano": 7, "asInt": "3"}]}}
    metrics = {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [metric]}]}]}
    assert running.http.post("/v1/logs", content=json.dumps(logs), headers=JSON).status_code == 200
    assert running.http.post("/v1/metrics", content=json.dumps(metrics), headers=JSON).status_code == 200
    running.landed()
    query = "SELECT service_name, body::VARCHAR AS body, trace_id, severity_number AS n FROM logs"
    assert running.client.sql(query).rows() == [("shop", "hi", "ab" * 16, 9)]
    query = "SELECT service_name, metric_name, metric_kind, value_int FROM metrics"
    assert running.client.sql(query).rows() == [("shop", "orders", "gauge", 3)]


def test_service_edges(running: Any, make_request: Callable[..., Any]) -> None:
    """A call from one service to another is an edge with its count and errors; calls inside one are not."""
    caller = make_request(2, service="front")
    root, inner = caller.resource_spans[0].scope_spans[0].spans
    inner.parent_span_id = root.span_id
    callee = make_request(3, service="back", trace_id=root.trace_id, parent_span_id=inner.span_id)
    callee.resource_spans[0].scope_spans[0].spans[0].status.code = 2
    caller.MergeFrom(callee)
    running.http.post(
        "/v1/traces", content=caller.SerializeToString(), headers={"content-type": "application/x-protobuf"}
    )
    running.landed()
    (edge,) = running.client.sql("FROM service_edges").rows(named=True)
    assert edge == {
        "caller": "front",
        "callee": "back",
        "call_count": 3,
        "error_count": 1,
        "p50_ns": 1000,
        "p95_ns": 1000,
        "p99_ns": 1000,
    }


def test_failing_store_is_told_and_heals(
    running: Any, make_request: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the disk refuses, readiness is 503 with the reason; once it works again everything lands."""

    def full(*_: object) -> Any:
        raise duckdb.IOException("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(running.store, "transaction", full)
        body = make_request(2).SerializeToString()
        headers = {"content-type": "application/x-protobuf"}
        assert running.http.post("/v1/traces", content=body, headers=headers).status_code == 200
        deadline_s = monotonic() + patience_s(5)
        while running.api.get("/readyz").status_code == 200:
            assert monotonic() < deadline_s
            sleep(0.01)
        answer = running.api.get("/readyz").json()
        assert answer["ready"] is False
        assert answer["checks"]["landing"]["failure"] == "No space left on device"
    running.landed()
    assert running.client.sql("FROM spans").height == 2
    assert running.api.get("/readyz").status_code == 200


class Recorder:
    """A worker that notes what happened to it."""

    name = "recorder"

    def __init__(self) -> None:
        self.log: list[str] = []

    def start(self) -> None:
        self.log.append("start")

    def stop(self, timeout_s: float) -> None:
        self.log.append("stop" if timeout_s > 0 else "no time")

    def status(self) -> dict[str, object]:
        return {"position": 7}


def test_workers_and_routers(settings: Settings, make_running: Callable[[Server], Any]) -> None:
    """The parts that `build` returns are served, started, shown on /readyz and stopped before the store
    closes.
    """
    worker, router = Recorder(), APIRouter()
    router.add_api_route("/api/hello", lambda: {"hello": "world"})
    running = make_running(Server(settings, lambda _: ([router], [worker])))
    assert running.client.get("/api/hello") == {"hello": "world"}
    assert running.client.get("/readyz")["checks"]["recorder"] == {"position": 7}
    running.stop()
    assert worker.log == ["start", "stop"]


def test_failed_start_leaves_nothing(settings: Settings, running: Any) -> None:
    """A server that cannot have its folder starts no worker, and its ports are free again."""
    worker = Recorder()
    with pytest.raises(DataFolderInUse):
        Server(settings, lambda _: ([], [worker])).start()
    assert worker.log == []


def test_folder_names_its_server(running: Any) -> None:
    """Other programs find the server of a data folder in its owner file."""
    owner = json.loads(Path(running.store.folder / "owner.json").read_text())
    assert owner["api"] == running.addresses["api"]
