"""A small shop in a real store: `checkout` calls `db`-less `SELECT carts`, and one trace of it is slow."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from collector.store.store import Store

T0 = 1_793_000_000_000_000_000  # 2026-10-26, ns
MS = 1_000_000
SLOW_TRACE = "5" * 32
FAILED_TRACE = "f" * 32
WHALE_TRACE = "a" * 32

INSERT_SPAN = """
INSERT INTO spans_recent BY NAME
SELECT
    1 AS batch_id, $trace_id AS trace_id, $span_id AS span_id, $parent AS parent_span_id, '' AS trace_state,
    0 AS flags, $service AS service_name, $name AS span_name, $kind AS span_kind,
    make_timestamp_ns($start) AS start_time, $duration AS duration_ns, $status AS status_code,
    $message AS status_message, $attributes::JSON::VARIANT AS attributes, 0 AS dropped_attributes_count,
    CASE WHEN $exception IS NULL THEN [] ELSE [{'time': make_timestamp_ns($start), 'name': 'exception',
        'attributes': $exception::JSON::VARIANT, 'dropped_attributes_count': 0}] END AS events,
    0 AS dropped_events_count, [] AS links, 0 AS dropped_links_count,
    '{}'::JSON::VARIANT AS resource_attributes,
    0 AS resource_dropped_attributes_count, '' AS resource_schema_url, '' AS scope_name, '' AS scope_version,
    '{}'::JSON::VARIANT AS scope_attributes, 0 AS scope_dropped_attributes_count, '' AS scope_schema_url
"""
INSERT_BASELINE = """
INSERT INTO baselines BY NAME
SELECT $service AS service_name, $name AS operation, $kind AS span_kind, 'operation' AS cell,
    812 AS sample_count, 0 AS flagged_count, $p50::DOUBLE AS p50_ns, $p50::DOUBLE AS p90_ns,
    $p50::DOUBLE AS p99_ns,
    $p50::DOUBLE AS p999_ns, $p50::DOUBLE AS sigma3_ns, $own::DOUBLE AS self_time_p50_ns,
    $p50::DOUBLE AS tail_threshold_ns, 0.01 AS tail_share, 0.1 AS tail_shape, 0.1 AS tail_scale,
    'ready' AS state, make_timestamp_ns($start) AS updated_at
"""
INSERT_ANOMALY = """
INSERT INTO anomalies BY NAME
SELECT $anomaly_id AS anomaly_id, make_timestamp_ns($start) AS detected_at, $detector AS detector,
    2 AS severity, 6.4 AS sigma, $trace_id AS trace_id, $span_id AS span_id, $service AS service_name,
    $name AS operation, $kind AS span_kind, make_timestamp_ns($start) AS span_start_time,
    $duration AS span_duration_ns, $observed AS observed, $expected AS expected, $unit AS unit,
    'operation' AS cell, 812 AS sample_count, $details::JSON AS details, 'open' AS state,
    make_timestamp_ns($start) AS state_changed_at, $incident_id AS incident_id
"""
INSERT_INCIDENT = """
INSERT INTO incidents BY NAME
SELECT $incident_id AS incident_id, $kind AS kind, 'open' AS state, 2 AS severity, $title AS title,
    make_timestamp_ns($start) AS opened_at, make_timestamp_ns($start) AS last_seen_at,
    make_timestamp_ns($start) AS first_span_time, make_timestamp_ns($start + 60000000000) AS last_span_time,
    $anomaly_count AS anomaly_count, 9 AS trace_count, $trace_id AS exemplar_trace_id,
    ['checkout'] AS services, $root_causes::JSON AS root_causes
