"""The HTTP API: SQL, health, readiness, metrics, and the routers of the packages above."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from collector import formats
from collector.client import ARROW_STREAM, TRUNCATED_HEADER
from collector.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    SpyhopError,
    Timeout,
    TooLarge,
    Unavailable,
)
from collector.guard import LocalOnly
from collector.receive.senders import Senders
from collector.settings import Settings
from collector.store.query import run_query
from collector.store.store import Store

# The most particular class first.
_STATUSES: list[tuple[type[SpyhopError], int]] = [
    (TooLarge, 413),
    (InvalidInput, 400),
    (NotFound, 404),
    (Conflict, 409),
    (Unavailable, 503),
    (Timeout, 504),
]
RETRY_AFTER_S = 1

Readiness = Callable[[], tuple[bool, Mapping[str, object]]]
Metrics = Callable[[], str]


class SqlRequest(BaseModel):
    """The body of `POST /api/sql`."""

    query: str = Field(min_length=1, description="One read-only statement.")
    params: list[Any] | dict[str, Any] | None = Field(None, description="Values for ?, $1 or $name.")
    limit: int | None = Field(None, ge=0, description="Most rows to return.")


def create_app(
    store: Store,
    routers: Sequence[APIRouter] = (),
    *,
    settings: Settings | None = None,
    readiness: Readiness = lambda: (True, {}),
    metrics: Metrics = lambda: "",
) -> FastAPI:
    """The ASGI application over an open store.

    Args:
        readiness: whether the process can do its work, and the checks that say so.
        metrics: the process's figures as Prometheus text.
    """
    settings = settings or Settings()
    app = FastAPI(title="Spyhop", docs_url="/docs", redoc_url=None)
    map_errors(app)
    app.include_router(_sql_router(store, settings))
    app.include_router(_process_router(readiness, metrics))
    for router in routers:
        app.include_router(router)
    app.add_middleware(LocalOnly, allowed_hosts=allowed_hosts(settings))
    return app


def allowed_hosts(settings: Settings) -> Iterable[str]:
    """Names besides the local ones: those configured, and the address the API is bound to."""
    host = settings.api.rpartition(":")[0].strip("[]")
    return [*settings.api_allowed_hosts, host]


def map_errors(app: FastAPI) -> None:
    """Give every error of every router one form: `{error: {code, message, details}}`."""

    @app.exception_handler(SpyhopError)
    def domain_error(_: Request, error: SpyhopError) -> JSONResponse:
        status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
        headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None
        return _error(status, error.code, str(error), error.details, headers)

    @app.exception_handler(RequestValidationError)
    def wrong_request(_: Request, error: RequestValidationError) -> JSONResponse:
        problems = [
            {"place": ".".join(map(str, problem["loc"])), "problem": problem["msg"]}
            for problem in error.errors()
        ]
        message = "; ".join(f"{problem['place']}: {problem['problem']}" for problem in problems)
        return _error(422, InvalidInput.code, message, {"problems": problems})

    @app.exception_handler(HTTPException)
    def http_error(request: Request, error: HTTPException) -> JSONResponse:
        codes = {404: NotFound.code, 405: "method_not_allowed"}
        message = f"nothing is served at {request.url.path}" if error.status_code == 404 else error.detail
        return _error(error.status_code, codes.get(error.status_code, "http"), message, {}, error.headers)

    @app.exception_handler(Exception)
    def unexpected(_: Request, error: Exception) -> JSONResponse:
        return _error(500, SpyhopError.code, f"the request failed inside the server ({type(error).__name__})")


def _error(
    status: int,
    code: str,
    message: str,
    details: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    body = {"error": {"code": code, "message": message, "details": dict(details or {})}}
    return JSONResponse(body, status_code=status, headers=headers)


def _sql_router(store: Store, settings: Settings) -> APIRouter:
    router = APIRouter()

    @router.post("/api/sql")
    def sql(body: SqlRequest, request: Request) -> Response:
        accept = request.headers.get("accept", "")
        wants_arrow = ARROW_STREAM in accept
        # Arrow goes to programs, which want all; text mostly to people.
        usual_rows = settings.sql_limit_rows if wants_arrow else settings.sql_max_rows
        limit_rows = min(usual_rows if body.limit is None else body.limit, settings.sql_limit_rows)
        result = run_query(
            store,
            body.query,
            body.params,
            limit_rows=limit_rows,
            timeout_s=settings.sql_timeout_s,
            nested_as_json=not wants_arrow,
        )
        if wants_arrow:
            content, media_type = formats.as_arrow_stream(result), ARROW_STREAM
        elif "text/csv" in accept:
            content, media_type = formats.as_csv(result), "text/csv; charset=utf-8"
        else:
            content, media_type = formats.as_json(result), "application/json"
        headers = {TRUNCATED_HEADER: str(result.truncated).lower()}
        return Response(content, media_type=media_type, headers=headers)

    return router


def senders_router(senders: Senders) -> APIRouter:
    """Who sends telemetry, what was taken of it, and why something was not."""
    router = APIRouter()

    @router.get("/api/senders")
    def list_senders() -> dict[str, object]:
        return {"senders": senders.status()}

    return router


def _process_router(readiness: Readiness, metrics: Metrics) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz")
    def readyz() -> JSONResponse:
        ready, checks = readiness()
        return JSONResponse({"ready": ready, "checks": checks}, status_code=200 if ready else 503)

    @router.get("/metrics")
    def prometheus() -> PlainTextResponse:
        return PlainTextResponse(metrics(), media_type="text/plain; version=0.0.4")

    return router
