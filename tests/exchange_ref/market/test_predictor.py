from __future__ import annotations

import asyncio
import json
import random
import time
from typing import Any

import numpy as np
import pytest

from exchange_ref.engine.orders import Side
from exchange_ref.engine.tape import MINUTE_NS
from exchange_ref.market.forecast import fit, relative_strength
from exchange_ref.market.past import made_past
from exchange_ref.market.price_models import MIN_EXAMPLES, MIN_MINUTES, Model
from tests.pace import until

USER = {"x-user-id": "trader-01"}
BODY = {"current_price": 42_000, "volume_24h": 12.5, "rsi": 55}


def walk(minutes: int, pull: float = 0.0) -> list[float]:
    """A random walk; with `pull` it comes back to 100 by that share a minute."""
    rng = random.Random(3)
    prices = [100.0]
    while len(prices) < minutes:
        prices.append(prices[-1] + rng.gauss(0, 0.05) + pull * (100 - prices[-1]))
    return prices


def test_relative_strength() -> None:
    """100 where it only rose, 0 where it only fell, 50 where it stood still, between where it did both."""
    assert relative_strength(np.arange(1.0, 31))[-1] == 100
    assert relative_strength(np.arange(31.0, 1, -1))[-1] == 0
    assert relative_strength(np.ones(30))[-1] == 50
    assert relative_strength(np.array([1.0, 2.0] * 15))[-1] == 50


def test_scores_are_honest() -> None:
    """Where the next move is not to be known no model is better than the baseline; where it is, both are."""
    volumes = [1.0] * 900
    blind, seeing = fit(walk(900), volumes).scores, fit(walk(900, 0.5), volumes).scores
    for model in Model:
        assert blind[model].r2 < 0.05
        assert blind[model].error_percent > 0.99 * blind[model].baseline_error_percent
        assert seeing[model].r2 > 0.15
        assert seeing[model].error_percent < 0.95 * seeing[model].baseline_error_percent
        assert seeing[model].hits > seeing[model].baseline_hits + 0.1
        assert (seeing[model].trained, seeing[model].tested) == (590, 295)


def test_a_price_far_above_its_mean_is_told_to_fall() -> None:
    """Of a market that always comes back."""
    fitted = fit(walk(900, 0.5), [1.0] * 900)
    for model in Model:
        assert fitted.move_percent(model, 100.1, 900, 50) < -0.02
        assert fitted.move_percent(model, 99.9, 900, 50) > 0.02


def test_so_many_minutes_are_just_enough() -> None:
    """The least number of minutes gives the least number of examples."""
    score = fit(walk(MIN_MINUTES), [1.0] * MIN_MINUTES).scores[Model.LINEAR]
    assert score.trained + score.tested == MIN_EXAMPLES


@pytest.fixture(scope="module")
def seen(start_exchange, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one exchange answered, before and after it had candles."""

    async def main() -> dict[str, Any]:
        async with start_exchange(tmp_path_factory.mktemp("predict")) as running:

            async def ask(headers: dict[str, str] = USER, **changes: object) -> tuple[int, Any]:
                content = json.dumps({**BODY, **changes}).encode()
                while True:  # the first fit on a busy machine
                    answer = await running.client.request("POST", "/api/predict", headers, content)
                    if b"are being fitted" not in answer.body:
                        return answer.status, json.loads(answer.body)

            found: dict[str, Any] = {"early": await ask(), "stranger": await ask({})}
            tape, now_ns = running.exchange.engine.tapes["BTC/USD"], time.time_ns()
            now_minute = now_ns // MINUTE_NS
            running.exchange.predictor.now_ns = lambda: now_ns  # no minute ends meanwhile
            for ago, price in enumerate(reversed(walk(200, 0.5)), start=1):
                tape.note((now_minute - ago) * MINUTE_NS, round(price * 42_000), 1_000, Side.BUY)
            found["forest"] = await ask()
            found["linear"] = await ask(model="linear")
            running.exchange.predictor.now_ns = lambda: now_ns + MINUTE_NS
            found["a minute later"] = await ask(model="linear")
            found["rsi"] = await ask(rsi=101)
            found["pair"] = await ask(pair="DOGE/USD")

            def spans() -> list[tuple[str, dict[str, Any]]]:
                return [
                    (span.name, {**(span.attributes or {}), "is a root": span.parent is None})
                    for trace in running.traces().values()
                    for span in trace
                    if span.name.startswith("predict.")
                ]

            await until(lambda: [name for name, _ in spans()].count("predict.fit") == 2, 20)
            found["spans"], found["cpu_s"] = spans(), running.exchange.predictor.cpu_s
            return found

    return asyncio.run(main())


def test_both_models_answer_with_their_score(seen) -> None:
    for model in ("forest", "linear"):
        status, reply = seen[model]
        assert (status, reply["model"], reply["horizon_s"]) == (200, model, 60)
        assert reply["direction"] == ("UP" if reply["move_percent"] > 0 else "DOWN")
        assert reply["predicted_price"] == pytest.approx(42_000 * (1 + reply["move_percent"] / 100))
        assert (reply["score"]["trained"], reply["score"]["tested"]) == (123, 62)


def test_models_are_fitted_once_and_cost_cpu(seen) -> None:
    """One fit for both answers, whose span says what it took of a processor; a minute later they still
    answer, while newer ones are fitted in a trace of their own."""
    assert seen["a minute later"][0] == 200
    names = [name for name, _ in seen["spans"]]
    assert names.count("predict.infer") == 3
    fits = [attributes for name, attributes in seen["spans"] if name == "predict.fit"]
    assert seen["cpu_s"] > 0.1
    assert [fit["is a root"] for fit in fits] == [False, True]
    assert all(fit["predict.minutes"] == 200 and fit["predict.cpu_ms"] > 10 for fit in fits)


def test_a_made_past_leads_to_the_price() -> None:
    """Enough whole minutes for models, without gaps, the last one before now, at the price of now."""
    minutes = made_past(42_000, 10 * MINUTE_NS * 24 * 60 + 5, random.Random(2))
    numbers = [minute.number for minute in minutes]
    assert len(minutes) >= MIN_MINUTES
    assert numbers == list(range(numbers[0], 24 * 60 * 10))
    assert minutes[-1].close == 42_000
    assert all(abs(minute.close / 42_000 - 1) < 0.1 and minute.volume > 0 for minute in minutes)


def test_what_cannot_be_told_is_refused(seen) -> None:
    """Too few candles, a stranger, an index above 100, a pair that is not traded."""
    assert seen["early"][0] == 503
    assert "was traded in 0 minutes so far; models need 45" in seen["early"][1]["error"]["message"]
    assert seen["stranger"][0] == 401
    assert (seen["rsi"][0], seen["pair"][0]) == (400, 400)