"""


@dataclass
class Shop:
    """Writes rows as the collector and the detectors do."""

    store: Store
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def span(self, trace_id: str, service: str, name: str, kind: str = "INTERNAL", **given: Any) -> str:
        """Insert a span; times in ms from T0. Returns its id."""
        span_id = f"{next(self._numbers):016x}"
        values = {
            "trace_id": trace_id, "span_id": span_id, "parent": given.get("parent"), "service": service,
            "name": name, "kind": kind, "start": T0 + round(given.get("at_ms", 0) * MS),
            "duration": round(given.get("ms", 1) * MS), "status": given.get("status", "UNSET"),
            "message": given.get("message", ""), "attributes": json.dumps(given.get("attributes", {})),
            "exception": json.dumps(given["exception"]) if "exception" in given else None,
        }  # fmt: skip
        self._run(INSERT_SPAN, values)
        return span_id

    def baseline(self, service: str, name: str, kind: str, p50_ms: float, own_ms: float) -> None:
        values = {"service": service, "name": name, "kind": kind, "start": T0}
        self._run(INSERT_BASELINE, {**values, "p50": p50_ms * MS, "own": own_ms * MS})

    def anomaly(
        self, anomaly_id: str, trace_id: str, span_id: str, service: str, name: str, **given: Any
    ) -> None:
        values = {
            "anomaly_id": anomaly_id, "trace_id": trace_id, "span_id": span_id, "service": service,
            "name": name, "kind": given.get("kind", "SERVER"), "start": T0,
            "duration": round(given.get("ms", 1) * MS), "detector": given.get("detector", "latency"),
            "observed": float(given["observed"]), "expected": float(given["expected"]),
            "unit": given.get("unit", "ns"), "details": json.dumps(given.get("details", {})),
            "incident_id": given.get("incident_id"),
        }  # fmt: skip
        self._run(INSERT_ANOMALY, values)

    def incident(self, incident_id: str, trace_id: str, causes: list[dict[str, Any]], **given: Any) -> None:
        values = {
            "incident_id": incident_id, "kind": given.get("kind", "latency"), "start": T0,
            "title": given.get("title", "SELECT carts in checkout: p50 152 ms against 0.9 ms"),
            "anomaly_count": given.get("anomaly_count", 27), "trace_id": trace_id,
            "root_causes": json.dumps(causes),
        }  # fmt: skip
        self._run(INSERT_INCIDENT, values)

    def slow_trace(self, trace_id: str = SLOW_TRACE, name: str = "SELECT carts") -> dict[str, str]:
        """180 ms instead of 12 ms, 150 ms of which in the database call. Returns span ids by name."""
        root = self.span(trace_id, "shop-web", "GET /cart", "SERVER", ms=180)
        server = self.span(trace_id, "checkout", "POST /checkout", "SERVER", parent=root, at_ms=2, ms=176)
        database = self.span(
            trace_id, "checkout", name, "CLIENT", parent=server, at_ms=4, ms=152,
            attributes={"db.system.name": "postgresql", "db.collection.name": "carts",
                        "db.query.text": "SELECT * FROM carts WHERE email = 'canary-query@example.com'"},
        )  # fmt: skip
        return {"root": root, "server": server, "database": database}

    def usual(self) -> None:
        """The baselines of the slow trace's operations."""
        self.baseline("shop-web", "GET /cart", "SERVER", 12, 4)
        self.baseline("checkout", "POST /checkout", "SERVER", 8, 6)
        self.baseline("checkout", "SELECT carts", "CLIENT", 0.9, 0.9)

    def _run(self, sql: str, values: dict[str, Any]) -> None:
        with self.store.transaction() as connection:
            connection.execute(sql, values)


class Loopback:
    """Serves an application on a free port of this machine."""

    def __init__(self, app: FastAPI) -> None:
        config = uvicorn.Config(app, port=0, log_level="error", lifespan="off")
        self._server = uvicorn.Server(config)
        self._socket = config.bind_socket()
        self._socket.listen()  # who comes before the thread has started waits instead of being refused
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=5)
        self._socket.close()


class Endpoint:
    """A scripted OpenAI-compatible endpoint on loopback: answers in turn, and keeps what it was sent."""

    def __init__(self) -> None:
        self.replies: list[Callable[[dict[str, Any]], Response]] = []
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        app = FastAPI()
        app.add_api_route("/{path:path}", self._answer, methods=["POST", "GET"])
        self._loopback = Loopback(app)
        self.url = f"{self._loopback.url}/v1"

    def says(self, answer: object, **choice: Any) -> None:
        """Queue a completion whose content is `answer` (a str, or an object as JSON)."""
        content = answer if isinstance(answer, str) else json.dumps(answer)
        self.replies.append(lambda request: JSONResponse(completion(content, **choice)))

    def sends(self, reply: Callable[[dict[str, Any]], Response]) -> None:
        self.replies.append(reply)

    def stop(self) -> None:
        self._loopback.stop()

    async def _answer(self, request: Request) -> Response:
        body = await request.body()
        self.requests.append(json.loads(body) if body else {})
        self.headers.append(dict(request.headers))
        self.paths.append(request.url.path)
        return self.replies.pop(0)(self.requests[-1])


def completion(
    content: str | None, finish_reason: str = "stop", refusal: str | None = None
) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, "refusal": refusal}
    return {
        "id": "c1", "object": "chat.completion", "created": 1, "model": "scripted",
        "choices": [{"index": 0, "finish_reason": finish_reason, "message": message}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }  # fmt: skip


def fill_slow_shop(shop: Shop) -> None:
    """One slow trace with its anomaly `an-slow` and its incident `in-slow`."""
    shop.usual()
    ids = shop.slow_trace()
    shop.anomaly(
        "an-slow", SLOW_TRACE, ids["server"], "checkout", "POST /checkout",
        observed=176 * MS, expected=8 * MS, ms=176, incident_id="in-slow",
    )  # fmt: skip
    evidence = {
        "kind": "self_time", "trace_id": SLOW_TRACE, "span_id": ids["database"],
        "text": "SELECT carts took 152 ms of its own", "observed": 152e6, "expected": 0.9e6, "unit": "ns",
    }  # fmt: skip
    cause = {
        "rank": 1, "service": "checkout", "operation": "SELECT carts", "score": 0.9, "share": 0.9,
        "kind": "self_time", "evidence": [evidence],
    }  # fmt: skip
    shop.incident("in-slow", SLOW_TRACE, [cause])
