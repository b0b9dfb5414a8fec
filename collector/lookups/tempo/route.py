"""Tempo's query API under `/tempo`: for Grafana's Tempo data source and scripts."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from collector.errors import InvalidInput, NotFound
from collector.lookups.conditions import durations, query_of, tags_are
from collector.lookups.otlp_json import protobuf_json
from collector.lookups.spans import ALL_TIME, Traces, load_traces, merged, parse_trace_id
from collector.lookups.tempo import documents
from collector.search import tags
from collector.search.fields import INTRINSICS
from collector.search.metrics import default_step_ns, metrics
from collector.search.parser import parse
from collector.search.search import (
    LIMIT_DEFAULT,
    LIMIT_MAX,
    MARGIN_NS,
    SHOWN_MAX,
    SPANS_DEFAULT,
    SPANS_MAX,
    Limits,
    search,
)
from collector.search.syntax import Query as Search
from collector.search.times import LAST_NS, S_NS, Range, range_of
from collector.search.tokens import duration_ns
from collector.sql.query import QueryRunner

PROTOBUF = "application/protobuf"
_PARTIAL = "the trace has more spans than are sent at once"
Time = Annotated[str | None, Query(description="Seconds since 1970, or ISO 8601.")]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]
Names = Annotated[int, Query(ge=1, le=tags.LIMIT_MAX)]


def tempo_router(queries: QueryRunner, *, clock_ns: Callable[[], int] = time.time_ns) -> APIRouter:
    router = APIRouter(prefix="/tempo", tags=["tempo"])

    def span_of(start: str | None, end: str | None) -> Range:
        return range_of(start, end, None, now_ns=clock_ns())

    @router.get("/api/echo")
    async def echo() -> PlainTextResponse:
        return PlainTextResponse("echo")

    @router.get("/ready")
    async def ready() -> PlainTextResponse:
        return PlainTextResponse("ready")

    _add_traces(router, queries)
    _add_search(router, queries, span_of)
    _add_tags(router, queries, span_of)
    _add_metrics(router, queries, span_of)
    return router


SpanOf = Callable[[str | None, str | None], Range]


def _add_traces(router: APIRouter, queries: QueryRunner) -> None:
    def load(trace_id: str, start: str | None, end: str | None) -> Traces:
        wanted = parse_trace_id(trace_id)
        span = ALL_TIME
        if start and end and start != "0" and end != "0":
            asked = range_of(start, end, None, now_ns=0)
            span = Range(max(0, asked.from_ns - MARGIN_NS), min(LAST_NS, asked.until_ns + MARGIN_NS))
        found = load_traces(queries, [wanted], span)
        if not found.by_id:
            raise NotFound(f"trace {wanted} is not stored")
        return found

    @router.get("/api/traces/{trace_id}")
    def trace(trace_id: str, request: Request, start: Time = None, end: Time = None) -> Response:
        found = merged(load(trace_id, start, end).by_id.values())
        if _wants_protobuf(request):
            return Response(found.SerializeToString(), media_type=PROTOBUF)
        return _json({"batches": protobuf_json(found)["resourceSpans"]})

    @router.get("/api/v2/traces/{trace_id}")
    def trace_v2(trace_id: str, request: Request, start: Time = None, end: Time = None) -> Response:
        loaded = load(trace_id, start, end)
        found, message = merged(loaded.by_id.values()), _PARTIAL if loaded.is_cut else ""
        if _wants_protobuf(request):
            return Response(documents.trace_by_id_bytes(found, message), media_type=PROTOBUF)
        partial = {"status": "PARTIAL", "message": message} if message else {}
        return _json({"trace": protobuf_json(found), "metrics": {}, **partial})


def _add_search(router: APIRouter, queries: QueryRunner, span_of: SpanOf) -> None:
    @router.get("/api/search")
    def search_traces(  # noqa: PLR0917  # Tempo's parameters
        q: str = "",
        tags: str = "",
        minDuration: str | None = None,
        maxDuration: str | None = None,
        limit: Limit = LIMIT_DEFAULT,
        spss: Annotated[int, Query(ge=0, le=SPANS_MAX)] = SPANS_DEFAULT,
        start: Time = None,
        end: Time = None,
    ) -> dict[str, Any]:
        asked: Search
        if q.strip():
            asked = parse(q)
        else:
            asked = query_of([*tags_are(_logfmt(tags)), *durations(minDuration, maxDuration)])
        shown = min(spss or SPANS_MAX, SHOWN_MAX // limit)
        limits = Limits(limit, shown, queries.bounds.timeout_s)
        result = search(queries, asked, span_of(start, end), limits)
        return {
            "traces": [documents.found_trace(trace) for trace in result.traces],
            "metrics": {
                "inspectedTraces": len(result.traces),
                "inspectedSpans": str(result.looked_at_spans),
                "completedJobs": 1,
                "totalJobs": 1,
            },
        }


def _add_tags(router: APIRouter, queries: QueryRunner, span_of: SpanOf) -> None:
    def scopes(scope: str | None, start: str | None, end: str | None, limit: int) -> dict[str, list[str]]:
        wanted = None if scope in (None, "", "none") else scope
        return tags.list_tags(queries, span_of(start, end), scope=wanted, limit=limit)

    @router.get("/api/search/tags")
    def names(
        scope: str | None = None, start: Time = None, end: Time = None, limit: Names = tags.LIMIT_DEFAULT
    ) -> dict[str, Any]:
        found = scopes(scope, start, end, limit)
        return {"tagNames": sorted({name for listed in found.values() for name in listed})}

    @router.get("/api/v2/search/tags")
    def names_v2(
        scope: str | None = None, start: Time = None, end: Time = None, limit: Names = tags.LIMIT_DEFAULT
    ) -> dict[str, Any]:
        found = scopes(scope, start, end, limit)
        return {"scopes": [{"name": name, "tags": listed} for name, listed in found.items() if listed]}

    @router.get("/api/search/tag/{tag:path}/values")
    def values(
        tag: str, start: Time = None, end: Time = None, limit: Names = tags.LIMIT_DEFAULT
    ) -> dict[str, Any]:
        found, _ = tags.list_values(queries, _scoped(tag), span_of(start, end), search=None, limit=limit)
        return {"tagValues": list(dict.fromkeys(value.value for value in found))}

    @router.get("/api/v2/search/tag/{tag:path}/values")
    def values_v2(
        tag: str,
        q: str | None = None,
        start: Time = None,
        end: Time = None,
        limit: Names = tags.LIMIT_DEFAULT,
    ) -> dict[str, Any]:
        found, _ = tags.list_values(
            queries, _scoped(tag), span_of(start, end), search=_filter_only(q), limit=limit
        )
        return {"tagValues": [{"type": value.type, "value": value.value} for value in found]}


def _add_metrics(router: APIRouter, queries: QueryRunner, span_of: SpanOf) -> None:
    @router.get("/api/metrics/query_range")
    def query_range(  # noqa: PLR0917  # Tempo's parameters
        q: str = "",
        query: str = "",
        start: Time = None,
        end: Time = None,
        since: str | None = None,
        step: str | None = None,
    ) -> dict[str, Any]:
        span = span_of(since if start is None else start, end)
        step_ns = default_step_ns(span) if step is None else _step_ns(step)
        found = metrics(queries, parse(q or query), span, step_ns)
        answer: dict[str, Any] = {"series": [documents.series(one) for one in found.series], "metrics": {}}
        if found.truncated:
            answer |= {"status": "PARTIAL", "message": "there are more series than are sent at once"}
        return answer

    @router.get("/api/metrics/query")
    def query_instant(
        q: str = "", query: str = "", start: Time = None, end: Time = None, since: str | None = None
    ) -> dict[str, Any]:
        span = span_of(since if start is None else start, end)
        found = metrics(queries, parse(q or query), span, None)
        return {"series": [documents.instant(one) for one in found.series], "metrics": {}}


def _wants_protobuf(request: Request) -> bool:
    return PROTOBUF in request.headers.get("accept", "")


def _json(document: dict[str, Any]) -> Response:
    return JSONResponse(document)


def _step_ns(text: str) -> int:
    """`15s`, or a number of seconds. Raises InvalidInput."""
    found = duration_ns(text)
    if found is None:
        try:
            found = int(float(text) * S_NS)
        except (ValueError, OverflowError):
            found = 0
    if found <= 0:
        raise InvalidInput(f"step {text[:100]!r} is not a duration", hint="e.g. 15s or 60")
    return found


def _scoped(tag: str) -> str:
    """Tempo's tag names as a search writes them: a plain name is an attribute of whatever scope."""
    is_written = tag in INTRINSICS or tag.startswith(
        (".", "span.", "resource.", "event.", "link.", "instrumentation.", "parent.")
    )
    return tag if is_written else f".{tag}"


def _filter_only(q: str | None) -> str | None:
    """What Grafana sends while somebody types: a filter that is not finished narrows nothing."""
    if q is None or not q.strip():
        return None
    try:
        parse(q)
    except InvalidInput:
        return None
    return q


def _logfmt(text: str) -> dict[str, str]:
    """`service.name=shop http.route="/a b"`. Raises InvalidInput."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidInput(
            f"tags {text[:100]!r}: {error}", hint='e.g. service.name=shop name="GET /"'
        ) from error
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise InvalidInput(f"tag {word[:100]!r} is not key=value")
        found[key] = value
    return found
