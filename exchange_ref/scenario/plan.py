"""The plan of a scenario, drawn from its seed: one seed, one truth.

Sets for tuning and sets for judging never share a seed, nor the ranges that strengths are drawn from.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from exchange_ref.faults.registry import CONTROLS, CUSTOMERS, KINDS, LASTING
from exchange_ref.load.population import PROFESSIONAL, RETAIL, Population
from exchange_ref.load.tides import NO_TIDE, Tide
from exchange_ref.scenario.outside import HOST_SATURATED, SENDER_STOPPED, Outside
from exchange_ref.services.wallet import ONE_ATTEMPT, RetryPolicy

Params = dict[str, Any]


class Split(StrEnum):
    TUNE = "tune"
    JUDGE = "judge"


@dataclass(frozen=True, slots=True)
class Cascade:
    """One fault strong enough to bring others with it: patience ends, requests come again, queues and pools
    fill. Only the first is at fault; what follows from it is nobody else's.

    Args:
        params: fixed ones, beside what is drawn.
        then: kinds of independent faults that begin while it lasts, each so many seconds after it.
    """

    kind: str
    params: Mapping[str, object]
    then: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """One fault of a step, `after_s` its beginning."""

    kind: str
    params: Params
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """Faults that happen together: one case, unless they are controls."""

    parts: tuple[Part, ...]
    at_s: float
    for_s: float

    def lasts_s(self, part: Part) -> float:
        """All parts end together, however late they began."""
        return self.for_s - part.after_s


@dataclass(frozen=True, slots=True)
class Plan:
    """One run of the exchange.

    Args:
        baseline_s: quiet at the beginning, to learn from.
        retry: how patient the clients are.
        population: who trades besides retail.
        customers_per_s: what people with accounts do in a second.
        warm_up_s: load before all of this; times count from its end.
        outside: what happens around the exchange.
    """

    seed: int
    rate_per_s: float
    baseline_s: float
    duration_s: float
    steps: tuple[Step, ...]
    tide: Tide = NO_TIDE
    retry: RetryPolicy = ONE_ATTEMPT
    population: Population = RETAIL
    warm_up_s: float = 0.0
    outside: Outside | None = None
    customers_per_s: float = 0.0

    def schedule(self) -> dict[str, object]:
        """As `--faults` reads it: seconds after the load began."""
        return {
            "seed": self.seed,
            "faults": [
                {
                    "kind": part.kind,
                    "at_s": round(self.warm_up_s + step.at_s + part.after_s, 3),
                    "params": part.params,
                    **({"for_s": step.lasts_s(part)} if part.kind in LASTING else {}),
                }
                for step in self.steps
                for part in step.parts
            ],
        }


@dataclass(frozen=True, slots=True)
class Scenario:
    """A named set of runs.

    Args:
        rest_s: quiet between two steps, in which queues empty and windows close.
        strength: every drawn strength is multiplied by this.
        mixes: for each split, what happens at the same time, step by step.
        warm_up_s: load before the baseline, which is not recorded: caches fill, and other runs start too.
        drift: what a run's tide is, a day of which is as long as the run; 0 as its day for none.
        retry: how patient the clients are.
        population: who trades besides retail.
        customers_per_s: what people with accounts do in a second.
        outside: what happens around the exchange.
    """

    name: str
    seeds: int
    rate_per_s: float
    baseline_s: float
    for_s: float
    rest_s: float
    strength: float
    mixes: Mapping[Split, tuple[Mix, ...]]
    drift: Tide = NO_TIDE
    retry: RetryPolicy = ONE_ATTEMPT
    population: Population = RETAIL
    warm_up_s: float = 12.0
    outside: Outside | None = None
    customers_per_s: float = 0.0


# Kinds that begin together, or a cascade.
Mix = tuple[str, ...] | Cascade
# What people with accounts meet, and what came after the set of everything that traders of the load meet:
# that set stays what it was, so that figures on it can be compared.
_LATER: Final = CUSTOMERS | {"snapshot_pause"}
_EVERY_KIND: Final = tuple((kind,) for kind in KINDS if kind not in _LATER)
_OF_CUSTOMERS: Final = (*((kind,) for kind in sorted(_LATER)), ("noop",), ("load_surge",))
NOTHING_INSIDE: Final[dict[Split, tuple[Mix, ...]]] = {Split.TUNE: (), Split.JUDGE: ()}
SCENARIOS: Final = {
    scenario.name: scenario
    for scenario in (
        # 2 minutes, 4 faults: does it work at all?
        Scenario(
            "smoke",
            1,
            40.0,
            50.0,
            8.0,
            8.0,
            1.0,
            {
                Split.TUNE: (("db_slow",), ("gateway_delay",), ("error_burst",), ("broker_delay",)),
                Split.JUDGE: (("db_lock",), ("fsync_stall",), ("wallet_slow_client",), ("reply_loss",)),
            },
        ),
        # Everything that there is, five times, in another order each time.
        Scenario(
            "standard", 5, 30.0, 40.0, 5.0, 4.0, 1.0, {Split.TUNE: _EVERY_KIND, Split.JUDGE: _EVERY_KIND}
        ),
        # What people with accounts meet: payments, tokens, limits, streams, the predictor; and snapshots.
        Scenario(
            "accounts",
            3,
            20.0,
            40.0,
            6.0,
            5.0,
            1.0,
            {Split.TUNE: _OF_CUSTOMERS, Split.JUDGE: _OF_CUSTOMERS},
            customers_per_s=12.0,
        ),
        # Weak, overlapping and cascading faults over a baseline that drifts.
        Scenario(
            "hard",
            2,
            25.0,
            60.0,
            10.0,
            8.0,
            0.5,
            {
                Split.TUNE: (
                    ("db_slow",),
                    ("time_of_day_shift",),
                    ("db_slow", "gateway_delay"),
                    ("consumer_lag", "load_surge"),
                    ("fsync_stall",),
                    ("broker_delay", "error_burst"),
                    ("load_surge", "deploy_shift"),
                    ("hot_symbol_contention", "cpu_hog"),
                    Cascade("db_slow", {"delay_ms": 450, "statements": ["SELECT wallets"]}),
                    Cascade("gateway_delay", {"delay_ms": 280}, (("fsync_stall", 4.0),)),
                    Cascade("hot_symbol_contention", {"hold_ms": 150, "every_ms": 20, "pair": "BTC/USD"}),
                ),
                Split.JUDGE: (
                    ("gateway_delay",),
                    ("load_surge",),
                    ("db_lock", "wallet_slow_client"),
                    ("pool_exhaustion", "load_surge"),
                    ("consumer_lag",),
                    ("n_plus_one", "fsync_stall"),
                    ("time_of_day_shift", "cold_start"),
                    ("gc_pause", "duplicate_delivery"),
                    Cascade("db_lock", {"hold_ms": 400, "every_ms": 60}),
                    Cascade("broker_delay", {"delay_ms": 380}, (("error_burst", 5.0),)),
                    Cascade("consumer_lag", {"hold_ms": 190, "every_ms": 30}),
                ),
            },
            drift=Tide(1.0, burst_every_s=45.0, burst_factor=1.5, latency_ms=6.0, size_growth=0.5),
            # Far above what an order usually takes, and below what it takes in a cascade.
            retry=RetryPolicy(3, 0.25, 0.05),
            # Without whales: they would be unusual amounts without a label.
            population=PROFESSIONAL,
        ),
        # 2 minutes: others compute on every processor of the host.
        Scenario(
            "saturated",
            1,
            30.0,
            60.0,
            0.0,
            25.0,
            1.0,
            NOTHING_INSIDE,
            outside=Outside(HOST_SATURATED, 60.0, 30.0),
        ),
        # 9 minutes: a pause is a stop after two minutes, and after five in which spans came.
        Scenario(
            "stopped",
            1,
            10.0,
            330.0,
            0.0,
            45.0,
            1.0,
            NOTHING_INSIDE,
            outside=Outside(SENDER_STOPPED, 330.0, 150.0),
        ),
    )
}

# Strengths of tuning and judging sets: shares of the whole range that do not overlap.
_RANGES: Final = {Split.TUNE: (0.45, 1.0), Split.JUDGE: (0.1, 0.45)}
Draw = Callable[[float, float], float]


def plans(scenario: Scenario, split: Split, seed: int) -> list[Plan]:
    """One plan for each of the scenario's seeds. Different splits and seeds give different plans."""
    return [
        _plan(scenario, split, f"{scenario.name}/{split}/{seed + number}") for number in range(scenario.seeds)
    ]


