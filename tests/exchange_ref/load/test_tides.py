from __future__ import annotations

import asyncio
import random

from exchange_ref.load.tides import MONDAY_UNIX_NANO, Tide, follow


def followed(
    open_exchange, tide: Tide, for_s: float
) -> tuple[list[tuple[float, float]], int, dict[str, float]]:
    """(rate, size factor) while the tide acts; spans of `kong.router` above 8 ms; factors afterwards."""

    async def main() -> tuple[list[tuple[float, float]], int, dict[str, float]]:
        async with open_exchange() as running:
            load, stop = running.load, asyncio.Event()
            seen: list[tuple[float, float]] = []

            async def look() -> None:
                while not stop.is_set():
                    await asyncio.sleep(0.05)
                    seen.append((load.rate_now_per_s, load.traders.size_factor))

            asyncio.get_running_loop().call_later(for_s, stop.set)
            tide_of = follow(
                tide,
                running.exchange,
                load,
                rng=random.Random(1),
                start_unix_nano=MONDAY_UNIX_NANO,
                stop=stop,
            )
            await asyncio.gather(tide_of, look(), load.run(stop))
            await load.settle(5.0)
            slow = sum(
                run.end_unix_nano - run.start_unix_nano > 8_000_000
                for run in running.exchange.witness.runs("api-gateway", "kong.router")
            )
            assert not running.exchange.gateway.plugins
            assert load.traders.size_factor == 1.0
            return seen, slow, dict(load.factors)

    return asyncio.run(main())


def test_a_short_day_has_its_night_and_its_noon(open_exchange) -> None:
    """In a day of a second and a half the rate goes from a quiet night to a busy afternoon and back."""
    seen, _, left = followed(open_exchange, Tide(day_s=1.5), 1.4)
    rates = [rate for rate, _ in seen]
    assert min(rates) < 55
    assert max(rates) > 140
    assert rates.index(max(rates)) > rates.index(min(rates))
    assert left == {}


def test_the_baseline_drifts(open_exchange) -> None:
    """Orders grow and the gateway's look-up takes longer in the course of a day; both are gone behind it."""
    seen, slow, _ = followed(open_exchange, Tide(day_s=1.0, latency_ms=12.0, size_growth=0.5), 1.0)
    sizes = [size for _, size in seen if size > 1]
    assert sizes == sorted(sizes)
    assert 1.35 < sizes[-1] < 1.55
    assert slow >= 5


def test_bursts_come_and_go(open_exchange) -> None:
    """Now and then there are so many times as many orders, and in between as many as usual."""
    tide = Tide(burst_every_s=0.2, burst_for_s=0.2, burst_factor=3.0)
    seen, _, left = followed(open_exchange, tide, 1.2)
    assert {rate for rate, _ in seen} == {100.0, 300.0}
    assert left == {}
