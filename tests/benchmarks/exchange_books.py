"""The exchange's engine against an independent order book, trade by trade.

    uv run --with lightmatchingengine python tests/benchmarks/exchange_books.py [--orders 200000] [--seed 1]
    uv run --with order-matching --with 'pandera[polars]' python tests/benchmarks/exchange_books.py \\
        --book order-matching --orders 20000

Random limit and market orders and cancels go to both; makers, prices and quantities of every trade, and the
depth at the end, have to agree. Exit code 1 where they do not. The second book takes the longer the more
orders rest.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from exchange_ref.engine.engine import Engine
from exchange_ref.engine.orders import Cancel, Deposit, Order, OrderType, Side

SYMBOL = "SOL/USD"
CANCEL_SHARE = 0.3
MARKET_SHARE = 0.1
# Cancels are for one of so many.
NEWEST = 50
Match = tuple[str, int, int]


class Theirs(Protocol):
    def add(self, name: str, side: Side, price: int, lots: int) -> list[Match]:
        """Makers, prices and lots of its matches; a price of 0 is a market order."""

    def cancel(self, name: str) -> None: ...

    def depth(self, side: Side) -> dict[int, int]:
        """Lots by price."""


class Light:
    """lightmatchingengine 2019.1.4."""

    def __init__(self) -> None:
        from lightmatchingengine import lightmatchingengine as theirs

        self._engine, self._sides = theirs.LightMatchingEngine(), theirs.Side
        self._ids: dict[str, Any] = {}
        self._names: dict[Any, str] = {}

    def add(self, name: str, side: Side, price: int, lots: int) -> list[Match]:
        order, trades = self._engine.add_order(SYMBOL, price, lots, getattr(self._sides, side))
        self._ids[name], self._names[order.order_id] = order.order_id, name
        return [
            (self._names[trade.order_id], int(trade.trade_price), int(trade.trade_qty))
            for trade in trades
            if trade.order_id != order.order_id
        ]

    def cancel(self, name: str) -> None:
        assert self._engine.cancel_order(self._ids[name], SYMBOL) is not None

    def depth(self, side: Side) -> dict[int, int]:
        book = self._engine.order_books[SYMBOL]
        levels = book.bids if side is Side.BUY else book.asks
        return {int(price): sum(one.leaves_qty for one in level) for price, level in levels.items()}


class OrderMatching:
    """order-matching 0.12.0, one order at a time. Each has an end of its own, since it looks through all that
    share one."""

    def __init__(self) -> None:
        from loguru import logger
        from order_matching import enums, matching_engine, order, orders

        logger.disable("order_matching")  # a line or two for each order
        self._engine, self._sides = matching_engine.MatchingEngine(seed=1), enums.Side
        self._limit, self._market, self._orders = order.LimitOrder, order.MarketOrder, orders.Orders
        self._now, self._end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)

    def add(self, name: str, side: Side, price: int, lots: int) -> list[Match]:
        self._now += timedelta(milliseconds=1)
        self._end += timedelta(seconds=1)
        common = {
            "side": getattr(self._sides, side),
            "size": lots,
            "timestamp": self._now,
            "order_id": name,
            "trader_id": "one",
            "expiration": self._end,
        }
        order = self._limit(price=price, **common) if price else self._market(**common)
        self._engine.place(self._orders([order]))
        trades = self._engine.match(timestamp=self._now).trades
        return [(trade.book_order_id, int(trade.price), int(trade.size)) for trade in trades]

    def cancel(self, name: str) -> None:
        self._engine.cancel_order(name)

    def depth(self, side: Side) -> dict[int, int]:
        book = self._engine.unprocessed_orders
        levels = book.bids if side is Side.BUY else book.offers
        return {int(price): int(sum(one.size for one in level)) for price, level in levels.items()}


BOOKS: Final[dict[str, type[Theirs]]] = {"lightmatchingengine": Light, "order-matching": OrderMatching}


def compare(theirs: Theirs, orders: int, seed: int) -> dict[str, object]:
    rng = random.Random(seed)
    ours = Engine()
    for user in ("ann", "bob"):
        for asset in ("SOL", "USD"):
            ours.deposit(Deposit(user, asset, 4 * 10**18))
    recent: list[str] = []
    fills = cancels = 0
    started_s = time.process_time()
    for number in range(orders):
        resting = ours.books[SYMBOL]
        if rng.random() < CANCEL_SHARE and recent:
            name = recent.pop(rng.randrange(len(recent)))
            if name in resting:
                ours.cancel(Cancel(name, user_of(name), SYMBOL))
                theirs.cancel(name)
                cancels += 1
            continue
        side, lots = rng.choice((Side.BUY, Side.SELL)), rng.randint(1, 50)
        is_market = rng.random() < MARKET_SHARE and resting.best(side.opposite) is not None
        price = 0 if is_market else 9_500 + rng.randint(-20, 20)
        if is_market:  # theirs rests what a market order cannot get
            lots = min(lots, sum(count for _, count in resting.depth(side.opposite, 3)))
        name = str(number)
        kind = OrderType.MARKET if is_market else OrderType.LIMIT
        result = ours.submit(Order(name, user_of(name), name, SYMBOL, side, kind, price, lots, number))
        recent = [*recent[-NEWEST:], name]
        made = theirs.add(name, side, price, lots)
        mine = [(fill.maker_order_id, fill.price_ticks, fill.lots) for fill in result.fills]
        if mine != made:
            sys.exit(f"order {number} (seed {seed}): ours {mine}, theirs {made}")
        fills += len(mine)
    for side in Side:
        if theirs.depth(side) != ours.books[SYMBOL].levels_of(side):
            sys.exit(f"the {side} side differs at the end (seed {seed})")
    took_s = round(time.process_time() - started_s, 1)
    return {"orders": orders, "seed": seed, "fills": fills, "cancels": cancels, "cpu_s": took_s}


def user_of(name: str) -> str:
    return "ann" if int(name) % 2 else "bob"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--book", choices=BOOKS, default="lightmatchingengine")
    parser.add_argument("--orders", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(json.dumps(compare(BOOKS[given.book](), given.orders, given.seed)))