def _plan(scenario: Scenario, split: Split, name: str) -> Plan:
    rng = random.Random(name)  # noqa: S311 - repeatable, not secret
    mix = list(scenario.mixes[split])
    rng.shuffle(mix)
    low, high = _RANGES[split]

    def draw(least: float, most: float) -> float:
        share = rng.uniform(low, high)
        return round((least + share * (most - least)) * scenario.strength, 3)

    steps, at_s = [], scenario.baseline_s
    for kinds in mix:
        parts = _parts(kinds, draw, rng)
        for_s = scenario.for_s if any(part.kind in LASTING for part in parts) else 1.0
        steps.append(Step(parts, round(at_s, 3), for_s))
        at_s += for_s + scenario.rest_s * rng.uniform(0.9, 1.1)
    if scenario.outside is not None:
        at_s = scenario.outside.at_s + scenario.outside.for_s + scenario.rest_s
    return Plan(
        rng.getrandbits(31),
        scenario.rate_per_s,
        scenario.baseline_s,
        round(at_s, 3),
        tuple(steps),
        replace(scenario.drift, day_s=round(at_s, 3)) if scenario.drift.day_s else scenario.drift,
        scenario.retry,
        scenario.population,
        scenario.warm_up_s,
        scenario.outside,
        scenario.customers_per_s,
    )


