"""Jaeger's query API under `/jaeger`: for Grafana's Jaeger data source, Jaeger UI and scripts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query

from collector.errors import InvalidInput, NotFound
from collector.lookups.conditions import durations, name_is, query_of, service_is, tags_are
from collector.lookups.jaeger.errors import JaegerRoute
from collector.lookups.jaeger.model import trace_json
from collector.lookups.otlp_json import otlp_json
from collector.lookups.spans import Traces, load_traces, merged, parse_trace_id
from collector.search.search import LIMIT_MAX, MARGIN_NS, Limits, search
from collector.search.syntax import Query as Search
from collector.search.times import HOUR_NS, LAST_NS, Range, parse_time
from collector.search.tokens import duration_ns
from collector.sql.query import QueryRunner
from collector.store.sqlfile import load_sql

LIMIT_DEFAULT = 100
LOOKBACK_NS = 48 * HOUR_NS  # as in Jaeger, where no time is given
NAMES_MAX = 10_000
IDS_MAX = 100

Names = list[dict[str, Any]]


def jaeger_router(queries: QueryRunner, *, clock_ns: Callable[[], int] = time.time_ns) -> APIRouter:
    router = APIRouter(prefix="/jaeger", tags=["jaeger"], route_class=JaegerRoute)
    lookups = _Lookups(queries, clock_ns)
    _add_v1(router, lookups)
    _add_v3(router, lookups)
    return router


class _Lookups:
    def __init__(self, queries: QueryRunner, clock_ns: Callable[[], int]) -> None:
        self._queries, self._clock_ns = queries, clock_ns

    def services(self) -> list[str]:
        return [row["name"] for row in self._rows("services", self._recent()._asdict())]

    def operations(self, service: str, kind: str = "") -> Names:
        asked = {**self._recent()._asdict(), "service": service, "kind": kind}
        return self._rows("operations", asked)

    def dependencies(self, end_ms: int, lookback_ms: int) -> Names:
        until_ns = min(end_ms * 1_000_000, LAST_NS)
        from_ns = max(0, until_ns - lookback_ms * 1_000_000)
        return self._rows(
            "dependencies",
            {"from_ns": from_ns, "until_ns": until_ns, "parents_from_ns": max(0, from_ns - MARGIN_NS)},
        )

    def find(self, asked: Search, span: Range, limit: int) -> Traces:
        timeout_s = self._queries.bounds.timeout_s
        found = search(self._queries, asked, span, Limits(limit, 0, timeout_s)).traces
        if not found:
            return Traces({}, False)
        ids = [trace.trace_id for trace in found]
        first_ns = min(trace.start_ns for trace in found)
        last_ns = max(trace.start_ns + max(0, trace.duration_ns) for trace in found)
        around = Range(max(0, first_ns - MARGIN_NS), min(LAST_NS, last_ns + MARGIN_NS))
        loaded = load_traces(self._queries, ids, around)
        return loaded._replace(by_id={i: loaded.by_id[i] for i in ids if i in loaded.by_id})

    def by_ids(self, texts: Sequence[str]) -> Traces:
        if len(texts) > IDS_MAX:
            raise InvalidInput(f"{len(texts)} traces are more than {IDS_MAX} at once", hint="ask in pieces")
        return load_traces(self._queries, [parse_trace_id(text) for text in texts])

    def range(self, start: str | None, end: str | None, lookback: str | None = None) -> Range:
        """Of numbers of microseconds, or ISO times."""
        now_ns = self._clock_ns()
        until_ns = now_ns + 1 if not end else _micros(end, "end", now_ns)
        back_ns = duration_ns(lookback or "") or LOOKBACK_NS
        from_ns = max(0, until_ns - back_ns) if not start else _micros(start, "start", now_ns)
        if from_ns >= until_ns:
            raise InvalidInput("the range of time is empty: its start is not before its end")
        return Range(from_ns, until_ns)

    def now_ms(self) -> int:
        return self._clock_ns() // 1_000_000

    def _recent(self) -> Range:
        """Whatever was not deleted: Jaeger lists services and operations without a time."""
        return Range(0, LAST_NS)

    def _rows(self, name: str, params: dict[str, Any]) -> Names:
        sql = load_sql("collector.lookups.queries", name)
        rows: Names = self._queries.run_own(sql, params, limit_rows=NAMES_MAX).table.to_pylist()
        return rows


def _micros(text: str, name: str, now_ns: int) -> int:
    return (
        min(int(text) * 1_000, LAST_NS)
        if text.isdecimal() and len(text) < 19
        else parse_time(text, name, now_ns)
    )


def _listed(data: list[Any], total: int | None = None) -> dict[str, Any]:
    return {
        "data": data,
        "total": len(data) if total is None else total,
        "limit": 0,
        "offset": 0,
        "errors": None,
    }


def _traces(found: Traces) -> dict[str, Any]:
    documents = [trace_json(i, trace, is_cut=found.is_cut) for i, trace in found.by_id.items()]
    return _listed(documents, 0)


def _add_v1(router: APIRouter, lookups: _Lookups) -> None:
    @router.get("/api/services")
    def services() -> dict[str, Any]:
        return _listed(lookups.services())

    @router.get("/api/services/{service:path}/operations")
    def operations_of(service: str) -> dict[str, Any]:
        return _listed(list(dict.fromkeys(row["name"] for row in lookups.operations(service))))

    @router.get("/api/operations")
    def operations(service: str, spanKind: str = "") -> dict[str, Any]:  # Jaeger's name
        found = lookups.operations(service, spanKind)
        return _listed([{"name": row["name"], "spanKind": _kind(row)} for row in found])

    @router.get("/api/traces/{trace_id}")
    def trace(trace_id: str) -> dict[str, Any]:
        found = lookups.by_ids([trace_id])
        if not found.by_id:
            raise NotFound("trace not found")
        return _traces(found)

    @router.get("/api/traces")
    def find_traces(  # noqa: PLR0917  # Jaeger's parameters
        service: str = "",
        operation: str = "",
        tags: str = "",
        tag: Annotated[list[str] | None, Query()] = None,
        minDuration: str | None = None,
        maxDuration: str | None = None,
        start: str | None = None,
        end: str | None = None,
        lookback: str | None = None,
        limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT,
        traceID: Annotated[list[str] | None, Query()] = None,
    ) -> dict[str, Any]:
        if traceID:
            return _traces(lookups.by_ids(traceID))
        if not service:
            raise InvalidInput("parameter 'service' is required")
        asked = query_of(
            [
                service_is(service),
                *([name_is(operation)] if operation else []),
                *tags_are(_tags(tags, tag or ())),
                *durations(minDuration, maxDuration),
            ]
        )
        return _traces(lookups.find(asked, lookups.range(start, end, lookback), limit))

    @router.get("/api/dependencies")
    def dependencies(
        endTs: Annotated[int | None, Query(ge=0)] = None,
        lookback: Annotated[int, Query(ge=0)] = 86_400_000,
    ) -> dict[str, Any]:
        found = lookups.dependencies(lookups.now_ms() if endTs is None else endTs, lookback)
        return _listed(
            [
                {"parent": row["caller"], "child": row["callee"], "callCount": row["call_count"]}
                for row in found
            ],
            0,
        )


def _add_v3(router: APIRouter, lookups: _Lookups) -> None:
    @router.get("/api/v3/services")
    def services() -> dict[str, Any]:
        return {"services": lookups.services()}

    @router.get("/api/v3/operations")
    def operations(service: str, span_kind: str = "") -> dict[str, Any]:
        found = lookups.operations(service, span_kind)
        return {"operations": [{"name": row["name"], "spanKind": _kind(row)} for row in found]}

    @router.get("/api/v3/traces/{trace_id}")
    def trace(trace_id: str) -> dict[str, Any]:
        return _result(lookups.by_ids([trace_id]))

    @router.get("/api/v3/traces")
    def find_traces(  # noqa: PLR0917  # Jaeger's parameters
        service: Annotated[str, Query(alias="query.service_name")] = "",
        operation: Annotated[str, Query(alias="query.operation_name")] = "",
        attributes: Annotated[str, Query(alias="query.attributes")] = "",
        first: Annotated[str | None, Query(alias="query.start_time_min")] = None,
        last: Annotated[str | None, Query(alias="query.start_time_max")] = None,
        least: Annotated[str | None, Query(alias="query.duration_min")] = None,
        most: Annotated[str | None, Query(alias="query.duration_max")] = None,
        depth: Annotated[int | None, Query(alias="query.search_depth", ge=1, le=LIMIT_MAX)] = None,
        count: Annotated[int | None, Query(alias="query.num_traces", ge=1, le=LIMIT_MAX)] = None,
    ) -> dict[str, Any]:
        asked = query_of(
            [
                *([service_is(service)] if service else []),
                *([name_is(operation)] if operation else []),
                *tags_are(_tags(attributes, ())),
                *durations(least, most),
            ]
        )
        return _result(lookups.find(asked, lookups.range(first, last), depth or count or LIMIT_DEFAULT))


def _result(found: Traces) -> dict[str, Any]:
    if not found.by_id:
        raise NotFound("No traces found")
    return {"result": otlp_json(merged(found.by_id.values()))}


def _kind(row: dict[str, Any]) -> str:
    return "" if row["kind"] == "unspecified" else str(row["kind"])


def _tags(document: str, pairs: Sequence[str]) -> dict[str, str]:
    """Of `{"key": "value"}` and of `key:value`."""
    found: dict[str, str] = {}
    if document:
        try:
            values = json.loads(document)
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            raise InvalidInput(
                f"tags {document[:100]!r} is not a JSON object", hint='e.g. {"http.method": "GET"}'
            )
        for key, value in values.items():
            found[key] = value if isinstance(value, str) else json.dumps(value)
    for pair in pairs:
        key, colon, value = pair.partition(":")
        if not colon:
            raise InvalidInput(f"tag {pair[:100]!r} is not key:value", hint="e.g. http.method:GET")
        found[key] = value
    return found
