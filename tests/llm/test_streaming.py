"""A model's answer reaches its reader while it is written: sentence by sentence, only what was checked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fastapi.responses import JSONResponse, StreamingResponse

from collector.api import create_app
from llm.api import build_router
from llm.reviews.feedback import FeedbackBook
from tests.llm.support import Endpoint, Loopback, completion

TRUE = "SELECT carts in checkout took 152 ms, 151 ms over its usual 900 µs [{own}]."
LIE = "The network dropped packets [{own}]."
LAST = "POST /checkout in checkout took 176 ms, usually 8 ms [E1]."


@pytest.fixture
def stream_url(slow_shop: Any, narrator: Any) -> Iterator[str]:
    app = create_app(
        slow_shop.store, [build_router(slow_shop.store, narrator, FeedbackBook(slow_shop.store))]
    )
    served = Loopback(app)
    yield served.url
    served.stop()


def answer(request: dict[str, Any], *lines: str) -> str:
    """The lines as an answer, each with the fact of the slow statement in its place."""
    content = request["messages"][1]["content"]
    block = json.loads(content.partition("<telemetry>")[2].partition("</telemetry>")[0])
    own = next(fact["id"] for fact in block["facts"] if fact["operation"] == "SELECT carts")
    summary = " ".join(line.format(own=own) for line in lines)
    return json.dumps({"summary": summary, "root_causes": [], "recommendations": []}, ensure_ascii=False)


def chunk(text: str | None, finish_reason: str | None = None) -> str:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(body)}\n\n"


def events(url: str) -> Iterator[tuple[str, Any]]:
    headers = {"Accept": "text/event-stream"}
    with (
        httpx2.Client(trust_env=False, timeout=60) as client,
        client.stream(
            "POST", f"{url}/api/monitor/analyze", json={"incident_id": "in-slow"}, headers=headers
        ) as response,
    ):
        name = ""
        for line in response.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield name, json.loads(line.removeprefix("data: "))


def test_sentences_arrive_while_the_next_is_written(stream_url: str, endpoint: Endpoint) -> None:
    """The first sentence is shown before the model has written the last; a lie between them never is."""
    seen = threading.Event()

    def pieces(request: dict[str, Any]) -> Iterator[str]:
        text = answer(request, TRUE, LIE, LAST)
        middle = text.index(" POST /checkout") + 5
        for start in range(0, middle, 7):
            yield chunk(text[start : min(start + 7, middle)])
        assert seen.wait(60), "nothing was shown while the answer was written"
        yield chunk(text[middle:])
        yield chunk(None, "stop") + "data: [DONE]\n\n"

    endpoint.sends(lambda request: StreamingResponse(pieces(request), media_type="text/event-stream"))
    told = ""
    for name, data in events(stream_url):
        if name == "delta":
            told += data["text"]
            seen.set()
            assert "network" not in told
        elif name == "replace":
            told = data["text"]
        else:
            assert name == "explanation"
            assert (told, data["source"]) == (data["summary"], "model")
    assert told.startswith("SELECT carts in checkout took 152 ms, 151 ms over")
    assert endpoint.requests[0]["stream"] is True


def test_an_endpoint_that_does_not_stream(stream_url: str, endpoint: Endpoint) -> None:
    """One that answers a request for a stream with plain JSON is asked again without."""
    for _ in range(2):
        endpoint.sends(lambda request: JSONResponse(completion(answer(request, TRUE))))
    *deltas, (last, explanation) = events(stream_url)
    assert last == "explanation"
    assert "".join(data["text"] for _, data in deltas) == explanation["summary"]
    assert explanation["source"] == "model"
    assert [request.get("stream", False) for request in endpoint.requests] == [True, False]


def test_a_stream_that_breaks(stream_url: str, endpoint: Endpoint) -> None:
    """Sentences that were shown before the failure are replaced by the text of code, with the reason."""

    def pieces(request: dict[str, Any]) -> Iterator[str]:
        yield chunk(answer(request, LAST, TRUE)[:-60])
        yield chunk(None, "length") + "data: [DONE]\n\n"

    endpoint.sends(lambda request: StreamingResponse(pieces(request), media_type="text/event-stream"))
    found = list(events(stream_url))
    assert [name for name, _ in found] == ["delta", "replace", "explanation"]
    explanation = found[-1][1]
    assert found[1][1]["text"] == explanation["summary"]
    assert (explanation["source"], explanation["fallback_reason"]) == ("deterministic", "answer_cut_off")