def _parts(mix: Mix, draw: Draw, rng: random.Random) -> tuple[Part, ...]:
    if not isinstance(mix, Cascade):
        return tuple(Part(kind, _params(kind, draw, rng)) for kind in mix)
    first = Part(mix.kind, {**_params(mix.kind, draw, rng), **mix.params})
    return (first, *(Part(kind, _params(kind, draw, rng), after_s) for kind, after_s in mix.then))


def _params(kind: str, draw: Draw, rng: random.Random) -> Params:
    """Parameters of a kind; without an entry, its defaults."""
    make = _DRAWN.get(kind)
    return make(draw, rng) if make is not None else {}


def is_control(step: Step) -> bool:
    """Whether nothing may fire in this step."""
    return all(part.kind in CONTROLS for part in step.parts)


_DRAWN: Final[dict[str, Callable[[Draw, random.Random], Params]]] = {
    "db_slow": lambda draw, rng: {
        "delay_ms": draw(60, 260),
        "statements": rng.choice([["SELECT wallets"], ["SELECT wallets", "INSERT orders"]]),
    },
    "db_lock": lambda draw, _: {"hold_ms": draw(120, 320), "every_ms": 250},
    "pool_exhaustion": lambda draw, _: {"hold_ms": draw(80, 220)},
    "n_plus_one": lambda draw, _: {"reads": max(8, int(draw(12, 50)))},
    "broker_delay": lambda draw, _: {"delay_ms": draw(60, 300)},
    "consumer_lag": lambda draw, _: {"hold_ms": draw(60, 160), "every_ms": 90},
    "hot_symbol_contention": lambda draw, _: {"hold_ms": draw(60, 160), "every_ms": 60},
    "gc_pause": lambda draw, _: {"heap_objects": int(draw(300_000, 600_000)), "every_ms": 300},
    "fsync_stall": lambda draw, _: {"stall_ms": draw(70, 200), "share": 0.12},
    "cpu_hog": lambda draw, _: {"work_ms": draw(40, 80)},
    "error_burst": lambda draw, _: {"users": max(2, int(draw(4, 14)))},
    "retry_storm": lambda draw, _: {"backoff_ms": draw(10, 60)},
    "duplicate_delivery": lambda draw, _: {"share": min(1.0, draw(0.3, 1.0))},
    "reply_loss": lambda draw, _: {"share": min(1.0, draw(0.2, 0.6)), "timeout_ms": 1_500},
    "slow_price_feed": lambda draw, _: {"every_ms": min(1_000.0, max(150.0, draw(200, 900)))},
    "gateway_delay": lambda draw, _: {"delay_ms": draw(50, 200)},
    "memory_leak": lambda draw, _: {"mb_per_s": draw(15, 50)},
    "wallet_slow_client": lambda draw, _: {"delay_ms": draw(90, 300), "share": 0.6},
    "price_spike": lambda draw, rng: {"percent": draw(5, 15), "pair": rng.choice(["BTC/USD", "ETH/USD"])},
    "spread_blowout": lambda draw, _: {"percent": draw(1, 4)},
    "whale_order": lambda draw, rng: {
        "multiple": draw(150, 900),
        "side": rng.choice(["BUY", "SELL"]),
        "pair": rng.choice(["BTC/USD", "ETH/USD", "SOL/USD"]),
    },
    "fat_finger": lambda draw, _: {"factor": max(2.0, draw(4, 20))},
    "wash_trade": lambda draw, _: {"rounds": max(4, int(draw(6, 14))), "every_ms": 60},
    "payment_delay": lambda draw, _: {"delay_ms": draw(150, 900)},
    "payment_failure": lambda draw, _: {"share": min(1.0, draw(0.5, 1.0))},
    "stream_gap": lambda draw, _: {"share": min(1.0, draw(0.2, 0.6))},
    "fan_out_stall": lambda draw, _: {"hold_ms": max(300.0, draw(400, 1_500))},
    "predictor_cpu": lambda draw, _: {"trees": int(draw(120, 300))},
    "snapshot_pause": lambda draw, _: {"pause_ms": draw(60, 200), "every_ms": 250},
    "load_surge": lambda draw, _: {"factor": max(1.5, draw(1.8, 3.0))},
    "time_of_day_shift": lambda draw, _: {"rate_factor": min(0.6, max(0.3, draw(0.4, 0.7)))},
}
