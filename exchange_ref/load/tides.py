"""Changes of the load that are no faults: busy and quiet hours, bursts, and a slow drift.

A day can be shorter than 24 hours, so that minutes see its whole rhythm.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from exchange_ref.exchange import Exchange
from exchange_ref.load.arrivals import Load, wait_for_event
from exchange_ref.load.rhythm import NS_PER_S, busyness

REAL_DAY_S: Final = 86_400.0
MONDAY_UNIX_NANO: Final = 1_795_392_000 * NS_PER_S  # at 00:00 UTC
STEP_S: Final = 0.1
# The name under which each change multiplies the load's rate.
RHYTHM, BURST = "rhythm", "burst"


@dataclass(frozen=True, slots=True)
class Tide:
    """
    Args:
        day_s: how long a day of the rhythm lasts; 0 for no rhythm.
        burst_every_s: mean time between two bursts; 0 for none.
        burst_for_s, burst_factor: how long a burst lasts, and how many times as many orders come in it.
        latency_ms: what looking up each request at the gateway takes by the end of the first day more than
            at its start, as tables grow.
        size_growth: by how much orders grow in the same time, as a share.
    """

    day_s: float = 0.0
    burst_every_s: float = 0.0
    burst_for_s: float = 3.0
    burst_factor: float = 2.5
    latency_ms: float = 0.0
    size_growth: float = 0.0


NO_TIDE: Final = Tide()


async def follow(
    tide: Tide,
    exchange: Exchange,
    load: Load,
    *,
    rng: random.Random,
    start_unix_nano: int,
    stop: asyncio.Event,
    now_s: Callable[[], float] = time.monotonic,
) -> None:
    """Let the tide act on exchange and load until `stop` is set, then take it away.

    Args:
        start_unix_nano: the moment of the week at which the rhythm begins.
        now_s: a clock that only goes forward, read once a step.
    """
    begun_s = now_s()
    usual_size = load.traders.size_factor
    last_growth = 1.0
    days = 0.0

    async def look_up(_: str) -> None:
        await asyncio.sleep(min(1.0, days) * tide.latency_ms / 1000)

    if tide.latency_ms:
        exchange.gateway.plugins.append(look_up)
    burst_at = next_burst(tide, rng, 0.0)
    try:
        while not stop.is_set():
            elapsed_s = now_s() - begun_s
            days = elapsed_s / (tide.day_s or REAL_DAY_S)
            if tide.day_s:
                moment = start_unix_nano + int(days * REAL_DAY_S * NS_PER_S)
                load.factors[RHYTHM] = busyness(moment)
            growth = 1 + tide.size_growth * min(1.0, days)
            # Others change the sizes too; only this part is the tide's.
            load.traders.size_factor *= growth / last_growth
            last_growth = growth
            if elapsed_s >= burst_at + tide.burst_for_s:
                load.factors.pop(BURST, None)
                burst_at = next_burst(tide, rng, elapsed_s)
            elif elapsed_s >= burst_at:
                load.factors[BURST] = tide.burst_factor
            await wait_for_event(stop, STEP_S)
    finally:
        load.factors.pop(RHYTHM, None)
        load.factors.pop(BURST, None)
        load.traders.size_factor = usual_size
        if look_up in exchange.gateway.plugins:
            exchange.gateway.plugins.remove(look_up)


def next_burst(tide: Tide, rng: random.Random, after_s: float) -> float:
    """When the next burst begins; never without bursts."""
    return after_s + rng.expovariate(1 / tide.burst_every_s) if tide.burst_every_s else math.inf
