"""The answer of `GET /market` at the gateway: price and depth of every pair, and the load. Untraced."""

from __future__ import annotations

import time
from typing import Any, Final

from exchange_ref.engine.instruments import PAIRS, Pair
from exchange_ref.engine.orders import Side
from exchange_ref.exchange import Exchange
from exchange_ref.load.arrivals import Load
from exchange_ref.load.traders import USERS

DEPTH_LEVELS: Final = 12


def market_data(exchange: Exchange, load: Load) -> dict[str, Any]:
    """Pairs with their books, best levels first; traders who have funds; the load.

    `is_current` is False while the matcher runs in a process of its own (`process_kill`): the books are those
    from before.
    """
    ages_s = exchange.prices.ages_s(time.time_ns())
    return {
        "pairs": [_pair(exchange, pair, ages_s.get(pair.symbol)) for pair in PAIRS.values()],
        "is_current": exchange.matcher.is_here,
        "traders": list(USERS),
        "load": load_state(load),
    }


def load_state(load: Load) -> dict[str, Any]:
    """`rate_per_s` is the mean asked for, `rate_now_per_s` what faults and the time of day make of it."""
    counters = load.counters
    return {
        "rate_per_s": load.rate_per_s,
        "rate_now_per_s": round(load.rate_now_per_s, 3),
        "orders_sent": counters.sent,
        "orders_shed": counters.shed,
        "transfers": counters.transfers,
        "cancels": counters.cancels,
        "trades": counters.trades,
    }


def _pair(exchange: Exchange, pair: Pair, price_age_s: float | None) -> dict[str, Any]:
    book = exchange.engine.books[pair.symbol]
    sides = {
        name: [
            [float(ticks * pair.tick), float(lots * pair.lot)]
            for ticks, lots in book.depth(side, DEPTH_LEVELS)
        ]
        for name, side in (("bids", Side.BUY), ("asks", Side.SELL))
    }
    return {
        "symbol": pair.symbol,
        "base": pair.base,
        "quote": pair.quote,
        "tick": float(pair.tick),
        "lot": float(pair.lot),
        "last_price": exchange.service.last_price(pair.symbol),
        "reference_price": exchange.prices.newest(pair.symbol).price,
        "price_age_s": price_age_s,
        "resting_orders": len(book),
        **sides,
    }
