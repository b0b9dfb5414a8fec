from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from exchange_ref.load.tides import MONDAY_UNIX_NANO, Tide, follow
from tests.pace import until

STEP_S = 0.1
Seen = list[tuple[float, float]]
After = Callable[[Any], Callable[[], object]]


def followed(
    open_exchange,
    tide: Tide,
    for_s: float,
    after: After = lambda _: lambda: True,
) -> tuple[Seen, dict[str, float]]:
    """(rate, size factor) behind each step while the tide acts; what is left of its factors afterwards.

    The tide's clock goes forward by the same at each step, however long the machine takes for one, and stands
    still at `for_s`; the load ends when what is `after` the time has come about as well.
    """

    async def main() -> tuple[Seen, dict[str, float]]:
        async with open_exchange() as running:
            load, stop, over = running.load, asyncio.Event(), asyncio.Event()
            seen: Seen = []

            def clock() -> float:
                seen.append((load.rate_now_per_s, load.traders.size_factor))
                now_s = STEP_S * (len(seen) - 1)
                if now_s >= for_s:
                    over.set()
                return min(now_s, for_s)

            async def end() -> None:
                await over.wait()
                await until(after(running), 30)
                stop.set()

            acting = follow(
                tide,
                running.exchange,
                load,
                rng=random.Random(1),
                start_unix_nano=MONDAY_UNIX_NANO,
                stop=stop,
                now_s=clock,
            )
            await asyncio.gather(acting, end(), load.run(stop))
            assert not running.exchange.gateway.plugins
            assert load.traders.size_factor == 1.0
            return seen[2:], dict(load.factors)  # the clock is read at the start, and before anything is done

    return asyncio.run(main())


def test_a_short_day_has_its_night_and_its_noon(open_exchange) -> None:
    """In a day of a second and a half the rate goes from a quiet night to a busy afternoon and back."""
    seen, left = followed(open_exchange, Tide(day_s=1.5), 1.5)
    rates = [rate for rate, _ in seen]
    assert min(rates) < 55
    assert max(rates) > 140
    assert rates.index(max(rates)) > rates.index(min(rates))
    assert rates[-1] < 100
    assert left == {}


def test_the_baseline_drifts(open_exchange) -> None:
    """Orders grow and the gateway's look-up takes longer in the course of a day; both are gone behind it."""
    early_ms: list[float] = []
    late_ms: list[float] = []

    def late_look_ups(running: Any) -> Callable[[], bool]:
        def found() -> bool:
            for took_ms, is_late in ((early_ms, False), (late_ms, True)):
                took_ms[:] = [
                    (run.end_unix_nano - run.start_unix_nano) / 1e6
                    for run in running.exchange.witness.runs("api-gateway", "kong.router")
                    if (run.start_unix_nano > day_over) == is_late
                ]
            return len(late_ms) >= 5

        day_over = running.target().now_ns()
        return found

    seen, _ = followed(open_exchange, Tide(day_s=1.0, latency_ms=12.0, size_growth=0.5), 1.0, late_look_ups)
    sizes = [size for _, size in seen if size > 1]
    assert sizes == sorted(sizes)
    assert 1.35 < sizes[-1] < 1.55
    assert min(early_ms) < 8 < min(late_ms)


def test_bursts_come_and_go(open_exchange) -> None:
    """Now and then there are so many times as many orders, and in between as many as usual."""
    tide = Tide(burst_every_s=0.2, burst_for_s=0.2, burst_factor=3.0)
    seen, left = followed(open_exchange, tide, 1.2)
    assert {rate for rate, _ in seen} == {100.0, 300.0}
    assert left == {}
