"""The exchange's engine against an independent order book, trade by trade.

    uv run --with lightmatchingengine python tests/benchmarks/exchange_books.py [--orders 200000] [--seed 1]

Random limit and market orders and cancels go to both; makers, prices and quantities of every trade, and the
depth at the end, have to agree. Exit code 1 where they do not.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time

from lightmatchingengine.lightmatchingengine import LightMatchingEngine
from lightmatchingengine.lightmatchingengine import Side as TheirSide

from exchange_ref.engine.engine import Engine
from exchange_ref.engine.orders import Cancel, Deposit, Order, OrderType, Side

SYMBOL = "SOL/USD"
CANCEL_SHARE = 0.3
MARKET_SHARE = 0.1
# Cancels are for one of so many.
NEWEST = 50


def compare(orders: int, seed: int) -> dict[str, object]:
    rng = random.Random(seed)
    ours, theirs = Engine(), LightMatchingEngine()
    for user in ("ann", "bob"):
        for asset in ("SOL", "USD"):
            ours.deposit(Deposit(user, asset, 4 * 10**18))
    their_ids: dict[str, int] = {}
    our_ids: dict[int, str] = {}
    recent: list[str] = []
    fills = cancels = 0
    started_s = time.perf_counter()
    for number in range(orders):
        resting = ours.books[SYMBOL]
        if rng.random() < CANCEL_SHARE and recent:
            name = recent.pop(rng.randrange(len(recent)))
            their_id = their_ids[name]
            if name in resting:
                ours.cancel(Cancel(name, user_of(name), SYMBOL))
                assert theirs.cancel_order(their_id, SYMBOL) is not None
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
        order, trades = theirs.add_order(
            SYMBOL, price, lots, TheirSide.BUY if side is Side.BUY else TheirSide.SELL
        )
        our_ids[order.order_id] = name
        their_ids[name] = order.order_id
        recent = [*recent[-NEWEST:], name]
        made = [
            (our_ids[trade.order_id], int(trade.trade_price), int(trade.trade_qty))
            for trade in trades
            if trade.order_id != order.order_id
        ]
        mine = [(fill.maker_order_id, fill.price_ticks, fill.lots) for fill in result.fills]
        if mine != made:
            sys.exit(f"order {number} (seed {seed}): ours {mine}, theirs {made}")
        fills += len(mine)
    book = theirs.order_books[SYMBOL]
    for side, levels in ((Side.BUY, book.bids), (Side.SELL, book.asks)):
        depth = {int(price): sum(one.leaves_qty for one in level) for price, level in levels.items()}
        if depth != ours.books[SYMBOL].levels_of(side):
            sys.exit(f"the {side} side differs at the end (seed {seed})")
    took_s = round(time.perf_counter() - started_s, 1)
    return {"orders": orders, "seed": seed, "fills": fills, "cancels": cancels, "seconds": took_s}


def user_of(name: str) -> str:
    return "ann" if int(name) % 2 else "bob"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(json.dumps(compare(given.orders, given.seed)))
