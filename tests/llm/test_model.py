"""`Model` against a scripted endpoint on loopback: what endpoints really do."""

from __future__ import annotations

import gzip
import time
import tracemalloc
from typing import Any

import pytest
from fastapi import Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, StreamingResponse

from llm.errors import ModelFailed
from llm.narration.model import Model
from llm.settings import Settings
from tests.pace import within_s

ANSWER = {"summary": "It is slow [E1].", "root_causes": [], "recommendations": []}
MESSAGES = [{"role": "user", "content": "explain"}]


def bad_request(message: str, code: str | None = None) -> Any:
    body = {"error": {"message": message, "type": "invalid_request_error", "code": code, "param": None}}
    return lambda request: JSONResponse(body, status_code=400)


def test_structured_request(endpoint: Any, model_settings: Settings) -> None:
    """The first request asks for a strict schema, sends the output limit and the configured key."""
    endpoint.says(ANSWER)
    assert Model(model_settings).ask(MESSAGES).summary == "It is slow [E1]."
    request = endpoint.requests[0]
    assert request["response_format"]["json_schema"]["strict"] is True
    assert request["max_completion_tokens"] == model_settings.llm_max_output_tokens
    assert endpoint.headers[0]["authorization"] == "Bearer the-configured-key"


def test_schema_is_strict(endpoint: Any, model_settings: Settings) -> None:
    """Every object of the schema forbids other fields and requires all of its own."""
    endpoint.says(ANSWER)
    Model(model_settings).ask(MESSAGES)
    schema = endpoint.requests[0]["response_format"]["json_schema"]["schema"]
    for part in (schema, *schema["$defs"].values()):
        assert part["additionalProperties"] is False
        assert set(part["required"]) == set(part["properties"])


