"""HTTP paths of the explainer: analyze and feedback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

from collector.errors import SpyhopError
from collector.store.store import Store
from llm.explanation import Explanation, Subject
from llm.reviews.feedback import Feedback, FeedbackBook
from llm.reviews.review import review_agreement, review_queue
from llm.reviews.verdict import LINE_LIMIT_CHARS
from llm.service import Explainer

_KEEP_ALIVE_S = 5.0  # proxies cut a stream that is silent for long
_CHUNK_CHARS = 80


class AnalyzeRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    anomaly_id: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    incident_id: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    trace_id: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{32}$")] | None = None
    refresh: bool = False

    @model_validator(mode="after")
    def _one_subject(self) -> AnalyzeRequest:
        if sum(value is not None for value in (self.anomaly_id, self.incident_id, self.trace_id)) != 1:
            raise ValueError("give exactly one of anomaly_id, incident_id and trace_id")
        return self

    @property
    def subject(self) -> Subject:
        if self.anomaly_id is not None:
            return Subject(kind="anomaly", id=self.anomaly_id)
        if self.incident_id is not None:
            return Subject(kind="incident", id=self.incident_id)
        return Subject(kind="trace", id=(self.trace_id or "").lower())


def build_router(
    store: Store,
    explainer: Explainer,
    feedback: FeedbackBook,
    on_expected: Callable[[str, str | None], dict[str, Any]] = lambda *_: {},
) -> APIRouter:
    """`/api/monitor/analyze` and `/api/monitor/feedback`.

    Args:
        on_expected: told the incident that a rater calls normal, and who; its answer joins the response.
    """
    router = APIRouter(prefix="/api/monitor", tags=["explanations"])

    @router.post("/analyze", response_model=None)
    async def analyze(request: AnalyzeRequest, accept: Annotated[str, Header()] = "") -> Response:
        if "text/event-stream" in accept.lower():
            await run_in_threadpool(explainer.require, request.subject)  # a 404 must not be a stream
            return StreamingResponse(
                _events(explainer, request),
                media_type="text/event-stream",
                headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
            )
        explanation = await run_in_threadpool(explainer.analyse, request.subject, refresh=request.refresh)
        return JSONResponse(explanation.model_dump())

    @router.post("/feedback", response_model=None)
    def post_feedback(body: Feedback) -> Response:
        incident_id = feedback.incident_of(body.explanation_id) if body.expected else None
        row, is_new = feedback.record(body)
        if incident_id is not None:
            row["adopted"] = on_expected(incident_id, body.rater).get("adopted", [])
        return JSONResponse(row, status_code=201 if is_new else 200)

    @router.get("/feedback", response_model=None)
    def get_feedback(
        explanation_id: Annotated[str, Query(min_length=1)], history: bool = False
    ) -> dict[str, Any]:
        told: dict[str, Any] = {"feedback": feedback.of(explanation_id)}
        return told | ({"history": feedback.history(explanation_id)} if history else {})

    @router.get("/feedback/queue", response_model=None)
    def get_queue(
        reviewer: Annotated[str | None, Query(max_length=LINE_LIMIT_CHARS)] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 20,
        offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    ) -> dict[str, Any]:
        return review_queue(store, reviewer, limit, offset)

    @router.get("/feedback/agreement", response_model=None)
    def get_agreement() -> dict[str, Any]:
        return review_agreement(store).model_dump()

    return router


async def _events(explainer: Explainer, request: AnalyzeRequest) -> AsyncIterator[str]:
    """`delta` events with the text, then `explanation`; comments while a model thinks.

    Of a model's answer each sentence is a `delta` once it is checked, while the next is written: nothing
    unchecked is shown. Where the text turns out otherwise (code's sentence about the cause goes in
    front, or the model failed in the middle), `replace` gives all of it.
    """
    loop, lines = asyncio.get_running_loop(), asyncio.Queue[str | None]()

    def heard(line: str | None) -> None:
        loop.call_soon_threadsafe(lines.put_nowait, line)

    def analyse() -> Explanation:
        try:
            return explainer.analyse(request.subject, refresh=request.refresh, on_line=heard)
        finally:
            heard(None)

    work = asyncio.ensure_future(run_in_threadpool(analyse))
    told, coming = "", asyncio.ensure_future(lines.get())
    while True:
        if not (await asyncio.wait({coming}, timeout=_KEEP_ALIVE_S))[0]:
            yield ": working\n\n"
            continue
        line = coming.result()
        if line is None:
            break
        coming = asyncio.ensure_future(lines.get())
        piece = f" {line}" if told else line
        told += piece
        yield _event("delta", {"text": piece})
    try:
        explanation = await work
    except SpyhopError as error:
        body = {"code": error.code, "message": str(error), "details": error.details}
        yield _event("error", {"error": body})
        return
    text = explanation.summary
    if text.startswith(told):
        for start in range(len(told), len(text), _CHUNK_CHARS):
            yield _event("delta", {"text": text[start : start + _CHUNK_CHARS]})
    else:
        yield _event("replace", {"text": text})
    yield _event("explanation", explanation.model_dump())


def _event(name: str, data: object) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
