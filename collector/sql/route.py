"""`POST /api/sql`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from collector.client import ARROW_STREAM, TRUNCATED_HEADER
from collector.settings import Settings
from collector.sql import render
from collector.sql.query import Bounds, QueryRunner

PARQUET = "application/vnd.apache.parquet"


class SqlRequest(BaseModel):
    """The body of `POST /api/sql`."""

    query: str = Field(min_length=1, description="One read-only statement.")
    params: list[Any] | dict[str, Any] | None = Field(None, description="Values for ?, $1 or $name.")
    limit: int | None = Field(None, ge=0, description="Most rows to return.")
    as_text: bool = Field(
        False,
        description="Arrow and Parquet hold the text that JSON and CSV show, not typed values.",
    )


def bounds_of(settings: Settings) -> Bounds:
    """What queries may take, from the settings."""
    return Bounds(
        timeout_s=settings.sql_timeout_s,
        result_bytes=settings.sql_limit_bytes,
        memory_bytes=settings.sql_memory_bytes,
        places=settings.sql_places,
        check_s=settings.sql_check_s,
    )


def sql_router(queries: QueryRunner, settings: Settings) -> APIRouter:
    """The one route. `Accept` chooses an Arrow stream, Parquet, CSV or, without, JSON."""
    router = APIRouter()

    @router.post("/api/sql")
    async def sql(body: SqlRequest, request: Request) -> Response:
        loop = asyncio.get_running_loop()

        def is_gone() -> bool:
            return asyncio.run_coroutine_threadsafe(request.is_disconnected(), loop).result()

        return await run_in_threadpool(answer, body, request, is_gone)

    def answer(body: SqlRequest, request: Request, is_gone: Callable[[], bool]) -> Response:
        accept = request.headers.get("accept", "")
        media_type = next(
            (kind for kind in (ARROW_STREAM, PARQUET, "text/csv") if kind in accept), "application/json"
        )
        is_for_programs = media_type in (ARROW_STREAM, PARQUET)
        # Programs want all; text is mostly for people.
        usual_rows = settings.sql_limit_rows if is_for_programs else settings.sql_max_rows
        result = queries.run(
            body.query,
            body.params,
            limit_rows=min(usual_rows if body.limit is None else body.limit, settings.sql_limit_rows),
            as_text=body.as_text or not is_for_programs,
            is_gone=is_gone,
        )
        headers = {TRUNCATED_HEADER: str(result.truncated).lower()}
        content: Iterator[bytes]
        match media_type:
            case "application/json":
                content = render.json_table(result)
            case "text/csv":
                content, media_type = render.csv(result), "text/csv; charset=utf-8"
            case kind if kind == ARROW_STREAM:
                content = render.arrow_stream(result)
            case _:
                content = iter([render.parquet(result)])
        return StreamingResponse(content, media_type=media_type, headers=headers)

    return router
