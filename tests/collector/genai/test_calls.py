"""The view genai_calls, on spans of each convention as their libraries send them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from collector.server import Server
from collector.settings import Settings

PRICES = {"gpt-4o": (2.5, 10.0), "gpt-4o-mini": (0.15, 0.6)}
SENT = {
    "otel": {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "OpenAI",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2026-01-01",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 200,
        "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "hi"}]}],
        "gen_ai.output.messages": "[]",
        "gen_ai.conversation.id": "c1",
    },
    "openllmetry": {
        "llm.request.type": "chat",
        "traceloop.workflow.name": "shop",
        "gen_ai.system": "OpenAI",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.prompt_tokens": 10,
        "gen_ai.usage.completion_tokens": 20,
        "gen_ai.prompt.0.content": "be short",
        "gen_ai.prompt.1.content": "hello",
        "gen_ai.completion.0.content": "hey",
    },
    "openinference": {
        "openinference.span.kind": "LLM",
        "llm.provider": "anthropic",
        "llm.model_name": "claude-x",
        "llm.token_count.prompt": 5,
        "llm.token_count.completion": 7,
        "llm.cost.total": 0.25,
        "input.value": "2 + 2?",
        "output.value": "4",
        "session.id": "s1",
    },
    "unknown_price": {"gen_ai.request.model": "house-model", "gen_ai.usage.input_tokens": "many"},
    "chain": {"openinference.span.kind": "CHAIN", "input.value": "around a call"},
    "http": {"http.route": "/"},
}


@pytest.fixture(scope="module")
def calls(
    tmp_path_factory: pytest.TempPathFactory,
    make_settings: Callable[..., Any],
    start_running: Callable[..., Any],
    make_request: Any,
) -> dict[str, Any]:
    settings = make_settings(tmp_path_factory.mktemp("genai"), genai_prices=PRICES)
    running = start_running(Server(settings))
    for name, attributes in SENT.items():
        body = make_request(1, name=name, attributes=attributes).SerializeToString()
        headers = {"content-type": "application/x-protobuf"}
        assert running.http.post("/v1/traces", content=body, headers=headers).status_code == 200
    running.landed()
    rows = running.client.sql(
        "SELECT span_name, convention, operation, provider, model, input_tokens, output_tokens, cost, prompt,"
        " completion, conversation_id FROM genai_calls"
    ).to_dicts()
    running.stop()
    return {row.pop("span_name"): row for row in rows}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "otel",
            [
                *("gen_ai", "chat", "openai", "gpt-4o-2026-01-01", 1000, 200, 0.0045),
                *('[{"parts":[{"content":"hi","type":"text"}],"role":"user"}]', "[]", "c1"),
            ],
        ),
        (
            "openllmetry",
            ["openllmetry", "chat", "openai", "gpt-4o-mini", 10, 20, 13.5e-6, "be short\nhello", "hey", None],
        ),
        ("openinference", ["openinference", "llm", "anthropic", "claude-x", 5, 7, 0.25, "2 + 2?", "4", "s1"]),
        ("unknown_price", ["gen_ai", None, None, "house-model", None, None, None, None, None, None]),
    ],
)
def test_call(calls: dict[str, Any], name: str, expected: list[Any]) -> None:
    """Calls of all conventions have the same columns; the longest name that fits has the price."""
    assert list(calls[name].values()) == [
        pytest.approx(value) if isinstance(value, float) else value for value in expected
    ]


def test_only_calls(calls: dict[str, Any]) -> None:
    """Spans around calls, and others, are none."""
    assert sorted(calls) == ["openinference", "openllmetry", "otel", "unknown_price"]


@pytest.mark.parametrize("prices", ['{"a": [1]}', '{"a": [1, -2]}', '{"a": "cheap"}'])
def test_wrong_prices(monkeypatch: pytest.MonkeyPatch, prices: str) -> None:
    """A price list that is none is refused at the start."""
    monkeypatch.setenv("SPYHOP_GENAI_PRICES", prices)
    with pytest.raises(ValidationError):
        Settings()
