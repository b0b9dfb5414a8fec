from __future__ import annotations

from typing import Any, get_args

import pytest
from fastapi import Response
from pydantic import ValidationError

from llm.errors import FallbackReason, ModelFailed
from llm.explanation import Subject
from llm.narration.budget import FAILURES_TO_OPEN, HOUR_S, OPEN_FOR_S
from llm.narration.model import Model
from llm.settings import Settings

MESSAGES = [{"role": "user", "content": "x" * 400}]
ANSWER = {"summary": "It is slow [E1].", "root_causes": [], "recommendations": []}


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def model(settings: Settings, clock: Clock, **limits: Any) -> Model:
    return Model(settings.model_copy(update=limits), clock)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [({"llm_max_calls_per_hour": 2}, "limit_calls"), ({"llm_max_tokens_per_hour": 4}, "limit_tokens"),
     ({"llm_max_cost_per_hour": 4.0, "genai_prices": {"": (1e6, 1e6)}}, "limit_cost")],
)  # fmt: skip
def test_limits_of_an_hour(endpoint: Any, model_settings: Settings, limits: Any, reason: str) -> None:
    """Beyond a limit nothing is sent and the reason is named; an hour later it goes on."""
    clock = Clock()
    asked = model(model_settings, clock, **limits)
    for _ in range(3):
        endpoint.says(ANSWER)
    asked.ask(MESSAGES)  # two tokens, as the endpoint counts
    asked.ask(MESSAGES)
    with pytest.raises(ModelFailed, match="an hour is reached") as failure:
        asked.ask(MESSAGES)
    assert failure.value.reason == reason
    assert len(endpoint.requests) == 2
    clock.now_s = HOUR_S
    asked.ask(MESSAGES)
    assert len(endpoint.requests) == 3


def test_a_broken_endpoint_is_left_alone(endpoint: Any, model_settings: Settings) -> None:
    """After three failures in a row nothing is sent for a minute; then one more try decides."""
    clock = Clock()
    asked = model(model_settings, clock)
    for _ in range(FAILURES_TO_OPEN):
        endpoint.sends(lambda _: Response(status_code=500))
        endpoint.sends(lambda _: Response(status_code=500))  # the client tries twice
        with pytest.raises(ModelFailed) as failure:
            asked.ask(MESSAGES)
        assert failure.value.reason == "http_error"
    sent = len(endpoint.requests)
    with pytest.raises(ModelFailed, match="asked again in 60 s") as failure:
        asked.ask(MESSAGES)
    assert (failure.value.reason, len(endpoint.requests)) == ("circuit_open", sent)
    clock.now_s = OPEN_FOR_S
    endpoint.says(ANSWER)
    assert asked.ask(MESSAGES).summary == ANSWER["summary"]


def test_the_reason_is_told(endpoint: Any, narrator: Any, slow_shop: Any) -> None:
    """An explanation that fell back names the code of a closed list."""
    endpoint.sends(lambda _: Response(status_code=401))
    told = narrator.analyse(Subject(kind="incident", id="in-slow"))
    assert told.fallback_reason == "key_refused"
    assert told.fallback_reason in get_args(FallbackReason)
    assert told.source == "deterministic"


def test_other_hosts_are_refused() -> None:
    """An endpoint whose host is not on the list does not start; one that is, and none, do."""
    hosts = "127.0.0.1, llm.internal"
    with pytest.raises(ValidationError, match=r"evil\.example"):
        Settings(llm_base_url="http://evil.example/v1", llm_model="m", llm_allowed_hosts=hosts)
    for url in ("http://llm.internal:80/v1", "http://127.0.0.1:1/v1", None):
        assert Settings(llm_base_url=url, llm_model="m", llm_allowed_hosts=hosts).llm_base_url == url


def test_a_limit_of_cost_needs_a_price() -> None:
    """Without one of the model the settings are refused; the longest beginning of its name counts."""
    with pytest.raises(ValidationError, match="SPYHOP_GENAI_PRICES has no price of 'm-large'"):
        Settings(llm_model="m-large", llm_max_cost_per_hour=1.0, genai_prices={"n": (1, 2)})
    prices = {"m": (1.0, 2.0), "m-large": (3.0, 4.0), "m-larger": (5.0, 6.0)}
    settings = Settings(llm_model="m-large", llm_max_cost_per_hour=1.0, genai_prices=prices)
    assert settings.price_of("m-large") == (3.0, 4.0)
