"""The HTTP API: SQL, health, readiness, metrics, and the routers of the packages above."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

from collector.errors import InvalidInput, NotFound, SpyhopError, Unavailable
from collector.http import docs_page
from collector.http.answers import answer_of, error_answer
from collector.http.guard import LocalOnly
from collector.http.latest import Latest
from collector.http.places import Places
from collector.http.requests import WholeRequests
from collector.lookups.jaeger.route import jaeger_router
from collector.lookups.tempo.route import tempo_router
from collector.receive.senders import Senders
from collector.search.route import search_router
from collector.settings import Settings
from collector.sql.query import QueryRunner
from collector.sql.route import bounds_of, sql_router
from collector.store.store import Store

# With those of SQL (4) fewer than the threads (40) that plain functions share. A page of the dashboard asks
# for some six at once; an explanation may wait a minute for its model; an export reads every explanation.
PLACES = {
    "/api/monitor/": 12,
    "/api/monitor/analyze": 6,
    "/api/monitor/recalculate": 1,
    "/api/monitor/training/": 2,
    "/api/traces/": 4,
    "/jaeger/": 4,
    "/tempo/": 4,
}
PROBLEMS_MAX = 20
PLACE_CHARS_MAX = 200
STALE_CHECKS_S = 10.0  # readiness that has not been found out for so long is none

_METRICS_TYPES = {
    False: "text/plain; version=0.0.4; charset=utf-8",
    True: "application/openmetrics-text; version=1.0.0; charset=utf-8",
}
Readiness = Callable[[], tuple[bool, Mapping[str, object]]]
Metrics = Callable[[bool], bytes]


def create_app(
    store: Store,
    routers: Sequence[APIRouter] = (),
    *,
    settings: Settings | None = None,
    queries: QueryRunner | None = None,
    readiness: Readiness = lambda: (True, {}),
    metrics: Metrics = lambda _: b"",
) -> FastAPI:
    """The ASGI application over an open store.

    Args:
        queries: who runs other people's SQL; one of its own without.
        readiness: whether the process can do its work, and the checks that say so.
        metrics: the figures for Prometheus; true asks for OpenMetrics.
    """
    settings = settings or Settings()
    app = FastAPI(title="Spyhop", docs_url=None, redoc_url=None)
    map_errors(app)
    runner = queries or QueryRunner(store, bounds_of(settings))
    app.include_router(sql_router(runner, settings))
    app.include_router(search_router(runner))
    app.include_router(jaeger_router(runner))
    app.include_router(tempo_router(runner))
    app.include_router(_process_router(readiness, metrics))
    for router in routers:
        app.include_router(router)
    app.include_router(_docs_router(app))
    # The last is the outermost.
    app.add_middleware(Places, counts={**PLACES, "/api/sql": settings.sql_places})
    app.add_middleware(
        WholeRequests, max_body_bytes=settings.api_max_body_bytes, timeout_s=settings.api_timeout_s
    )
    app.add_middleware(LocalOnly, allowed_hosts=allowed_hosts(settings))
    return app


def allowed_hosts(settings: Settings) -> Iterable[str]:
    """Names besides the local ones: those configured, and the address the API is bound to."""
    host = settings.api.rpartition(":")[0].strip("[]")
    return [*settings.api_allowed_hosts, host]


def map_errors(app: FastAPI) -> None:
    """Give every error of every router one form: `{error: {code, message, details}}`."""

    # Coroutines: plain functions would need a thread, which may all be taken.
    @app.exception_handler(SpyhopError)
    async def domain_error(_: Request, error: SpyhopError) -> Response:
        return answer_of(error)

    @app.exception_handler(RequestValidationError)
    async def wrong_request(_: Request, error: RequestValidationError) -> Response:
        problems = [
            {"place": ".".join(map(str, problem["loc"]))[:PLACE_CHARS_MAX], "problem": problem["msg"]}
            for problem in error.errors()[:PROBLEMS_MAX]
        ]
        message = "; ".join(f"{problem['place']}: {problem['problem']}" for problem in problems)
        return error_answer(422, InvalidInput.code, message, {"problems": problems})

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        codes = {404: NotFound.code, 405: "method_not_allowed"}
        message = f"nothing is served at {request.url.path}" if error.status_code == 404 else error.detail
        code = codes.get(error.status_code, "http")
        return error_answer(error.status_code, code, message, {}, error.headers)

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> Response:
        message = f"the request failed inside the server ({type(error).__name__})"
        return error_answer(500, SpyhopError.code, message)


def senders_router(senders: Senders) -> APIRouter:
    """Who sends telemetry, what was taken of it, and why something was not."""
    router = APIRouter()

    @router.get("/api/senders")
    async def list_senders() -> dict[str, object]:
        return {"senders": senders.status()}

    return router


def _process_router(readiness: Readiness, metrics: Metrics) -> APIRouter:
    router = APIRouter()

    readiness_now = Latest(readiness, "readiness")
    pages = {
        is_open: Latest(partial(metrics, is_open), f"metrics-{media_type.partition(';')[0]}")
        for is_open, media_type in _METRICS_TYPES.items()
    }

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        result, age_s = await readiness_now.get()
        ready, checks = result or (False, {})
        if age_s > STALE_CHECKS_S or result is None:
            ready = False
            checks = {**checks, "checks": {"failure": f"they have not answered for {age_s:.1f} s"}}
        return JSONResponse({"ready": ready, "checks": checks}, status_code=200 if ready else 503)

    @router.get("/metrics")
    async def prometheus(request: Request) -> Response:
        is_open = "application/openmetrics-text" in request.headers.get("accept", "")
        page, age_s = await pages[is_open].get()
        if page is None:
            raise Unavailable(f"the figures could not be read for {age_s:.1f} s", hint="try again later")
        return Response(page, media_type=_METRICS_TYPES[is_open])

    return router


def _docs_router(app: FastAPI) -> APIRouter:
    router = APIRouter()

    @router.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        headers = {"content-security-policy": docs_page.CONTENT_SECURITY_POLICY}
        return HTMLResponse(docs_page.render(app.openapi()), headers=headers)

    return router
