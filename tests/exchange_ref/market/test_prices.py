from __future__ import annotations

import asyncio
import random
import time

from exchange_ref.engine.instruments import PAIRS
from exchange_ref.engine.orders import OrderType
from exchange_ref.market.prices import PUSH_EVERY_S, PriceFeed, PriceSource, RandomWalk


def test_one_seed_one_walk() -> None:
    """A seed gives its prices again, another one gives others, and in an hour they stay near it."""
    hour = int(3600 / PUSH_EVERY_S)
    first, same, other = (RandomWalk(random.Random(seed)) for seed in (1, 1, 2))
    for _ in range(hour):
        first.step(), same.step(), other.step()
    assert first.prices == same.prices != other.prices
    for symbol, price in first.prices.items():
        assert 0.9 < price / float(PAIRS[symbol].opening_price) < 1.1


def test_prices_jump_now_and_then() -> None:
    """In an hour most steps are within a basis point and a few are far beyond it."""
    walk, steps = RandomWalk(random.Random(3)), []
    last = walk.prices["BTC/USD"]
    for _ in range(int(3600 / PUSH_EVERY_S)):
        price = walk.step()["BTC/USD"]
        steps.append(abs(price / last - 1))
        last = price
    jumps = sum(step > 0.0003 for step in steps)
    assert 1 <= jumps <= 20
    assert sorted(steps)[int(len(steps) * 0.99)] < 0.0001


def test_prices_are_fresh_and_a_waiting_reader_gets_the_next_one() -> None:
    """Usually a quote is younger than 100 ms; when pushes are rare, `fresh` waits for one and `newest` does
    not; a halted source pushes old quotes in time; and a source that went away is connected to again."""

    async def main():
        source = PriceSource(RandomWalk(random.Random(1)), time.time_ns)
        feed = PriceFeed(source)
        await source.start()
        await feed.start()
        await asyncio.sleep(0.2)
        ages = feed.ages_s(time.time_ns())
        assert set(ages) == set(PAIRS)
        source.every_s = lambda: 0.4
        await asyncio.sleep(0.25)
        old = feed.newest("BTC/USD")
        began = time.monotonic()
        new = await feed.fresh("BTC/USD")
        waited_s = time.monotonic() - began
        source.every_s, source.halted = (lambda: 0.05), True
        await asyncio.sleep(0.6)
        began = time.monotonic()
        stale = await feed.fresh("BTC/USD")
        stale_age_s = (time.time_ns() - stale.at_unix_nano) / 1e9
        stale_waited_s = time.monotonic() - began
        source.halted = False
        for task in list(source._pushing):
            task.cancel()
        await asyncio.sleep(0.5)
        again_s = feed.ages_s(time.time_ns())["BTC/USD"]
        await feed.stop()
        await source.stop()
        return max(ages.values()), old, new, waited_s, stale_age_s, stale_waited_s, again_s

    age_s, old, new, waited_s, stale_age_s, stale_waited_s, again_s = asyncio.run(main())
    assert age_s < 0.15
    assert new.at_unix_nano > old.at_unix_nano
    assert 0.02 < waited_s < 0.6
    assert stale_age_s > 0.3
    assert stale_waited_s < 0.2
    assert again_s < 0.2


def test_only_market_orders_wait_for_a_price(open_exchange) -> None:
    """With a source that pushes every second, limit orders are as fast as always and market orders wait."""

    async def main() -> dict[OrderType, list[float]]:
        async with open_exchange() as running:
            running.exchange.price_source.every_s = lambda: 0.9
            await asyncio.sleep(0.3)
            took: dict[OrderType, list[float]] = {kind: [] for kind in OrderType}

            async def timed(order) -> None:
                began = time.monotonic()
                assert (await running.exchange.wallet.submit(order)).accepted
                took[order.type].append(time.monotonic() - began)

            await asyncio.gather(*(timed(running.load.traders.next_order()) for _ in range(20)))
            return took

    took = asyncio.run(main())
    assert max(took[OrderType.LIMIT]) < 0.25 < min(took[OrderType.MARKET])
