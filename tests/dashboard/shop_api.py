"""A small real server in the shapes of the HTTP API."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from datetime import UTC, datetime
from typing import Any

import msgspec
import pyarrow as pa
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from tests.dashboard.shop_rows import group_key, iso, page_of_groups
from tests.dashboard.shop_world import World, explain
from tests.pace import patience_s


def build_api(world: World) -> FastAPI:
    """The monitor API over `world`."""
    api = FastAPI()

    def missing(what: str) -> JSONResponse:
        return JSONResponse({"error": {"code": "not_found", "message": what, "details": {}}}, 404)

    @api.post("/api/sql")
    async def sql(request: Request) -> Response:
        body = await request.json()
        table = world.query(body["query"], body.get("params"))
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return Response(sink.getvalue(), media_type="application/vnd.apache.arrow.stream")

    @api.get("/api/monitor/health")
    def health() -> dict[str, Any]:
        return {
            "status": world.status,
            "services": world.services,
            "window_s": 60,
            "detection": {},
            "generated_at": iso(datetime.now(UTC)),
        }

    @api.get("/api/monitor/anomalies")
    def anomalies(  # noqa: PLR0917 - query parameters
        severity: str = "",
        service: str = "",
        detector: str = "",
        state: str = "",
        limit: int = 100,
        order: str = "newest",
    ) -> dict[str, Any]:
        rows = [
            row
            for row in world.anomalies
            if (not severity or str(row["severity"]) in severity.split(","))
            and (not service or row["service_name"] == service)
            and (not detector or row["detector"] == detector)
            and (not state or row["state"] == state)
        ]
        rows.sort(key=lambda row: row["detected_at"], reverse=True)
        if order == "severity":
            rows.sort(key=lambda row: (row["severity"], -row["sigma"]))
        return {"anomalies": rows[:limit], "count": len(rows[:limit]), "total": len(rows)}

    @api.get("/readyz")
    def readyz() -> dict[str, Any]:
        return {"ready": True, "checks": {"landing": {"lag_s": 0.2}}}

    @api.get("/api/monitor/anomaly-groups")
    def anomaly_groups(  # noqa: PLR0917 - query parameters
        severity: str = "",
        service: str = "",
        detector: str = "",
        state: str = "",
        text: str = "",
        incident_id: str = "",
        alone: bool = False,
        limit: int = 50,
        offset: int = 0,
    ) -> dict[str, Any]:
        rows = [
            row
            for row in world.anomalies
            if (not severity or str(row["severity"]) in severity.split(","))
            and (not service or row["service_name"] == service)
            and (not detector or row["detector"] == detector)
            and (not state or row["state"] in state.split(","))
            and (not text or text.lower() in row["operation"].lower())
            and (not alone or row["incident_id"] is None)
            and (not incident_id or row["incident_id"] == incident_id)
        ]
        return page_of_groups(rows, limit, offset)

    @api.post("/api/monitor/anomaly-groups/{group_id}/state")
    async def set_group_state(group_id: str, request: Request) -> Any:
        state = (await request.json())["state"]
        members = [row for row in world.anomalies if group_key(row) == group_id]
        for row in members:
            world.set_state(row["anomaly_id"], state)
        return {"group_id": group_id, "state": state, "changed": len(members), "incident_id": None}

    @api.get("/api/monitor/anomalies/{anomaly_id}")
    def anomaly(anomaly_id: str) -> Any:
        found = [row for row in world.anomalies if row["anomaly_id"] == anomaly_id]
        if not found:
            return missing(f"no anomaly {anomaly_id}")
        incident = next(
            (row for row in world.incidents if row["incident_id"] == found[0]["incident_id"]), None
        )
        return found[0] | {"incident": incident}

    @api.post("/api/monitor/anomalies/{anomaly_id}/state")
    async def set_state(anomaly_id: str, request: Request) -> Any:
        row = world.set_state(anomaly_id, (await request.json())["state"])
        return row or missing(f"no anomaly {anomaly_id}")

    @api.get("/api/monitor/incidents")
    def incidents(state: str = "") -> dict[str, Any]:
        rows = [row for row in world.incidents if row["state"] == (state or row["state"])]
        return {"incidents": rows, "count": len(rows), "total": len(rows)}

    @api.get("/api/monitor/incidents/{incident_id}")
    def incident(incident_id: str) -> Any:
        found = [row for row in world.incidents if row["incident_id"] == incident_id]
        members = [row for row in world.anomalies if row["incident_id"] == incident_id]
        if not found:
            return missing(f"no incident {incident_id}")
        return found[0] | {"anomalies": members, "differences": world.differences.get(incident_id, [])}

    @api.post("/api/monitor/incidents/{incident_id}/state")
    async def set_incident_state(incident_id: str, request: Request) -> Any:
        return world.decide(incident_id, await request.json()) or missing(f"no incident {incident_id}")

    @api.post("/api/monitor/incidents/{incident_id}/expected")
    async def expected(incident_id: str, request: Request) -> Any:
        said_by = (await request.json())["said_by"]
        for row in world.incidents:
            if row["incident_id"] == incident_id:
                row["state"] = "resolved"
                return {"incident": row, "adopted": [f"SELECT wallets: 0.9 ms to 152 ms, says {said_by}"]}
        return missing(f"no incident {incident_id}")

    @api.get("/api/monitor/trace/{trace_id}")
    def trace(trace_id: str) -> Any:
        if trace_id not in world.traces:
            return missing(f"no trace {trace_id}")
        return Response(msgspec.json.encode(world.traces[trace_id]), media_type="application/json")

    @api.post("/api/monitor/analyze")
    async def analyze(request: Request) -> Any:
        ((key, subject_id),) = (await request.json()).items()
        return explain(world, key.removesuffix("_id"), subject_id)

    @api.post("/api/monitor/feedback", status_code=201)
    async def feedback(request: Request) -> Any:
        body = await request.json()
        correction = json.dumps(body["correction"]) if body.get("correction") else None
        world.write(
            "INSERT INTO feedback "
            "VALUES (uuid()::VARCHAR, ?, now()::TIMESTAMP, now()::TIMESTAMP, ?, ?, ?, ?) "
            "ON CONFLICT (explanation_id, rater) DO UPDATE SET rating = excluded.rating, "
            "correction = excluded.correction, comment = excluded.comment, updated_at = excluded.updated_at",
            [body["explanation_id"], body.get("rater", ""), body["rating"], correction, body.get("comment")],
        )
        return body

    return api


def serve(app: Any, port: int = 0) -> tuple[uvicorn.Server, threading.Thread, str]:
    """Runs `app` in a thread, on a free port by default; returns the server, its thread and the address."""
    listener = socket.create_server(("127.0.0.1", port))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + patience_s(10)
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return server, thread, f"http://127.0.0.1:{listener.getsockname()[1]}"