def test_key_of_the_environment_is_not_sent(
    endpoint: Any, model_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OPENAI_API_KEY belongs to another service and never reaches the configured endpoint."""
    monkeypatch.setenv("OPENAI_API_KEY", "canary-key")
    endpoint.says(ANSWER)
    Model(model_settings.model_copy(update={"llm_api_key": None})).ask(MESSAGES)
    assert "canary-key" not in str(endpoint.headers)


def test_steps_down_and_remembers(endpoint: Any, model_settings: Settings) -> None:
    """An endpoint without schemas, and without objects, is asked in plain words; the next time at once."""
    endpoint.sends(bad_request("response_format json_schema is not supported"))
    endpoint.sends(bad_request("response_format is not supported"))
    endpoint.says(ANSWER)
    endpoint.says(ANSWER)
    model = Model(model_settings)
    model.ask(MESSAGES)
    model.ask(MESSAGES)
    formats = [request.get("response_format", {}).get("type") for request in endpoint.requests]
    assert formats == ["json_schema", "json_object", None, None]


def test_older_name_of_the_limit(endpoint: Any, model_settings: Settings) -> None:
    """An endpoint that does not know max_completion_tokens gets max_tokens, and keeps its schema."""
    endpoint.sends(bad_request("Unrecognized request argument: max_completion_tokens"))
    endpoint.says(ANSWER)
    Model(model_settings).ask(MESSAGES)
    assert "max_tokens" in endpoint.requests[1]
    assert "max_completion_tokens" not in endpoint.requests[1]
    assert endpoint.requests[1]["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize(
    "content",
    ['```json\n{"summary": "x", "root_causes": [], "recommendations": []}\n```',
     'Sure! {"summary": "x", "root_causes": [], "recommendations": []} Hope it helps.',
     '"{\\"summary\\": \\"x\\", \\"root_causes\\": [], \\"recommendations\\": []}"'],
    ids=["fenced", "in prose", "encoded twice"],
)  # fmt: skip
def test_wrapped_json(endpoint: Any, model_settings: Settings, content: str) -> None:
    """JSON is found in fences, in prose and inside a JSON string."""
    endpoint.says(content)
    assert Model(model_settings).ask(MESSAGES).summary == "x"
    assert len(endpoint.requests) == 1


def test_repair_once(endpoint: Any, model_settings: Settings) -> None:
    """A wrong form is sent back once, with what was wrong."""
    endpoint.says({"summary": "x", "root_causes": []})
    endpoint.says(ANSWER)
    assert Model(model_settings).ask(MESSAGES).summary == ANSWER["summary"]
    assert "recommendations" in endpoint.requests[1]["messages"][-1]["content"]


def test_no_second_repair(endpoint: Any, model_settings: Settings) -> None:
    """Wrong twice is a failure, not a loop."""
    endpoint.says("no")
    endpoint.says("no")
    with pytest.raises(ModelFailed, match="twice"):
        Model(model_settings).ask(MESSAGES)
    assert len(endpoint.requests) == 2


def drip(request: dict[str, Any]) -> Response:
    def body() -> Any:
        for _ in range(100):
            time.sleep(0.2)
            yield b" "

    return StreamingResponse(body(), media_type="application/json")


FAILURES: dict[str, tuple[Any, str]] = {
    "html": (lambda r: HTMLResponse("<html>login</html>"), "not a chat completion"),
    "not json": (lambda r: Response("{oops", media_type="application/json"), "unusably"),
    "no choices": (lambda r: JSONResponse({"choices": []}), "not a chat completion"),
    "list": (lambda r: JSONResponse([1]), "not a chat completion"),
    "unauthorized": (lambda r: JSONResponse({}, status_code=401), "SPYHOP_LLM_API_KEY"),
    "no model": (lambda r: JSONResponse({}, status_code=404), "SPYHOP_LLM_MODEL"),
    "redirect": (lambda r: RedirectResponse("http://127.0.0.1:9/stolen"), "HTTP 307"),
    "overflow": (bad_request("too long", "context_length_exceeded"), "SPYHOP_LLM_CONTEXT_TOKENS"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILURES)
def test_failure_has_a_plain_reason(endpoint: Any, model_settings: Settings, name: str) -> None:
    """Whatever an endpoint sends, the failure says in plain words what it was and what to change."""
    reply, reason = FAILURES[name]
    endpoint.sends(reply)
    with pytest.raises(ModelFailed, match=reason):
        Model(model_settings).ask(MESSAGES)
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    ("choice", "reason"),
    [({"finish_reason": "length"}, "length"), ({"finish_reason": "content_filter"}, "filter"),
     ({"refusal": "I cannot"}, "refused")],
)  # fmt: skip
def test_no_usable_choice(
    endpoint: Any, model_settings: Settings, choice: dict[str, str], reason: str
) -> None:
    """A cut, filtered or refused answer is a failure, even if its beginning parses."""
    endpoint.says(ANSWER, **choice)
    with pytest.raises(ModelFailed, match=reason):
        Model(model_settings).ask(MESSAGES)


def test_total_deadline(endpoint: Any, model_settings: Settings) -> None:
    """An answer that drips forever ends at the total deadline, though no single read times out."""
    endpoint.sends(drip)
    settings = model_settings.model_copy(update={"llm_deadline_s": 0.7})
    with within_s(2), pytest.raises(ModelFailed, match=r"within 0\.7 s"):
        Model(settings).ask(MESSAGES)


def flood(media_type: str, status_code: int = 200) -> Any:
    """200 MB in chunks of 100 kB."""

    def reply(request: dict[str, Any]) -> Response:
        chunks = (b'data: {"x": "' + b"y" * 100_000 + b'"}\n\n' for _ in range(2000))
        return StreamingResponse(chunks, media_type=media_type, status_code=status_code)

    return reply


@pytest.mark.parametrize("media_type", ["application/json", "text/event-stream", "text/html"])
@pytest.mark.parametrize("status_code", [200, 400, 404])
def test_a_flood_is_not_buffered(
    endpoint: Any, model_settings: Settings, media_type: str, status_code: int
) -> None:
    """An answer of 200 MB, streamed or not, right or an error, ends at the limit in bytes."""
    endpoint.sends(flood(media_type, status_code))
    tracemalloc.start()
    with pytest.raises(ModelFailed, match="longer than 1,000,000 bytes"):
        Model(model_settings).ask(MESSAGES)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 20_000_000
    assert len(endpoint.requests) == 1


def test_compressed_answer(endpoint: Any, model_settings: Settings) -> None:
    """A small answer that unpacks to 200 MB is refused before it is unpacked."""
    bomb = gzip.compress(b" " * 200_000_000, 1)
    endpoint.sends(
        lambda r: Response(bomb, media_type="application/json", headers={"Content-Encoding": "gzip"})
    )
    with pytest.raises(ModelFailed, match="compressed"):
        Model(model_settings).ask(MESSAGES)
    assert endpoint.headers[0]["accept-encoding"] == "identity"


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 50_000, "```" + " " * 300_000, "{" * 300_000])
def test_deep_or_padded_answer(endpoint: Any, model_settings: Settings, content: str) -> None:
    """Answers that nest or pad without end fail within the deadline."""
    endpoint.says(content)
    endpoint.says(content)
    with within_s(3), pytest.raises(ModelFailed, match="twice"):
        Model(model_settings).ask(MESSAGES)


def test_unreachable(model_settings: Settings) -> None:
    """Nobody listening is a failure that says so."""
    settings = model_settings.model_copy(update={"llm_base_url": "http://127.0.0.1:9/v1"})
    with pytest.raises(ModelFailed, match="could not be reached"):
        Model(settings).ask(MESSAGES)
