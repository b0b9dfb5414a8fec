"""Tokens and cost of calls to language models are amounts: what is far beyond a model's usual is a whale."""

from __future__ import annotations

import json
from typing import Any

import pytest

from collector.store.prices import save_prices
from detectors.orders.amount_columns import read_amounts

CALL = {"gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 500, "gen_ai.usage.output_tokens": 100}
FORMS: dict[str, tuple[dict[str, Any], list[tuple[str, str, float, str]]]] = {
    "gen_ai, priced by the longest name": (
        {**CALL, "gen_ai.response.model": "gpt-4o-mini-2026", "user.id": "ann"},
        [
            ("cost", "cost", 0.00018, "gpt-4o-mini-2026"),
            ("input_tokens", "gen_ai.usage.input_tokens", 500, "gpt-4o-mini-2026"),
            ("output_tokens", "gen_ai.usage.output_tokens", 100, "gpt-4o-mini-2026"),
        ],
    ),
    "OpenLLMetry": (
        {"gen_ai.request.model": "house", "gen_ai.usage.prompt_tokens": "7", "gen_ai.usage.cost": 0.5},
        [
            ("cost", "gen_ai.usage.cost", 0.5, "house"),
            ("input_tokens", "gen_ai.usage.prompt_tokens", 7, "house"),
        ],
    ),
    "OpenInference": (
        {"llm.model_name": "c", "llm.token_count.completion": 3, "llm.cost.total": 0.25},
        [("cost", "llm.cost.total", 0.25, "c"), ("output_tokens", "llm.token_count.completion", 3, "c")],
    ),
    "no figures": ({"gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": "many"}, []),
    "no model": ({"gen_ai.usage.input_tokens": 5}, []),
    "nothing": ({"http.route": "/"}, []),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(system: Any, form: str) -> None:
    """Each convention's tokens and costs are read; a cost that is not said is computed from the prices."""
    attributes, expected = FORMS[form]
    land(system, [attributes])
    prices = [
        {"model": "gpt-4o-mini", "input_price": 0.16, "output_price": 1.0},
        {"model": "gpt-4o", "input_price": 2.5, "output_price": 10.0},
    ]
    found = read_amounts(system.store.read, 0, 1, prices).sort_by("amount_kind").to_pylist()
    assert [(r["amount_kind"], r["attribute"], r["amount"], r["asset"]) for r in found] == [
        (kind, attribute, pytest.approx(amount), model) for kind, attribute, amount, model in expected
    ]


@pytest.mark.parametrize(
    ("change", "kind", "title"),
    [
        ({"gen_ai.usage.input_tokens": 90_000}, "input_tokens", "gpt-4o 90,000 input tokens"),
        ({"gen_ai.usage.output_tokens": 16_000}, "output_tokens", "gpt-4o 16,000 output tokens"),
        ({"gen_ai.usage.cost": 4.5}, "cost", "cost of gpt-4o 4.5"),
    ],
)
def test_a_call_far_beyond_the_usual(
    system: Any, trained_on_calls: Any, change: dict[str, float], kind: str, title: str
) -> None:
    """A call that takes far more tokens, or costs far more, than its operation's calls of this model is a
    whale with an incident of its own; a cost follows from the price list, in the same incident.
    """
    trained_on_calls.judge_landed(land(system, [usual(system), {**usual(system), **change}]))
    found = system.store.read(
        "SELECT detector, span_name, title, incident_id FROM anomalies"
        " JOIN spans USING (trace_id, span_id) JOIN incidents USING (incident_id)"
        " WHERE details->>'kind' = $kind",
        {"kind": kind},
    ).to_pylist()
    assert [(row["detector"], row["span_name"]) for row in found] == [("amount", "chat")]
    titles = (f"Whale: {title} in agent against a median of ", "Whale: cost of gpt-4o ")
    assert found[0]["title"].startswith(titles)
    whales = system.store.read(
        "SELECT details->>'kind' AS kind, incident_id FROM anomalies WHERE detector = 'amount'"
    )
    assert set(whales["kind"].to_pylist()) <= {kind, "cost"}
    assert set(whales["incident_id"].to_pylist()) == {found[0]["incident_id"]}


@pytest.fixture
def trained_on_calls(system: Any, pipeline: Any, clock: Any) -> Any:
    """A pipeline that has learned 360 calls, with a price list."""
    save_prices(system.store, {"gpt-4o": (2.5, 10.0)})
    for _ in range(6):
        pipeline.judge_landed(land(system, [usual(system) for _ in range(60)]))
        clock.now_s += 2
    clock.now_s += 10
    pipeline.learn_settled()
    return pipeline


def usual(system: Any) -> dict[str, Any]:
    noise = system.rng.lognormal(0, 0.4, 2)
    return {
        **CALL,
        "gen_ai.usage.input_tokens": int(500 * noise[0]),
        "gen_ai.usage.output_tokens": int(100 * noise[1]),
    }


def land(system: Any, calls: list[dict[str, Any]]) -> int:
    """A trace for each call, which takes half a second."""
    rows = []
    for attributes in calls:
        system.trace_count += 1
        rows.append(
            {
                "trace_id": f"{system.trace_count:032x}",
                "span_id": f"{system.trace_count:016x}",
                "parent_span_id": None,
                "service_name": "agent",
                "span_name": "chat",
                "span_kind": "CLIENT",
                "start_unix_nano": system.now_ns,
                "duration_ns": int(5e8 * system.rng.lognormal(0, 0.2)),
                "status_code": "UNSET",
                "attributes": json.dumps(attributes),
            }
        )
        system.now_ns += 30_000_000
    return int(system.land(rows))
