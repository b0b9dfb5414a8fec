"""The paths of the detectors under `/api/monitor`: HTTP in and out, `answers` and `incidents.rows` read."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from collector.errors import InvalidInput
from collector.store.store import Store
from detectors.api import answers
from detectors.api.group_query import GroupQuery
from detectors.api.trace_view import load_trace_view
from detectors.incidents import rows
from detectors.incidents.groups import list_groups
from detectors.incidents.rows import LIMIT_DEFAULT, LIMIT_MAX, ORDERS, STATES, Filters
from detectors.learning.expectation import list_versions
from detectors.model.anomaly import AMOUNT
from detectors.pipeline.worker import Pipeline

_WINDOW_S_MAX = 86_400
_NAME_MAX = 200
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]
Window = Annotated[int, Query(ge=1, le=_WINDOW_S_MAX)]


class ListQuery(BaseModel):
    """Filters that every list takes; a misspelt one is refused rather than ignored."""

    model_config = ConfigDict(extra="forbid")

    severity: list[str] | None = None
    service: str | None = None
    state: str | None = None
    since: str | None = None
    limit: int = Field(LIMIT_DEFAULT, ge=1, le=LIMIT_MAX)
    order: str = "newest"

    def filters(self, kind: str | None, now_unix_nano: int) -> Filters:
        """Raises InvalidInput for a value that is not known."""
        answers.one_of("order", self.order, ORDERS)
        return Filters(
            severities=answers.parse_severities(self.severity),
            service=self.service,
            detector=answers.detector_named(kind),
            state=answers.one_of("state", self.state, STATES),
            since_unix_nano=answers.parse_since(self.since, now_unix_nano),
            limit=self.limit,
            order=self.order,
        )


class AnomalyQuery(ListQuery):
    detector: str | None = None


class IncidentQuery(ListQuery):
    kind: str | None = None


def build_router(
    store: Store, pipeline: Pipeline, *, clock_ns: Callable[[], int] = time.time_ns
) -> APIRouter:
    """Handlers are plain functions, so each query runs in a thread of the pool."""
    router = APIRouter(prefix="/api/monitor", tags=["monitor"])
    _add_lists(router, store, clock_ns)
    _add_triage(router, pipeline)
    _add_state_of_things(router, store, pipeline, clock_ns)
    return router


def _add_lists(router: APIRouter, store: Store, clock_ns: Callable[[], int]) -> None:
    @router.get("/anomalies")
    def anomalies(query: Annotated[AnomalyQuery, Query()]) -> dict[str, Any]:
        return rows.list_anomalies(store, query.filters(query.detector, clock_ns()))

    @router.get("/anomaly-groups")
    def anomaly_groups(query: Annotated[GroupQuery, Query()]) -> dict[str, Any]:
        return list_groups(store, query.filters(clock_ns()))

    @router.get("/amount-anomalies")
    def amount_anomalies(query: Annotated[ListQuery, Query()]) -> dict[str, Any]:
        return rows.list_anomalies(store, query.filters(AMOUNT, clock_ns()))

    @router.get("/anomalies/{anomaly_id}")
    def anomaly(anomaly_id: str) -> dict[str, Any]:
        return rows.get_anomaly(store, anomaly_id)

    @router.get("/incidents")
    def incidents(query: Annotated[IncidentQuery, Query()]) -> dict[str, Any]:
        return rows.list_incidents(store, query.filters(query.kind, clock_ns()))

    @router.get("/incidents/{incident_id}")
    def incident(incident_id: str) -> dict[str, Any]:
        return rows.get_incident(store, incident_id)

    @router.get("/baselines")
    def baselines(
        service: str | None = None, operation: str | None = None, limit: Limit = LIMIT_MAX
    ) -> dict[str, Any]:
        return answers.list_baselines(store, service, operation, limit)

    @router.get("/baseline-versions")
    def baseline_versions(
        service: str | None = None, operation: str | None = None, limit: Limit = LIMIT_DEFAULT
    ) -> dict[str, Any]:
        return list_versions(store, service, operation, limit)


def _add_triage(router: APIRouter, pipeline: Pipeline) -> None:
    @router.post("/anomalies/{anomaly_id}/state")
    def anomaly_state(anomaly_id: str, body: Annotated[Any, Body()]) -> dict[str, Any]:
        return pipeline.set_anomaly_state(anomaly_id, *_state_in(body))

    @router.post("/anomaly-groups/{group_id}/state")
    def group_state(group_id: str, body: Annotated[Any, Body()]) -> dict[str, Any]:
        return pipeline.set_group_state(group_id, *_state_in(body))

    @router.post("/incidents/{incident_id}/state")
    def incident_state(incident_id: str, body: Annotated[Any, Body()]) -> dict[str, Any]:
        return pipeline.set_incident_state(incident_id, *_state_in(body))

    @router.post("/incidents/{incident_id}/expected")
    def incident_expected(incident_id: str, body: Annotated[Any, Body()] = None) -> dict[str, Any]:
        return pipeline.expect_incident(incident_id, _said_by(body))


def _said_by(body: object) -> str | None:
    said_by = body.get("said_by") if isinstance(body, dict) else None
    if body is not None and (not isinstance(body, dict) or body.keys() - {"said_by"}):
        raise InvalidInput("the body is not understood", hint='send nothing, or {"said_by": "who says so"}')
    if said_by is not None and (not isinstance(said_by, str) or len(said_by) > _NAME_MAX):
        raise InvalidInput("said_by is not a name", hint=f"send a text of at most {_NAME_MAX} characters")
    return said_by


def _state_in(body: object) -> tuple[object, str | None]:
    """The state, and who says so."""
    if not isinstance(body, dict) or "state" not in body:
        raise InvalidInput("the body names no state", hint='send {"state": "acknowledged", "said_by": "you"}')
    said_by = body.get("said_by")
    return body["state"], None if said_by is None else _said_by({"said_by": said_by})


def _add_state_of_things(
    router: APIRouter, store: Store, pipeline: Pipeline, clock_ns: Callable[[], int]
) -> None:
    @router.get("/health")
    def health(window_s: Window = 60) -> dict[str, Any]:
        ready_count = pipeline.baselines.counts()["ready"]
        return answers.health(store, pipeline.status(), ready_count, window_s, clock_ns())

    @router.get("/topology")
    def topology(window_s: Window = 300) -> dict[str, Any]:
        return answers.topology(store, window_s, clock_ns())

    @router.get("/trace/{trace_id}", response_model=dict[str, Any])
    def trace(trace_id: str) -> Response:
        view = load_trace_view(store, pipeline.baselines, trace_id.lower())
        # 10,000 spans are 6 MB, which a validated answer takes three times as long to write.
        return Response(msgspec.json.encode(view), media_type="application/json")

    @router.post("/recalculate")
    def recalculate() -> dict[str, int]:
        return pipeline.recalculate()
