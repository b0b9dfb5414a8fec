from __future__ import annotations

import asyncio
import math
import random
import statistics
from collections import Counter
from dataclasses import replace

import pytest

from exchange_ref.engine.instruments import PAIRS
from exchange_ref.engine.orders import Side
from exchange_ref.load.population import (
    ARBITRAGEURS,
    GAMBLERS,
    INVENTORY_LIMIT_ORDERS,
    MAKER_SIZE,
    MAKERS,
    MIXED,
    PROFESSIONAL,
    RETAIL,
    WHALES,
    View,
    arbitrageur,
    burst,
    maker,
    whale,
)
from exchange_ref.load.traders import Traders
from tests.pace import until

BTC = PAIRS["BTC/USD"]
MEDIAN, MID = 0.02, 42_000.0


def view(*, outside: float = MID, traded: float = MID, gained: float = 0.0) -> View:
    return View(lambda _: outside, lambda _: traded, lambda *_: gained)


def test_makers_quote_a_grid_on_both_sides() -> None:
    """Without inventory, bids lie below and offers above the price on a few levels, about as many of each."""
    rng = random.Random(1)
    wishes = [maker(rng, view(), BTC, MEDIAN, MID) for _ in range(1_000)]
    levels = Counter((wish.side, round((wish.price / MID - 1) * 10_000)) for wish in wishes)
    assert sorted(levels) == [(Side.BUY, -4 * n) for n in (5, 4, 3, 2, 1)] + [
        (Side.SELL, 4 * n) for n in (1, 2, 3, 4, 5)
    ]
    assert 400 < sum(wish.side is Side.BUY for wish in wishes) < 600
    assert {wish.user_id for wish in wishes} == set(MAKERS)


@pytest.mark.parametrize(("sign", "side"), [(1, Side.SELL), (-1, Side.BUY)])
def test_makers_at_their_limit_quote_only_what_brings_them_back(sign: int, side: Side) -> None:
    """With too much they only sell, and lower; with too little only buy, and higher; in between they lean."""
    limit = INVENTORY_LIMIT_ORDERS * MAKER_SIZE * MEDIAN
    rng = random.Random(1)
    full = [maker(rng, view(gained=sign * limit * 2), BTC, MEDIAN, MID) for _ in range(200)]
    half = [maker(rng, view(gained=sign * limit / 2), BTC, MEDIAN, MID) for _ in range(1_000)]
    assert {wish.side for wish in full} == {side}
    assert 680 < sum(wish.side is side for wish in half) < 820
    centre = statistics.mean(wish.price for wish in full) / MID
    usual = 1.0012 if side is Side.SELL else 0.9988
    assert (centre - usual) * sign < -0.0002


def test_arbitrage_closes_a_gap_and_ignores_a_small_one() -> None:
    """It buys what is dearer outside up to that price, sells what is cheaper, and else wants nothing."""
    rng = random.Random(1)
    dearer = arbitrageur(rng, view(outside=MID * 1.001), BTC, MEDIAN)
    cheaper = arbitrageur(rng, view(outside=MID * 0.999), BTC, MEDIAN)
    assert dearer is not None
    assert cheaper is not None
    assert (dearer.side, cheaper.side) == (Side.BUY, Side.SELL)
    assert (dearer.price, cheaper.price) == (MID * 1.001, MID * 0.999)
    assert arbitrageur(rng, view(outside=MID * 1.0001), BTC, MEDIAN) is None


def test_whales_come_in_six_orders_of_magnitude() -> None:
    """Sizes are log-normal over a factor of a million, around far more than retail trades."""
    rng = random.Random(1)
    sizes = sorted(whale(rng, BTC, MEDIAN, MID).quantity for _ in range(20_000))
    logs = [math.log10(size) for size in sizes]
    assert 5.5 < statistics.quantiles(logs, n=1000)[-1] - statistics.quantiles(logs, n=1000)[0] < 7
    assert 10 < statistics.median(sizes) / MEDIAN < 40
    assert abs(statistics.mean(logs) - statistics.median(logs)) < 0.05


