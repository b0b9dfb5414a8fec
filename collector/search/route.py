"""`GET /api/traces/search`, and `/api/traces/tags` and `/api/traces/tags/{tag}/values` to complete one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from collector.errors import InvalidInput
from collector.search import tags
from collector.search.parser import parse
from collector.search.search import (
    LIMIT_DEFAULT,
    LIMIT_MAX,
    SHOWN_MAX,
    SPANS_DEFAULT,
    SPANS_MAX,
    Limits,
    search,
)
from collector.search.times import Range, iso, range_of
from collector.sql.query import QueryRunner
from collector.store.sqlfile import load_sql

_TIME = "ISO 8601, seconds since 1970, now, or so long ago (15m, 2h, 7d)."


class RangeQuery(BaseModel):
    """A range of time; the last hour without. A misspelt parameter is refused rather than ignored."""

    model_config = ConfigDict(extra="forbid")

    start: str | None = Field(None, description=_TIME)
    end: str | None = Field(None, description=f"{_TIME} Now without.")
    since: str | None = Field(None, description="Instead of start: so long before the end, e.g. 15m.")

    def range(self, now_ns: int) -> Range:
        """Raises InvalidInput."""
        return range_of(self.start, self.end, self.since, now_ns=now_ns)


class SearchQuery(RangeQuery):
    q: str = Field("{}", description='A search, e.g. { resource.service.name = "shop" && duration > 500ms }.')
    limit: int = Field(LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description="Most traces to return.")
    spans: int = Field(SPANS_DEFAULT, ge=0, le=SPANS_MAX, description="Matching spans to show of each trace.")


class TagsQuery(RangeQuery):
    scope: str | None = Field(None, description=f"One of {', '.join(tags.SCOPES)}; all without.")
    limit: int = Field(tags.LIMIT_DEFAULT, ge=1, le=tags.LIMIT_MAX, description="Most names of a scope.")


class ValuesQuery(RangeQuery):
    q: str | None = Field(None, description="Only values of spans that fit this filter.")
    limit: int = Field(tags.LIMIT_DEFAULT, ge=1, le=tags.LIMIT_MAX, description="Most values.")


def search_router(queries: QueryRunner, *, clock_ns: Callable[[], int] = time.time_ns) -> APIRouter:
    router = APIRouter(prefix="/api/traces", tags=["search"])

    @router.get("/search")
    def search_traces(query: Annotated[SearchQuery, Query()]) -> dict[str, Any]:
        return answer(queries, query, clock_ns())

    @router.get("/tags")
    def list_tags(query: Annotated[TagsQuery, Query()]) -> dict[str, Any]:
        span = query.range(clock_ns())
        found = tags.list_tags(queries, span, scope=query.scope, limit=query.limit)
        return {"scopes": [{"name": name, "tags": names} for name, names in found.items()]}

    @router.get("/tags/{tag:path}/values")
    def list_values(tag: str, query: Annotated[ValuesQuery, Query()]) -> dict[str, Any]:
        span = query.range(clock_ns())
        values, is_cut = tags.list_values(queries, tag, span, search=query.q, limit=query.limit)
        return {"tag": tag, "values": [value._asdict() for value in values], "truncated": is_cut}

    return router


def answer(queries: QueryRunner, query: SearchQuery, now_ns: int) -> dict[str, Any]:
    """What `/api/traces/search` answers. Raises InvalidInput and what `search` raises."""
    span = query.range(now_ns)
    if query.limit * query.spans > SHOWN_MAX:
        raise InvalidInput(
            f"limit × spans is {query.limit * query.spans:,}, {SHOWN_MAX:,} are allowed", hint="ask for less"
        )
    limits = Limits(query.limit, query.spans, queries.bounds.timeout_s)
    result = search(queries, parse(query.q), span, limits, now_ns=now_ns)
    traces = [trace.as_dict() for trace in result.traces]
    _add_anomalies(queries, traces)
    return {
        "traces": traces,
        "count": len(traces),
        "truncated": result.truncated,
        "reason": result.reason,
        "start": iso(span.from_ns),
        "end": iso(span.until_ns),
        "elapsed_ms": result.elapsed_ms,
    }


def _add_anomalies(queries: QueryRunner, traces: list[dict[str, Any]]) -> None:
    """`severity` of the worst anomaly (null: none) and `anomaly_sigma` (null: not settled yet)."""
    if not traces:
        return
    ids = [trace["trace_id"] for trace in traces]
    sql = load_sql("collector.search.queries", "trace_anomalies")
    rows = queries.run_own(sql, {"trace_ids": ids}, limit_rows=len(ids)).table.to_pylist()
    known = {row["trace_id"]: row for row in rows}
    for trace in traces:
        row = known[trace["trace_id"]]
        trace["severity"] = None if row["severity"] is None else f"SEV{row['severity']}"
        trace["anomaly_sigma"] = row["anomaly_sigma"]
