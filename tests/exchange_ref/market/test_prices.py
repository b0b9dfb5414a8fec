from __future__ import annotations

import asyncio
import random
import statistics
import time

from exchange_ref.engine.instruments import PAIRS
from exchange_ref.engine.orders import OrderType
from exchange_ref.market.prices import (
    FRESH_FOR_S,
    MAX_WAIT_S,
    PUSH_EVERY_S,
    PriceFeed,
    PriceSource,
    RandomWalk,
)
from tests.pace import check, until


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

    async def main() -> None:
        source = PriceSource(RandomWalk(random.Random(1)), time.time_ns)
        feed = PriceFeed(source)
        await source.start()
        await feed.start()

        def age_s() -> float:
            ages = feed.ages_s(time.time_ns())
            assert set(ages) == set(PAIRS)
            return max(ages.values())

        ages = []
        for _ in range(11):
            await asyncio.sleep(0.02)
            ages.append(age_s())
        check(statistics.median(ages), 0.15)

        source.every_s = lambda: 0.9
        took_s = []
        for _ in range(3):  # a machine that stalls makes one of them longer
            await until(lambda: age_s() > 0.4)
            old = feed.newest("BTC/USD")
            began = time.monotonic()
            new = await feed.fresh("BTC/USD")
            took_s.append(time.monotonic() - began)
            assert new.at_unix_nano > old.at_unix_nano
        check(min(took_s), 0.9)

        source.every_s, source.halted = (lambda: 0.05), True
        await until(lambda: age_s() > 1.0)  # it has pushed an old one since
        took_s = []
        for _ in range(3):
            began = time.monotonic()
            stale = await feed.fresh("BTC/USD")
            took_s.append(time.monotonic() - began)
            assert time.time_ns() - stale.at_unix_nano > 1e9
        check(min(took_s), 0.2)

        source.halted = False
        pushing = list(source.pushing)
        for task in pushing:
            task.cancel()
        await asyncio.gather(*pushing, return_exceptions=True)
        gone_ns = time.time_ns()
        await until(lambda: feed.newest("BTC/USD").at_unix_nano > gone_ns)
        await feed.stop()
        await source.stop()

    asyncio.run(main())


def test_only_market_orders_wait_for_a_price(open_exchange) -> None:
    """With a source that pushes no more, limit orders are as fast as always and market orders wait."""

    async def main() -> list[dict[OrderType, list[float]]]:
        async with open_exchange() as running:
            exchange = running.exchange
            asked: list[float] = []
            exchange.price_source.every_s = lambda: asked.append(3600.0) or asked[-1]
            age_s = exchange.prices.ages_s
            # One push may have been due: on a busy machine prices look old before it comes.
            await until(lambda: asked and min(age_s(time.time_ns()).values()) > 2 * FRESH_FOR_S)
            tried = []
            for _ in range(3):  # a machine that stalls makes one of them longer
                took: dict[OrderType, list[float]] = {kind: [] for kind in OrderType}

                async def timed(order, took=took) -> None:
                    began = time.monotonic()
                    assert (await exchange.wallet.submit(order)).accepted
                    took[order.type].append(time.monotonic() - began)

                await asyncio.gather(*(timed(running.load.traders.next_order()) for _ in range(20)))
                tried.append(took)
            return tried

    tried = asyncio.run(main())
    check(min(max(took[OrderType.LIMIT]) for took in tried), 0.25)
    assert min(min(took[OrderType.MARKET]) for took in tried) > 0.9 * MAX_WAIT_S