def test_gamblers_bet_in_bursts_with_leverage() -> None:
    """A burst is one gambler's, 2 to 6 bets within a second, held for seconds, some with levels; one seed
    gives it again."""
    bursts = [burst(rng) for rng in [random.Random(1)] for _ in range(500)]
    assert bursts == [burst(rng) for rng in [random.Random(1)] for _ in range(500)]
    assert {len(bets) for bets in bursts} == {2, 3, 4, 5, 6}
    assert all(len({bet.user_id for bet in bets}) == 1 for bets in bursts)
    bets = [bet for bets in bursts for bet in bets]
    assert {bet.user_id for bet in bets} == set(GAMBLERS)
    assert {bet.leverage for bet in bets} == {5, 10, 20, 50, 100}
    assert all(0 <= bet.after_s <= 1 for bet in bets)
    assert 4 < statistics.mean(bet.hold_s for bet in bets) < 6
    assert 0.3 < sum(bet.distance is not None for bet in bets) / len(bets) < 0.5


def test_only_a_population_with_gamblers_gambles() -> None:
    """Their share of the turns is theirs; retail never asks for a burst, and draws nothing for it."""
    mixed = Traders(random.Random(1), "r", MIXED, view())
    turns = [mixed.next_burst() for _ in range(10_000)]
    assert 0.006 < sum(map(bool, turns)) / 10_000 < 0.014
    ids = [gamble.trade.client_trade_id for gambles in turns for gamble in gambles]
    assert len(set(ids)) == len(ids)
    rng = random.Random(1)
    state = rng.getstate()
    assert Traders(rng, "r").next_burst() == []
    assert rng.getstate() == state


def test_gambles_are_opened_and_closed_at_the_exchange(open_exchange) -> None:
    """A mixed load opens positions that are all closed, or end by themselves, and the money adds up."""

    async def main():
        async with open_exchange() as running:
            exchange, load = running.exchange, running.load
            market = await exchange.admit(MIXED)
            load.traders = Traders(random.Random(1), "g", MIXED, market)
            gambles = []
            while len(gambles) < 20:
                gambles += [replace(one, hold_s=one.hold_s / 50) for one in load.traders.next_burst()]
            await asyncio.gather(*map(load.gamble, gambles))
            await until(lambda: not exchange.trades.open)
            ledger = exchange.engine.ledger
            held = sum(
                row.available_units + row.locked_units for row in ledger.all_balances() if row.asset == "USD"
            )
            ended = exchange.engine.ended_trades()
            return len(gambles), load.counters.trades, ended, held, ledger.deposited_units("USD")

    wanted, sent, ended, held, deposited = asyncio.run(main())
    assert sent == wanted
    assert len(ended) >= 0.9 * wanted
    assert held == deposited


def test_shares_are_kept_and_retail_alone_stays_as_it_was() -> None:
    """Each kind sends its share, a seed gives its orders again, and without specialists nothing differs."""

    def orders(population, seed, market):
        traders = Traders(random.Random(seed), "r", population, market)
        return [traders.next_order() for _ in range(20_000)]

    gap = view(outside=MID * 1.01)
    mixed = orders(MIXED, 1, gap)
    assert mixed == orders(MIXED, 1, gap) != orders(MIXED, 2, gap)
    users = Counter(order.user_id for order in mixed)
    assert 0.17 < sum(users[user] for user in MAKERS) / 20_000 < 0.23
    assert 0.045 < sum(users[user] for user in ARBITRAGEURS) / 20_000 < 0.075
    assert 0.002 < sum(users[user] for user in WHALES) / 20_000 < 0.007
    assert not set(Counter(order.user_id for order in orders(PROFESSIONAL, 1, gap))) & set(WHALES)
    assert orders(RETAIL, 1, None) == [
        order
        for traders in [Traders(random.Random(1), "r")]
        for order in (traders.next_order() for _ in range(20_000))
    ]


def test_all_of_them_trade_at_the_exchange(open_exchange) -> None:
    """Specialists are funded once, and their orders are taken like anybody's."""

    async def main():
        async with open_exchange() as running:
            exchange = running.exchange
            market = await exchange.admit(MIXED)
            traders = Traders(random.Random(5), "m", MIXED, market)
            orders = [traders.next_order() for _ in range(400)]
            for start in range(0, 400, 50):
                batch = [running.load.send(order) for order in orders[start : start + 50]]
                await asyncio.gather(*batch)
            deposited = exchange.engine.ledger.deposited_units("USD")
            await exchange.admit(MIXED)
            assert exchange.engine.ledger.deposited_units("USD") == deposited
            assert await exchange.admit(RETAIL) is None
            return list(running.load.answered)

    answered = asyncio.run(main())
    kinds = Counter(order.user_id.split("-")[0] for order, outcome in answered if outcome.accepted)
    assert sum(kinds.values()) >= 0.98 * len(answered)
    assert kinds["trader"] > kinds["maker"] > 40
