"""What everybody may read: prices, depth, trades, candles. From the engine's memory, without the database."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Final

from fastapi import APIRouter, Query

from exchange_ref.engine.engine import Engine
from exchange_ref.engine.instruments import PAIRS, UNITS_PER_ASSET, Pair
from exchange_ref.engine.orders import OrderRejected, Side
from exchange_ref.engine.tape import MAX_TRADES, Candle, Trade
from exchange_ref.market.depth_feed import DepthFeed, Levels
from exchange_ref.market.prices import PriceFeed
from exchange_ref.services.api.models import DepthReply, KlineReply, MarketTrade, PriceReply, TickerReply
from exchange_ref.services.api.orders import moment

DAY_NS: Final = 86_400 * 10**9
MAX_LEVELS: Final = 1_000


class Interval(StrEnum):
    MINUTE = "1m"
    FIVE_MINUTES = "5m"
    QUARTER = "15m"
    HOUR = "1h"

    @property
    def minutes(self) -> int:
        return {"1m": 1, "5m": 5, "15m": 15, "1h": 60}[self]


PairName = Annotated[str, Query(alias="pair", description="BTC/USD, ETH/USD or SOL/USD.")]


class Market:
    """
    Args:
        is_current: whether `engine` executes the orders, and no other process.
    """

    def __init__(self, engine: Engine, prices: PriceFeed, is_current: Callable[[], bool]) -> None:
        self.engine = engine
        self._prices = prices
        self.feeds = {symbol: DepthFeed(book) for symbol, book in engine.books.items()}
        self.is_current = is_current

    def price(self, pair: Pair) -> PriceReply:
        return PriceReply(
            pair=pair.symbol,
            price=float(self.engine.tapes[pair.symbol].last_ticks * pair.tick),
            reference_price=self._prices.newest(pair.symbol).price,
            reference_age_s=self._prices.ages_s(time.time_ns())[pair.symbol],
        )

    def trades(self, pair: Pair, limit: int) -> list[MarketTrade]:
        """The newest first."""
        tape = self.engine.tapes[pair.symbol]
        return [trade_reply(pair, trade) for trade in list(tape.trades)[: -limit - 1 : -1]]

    def klines(self, pair: Pair, interval: Interval, limit: int) -> list[KlineReply]:
        """Oldest first."""
        candles = self.engine.tapes[pair.symbol].candles(interval.minutes)[-limit:]
        return [
            KlineReply(open_time=moment(candle.start_unix_nano), **_candle(pair, candle))
            for candle in candles
        ]

    def ticker(self, pair: Pair) -> TickerReply:
        engine, tape = self.engine, self.engine.tapes[pair.symbol]
        best = {side: engine.books[pair.symbol].best(side) for side in Side}
        bid, ask = (
            float(order.price_ticks * pair.tick) if order is not None else None
            for order in (best[Side.BUY], best[Side.SELL])
        )
        last = float(tape.last_ticks * pair.tick)
        ticker = TickerReply(pair=pair.symbol, last_price=last, best_bid=bid, best_ask=ask)
        candles = tape.candles(1, since_unix_nano=time.time_ns() - DAY_NS)
        if not candles:
            return ticker
        day = candles[0]
        for candle in candles[1:]:
            day = day.joined(candle)
        figures = _candle(pair, day)
        del figures["close"]
        change = round((last / figures["open"] - 1) * 100, 4)
        return ticker.model_copy(update={**figures, "change_percent": change})


def market_routes(market: Market) -> APIRouter:
    router = APIRouter(prefix="/api/v1")

    @router.get("/price")
    async def get_price(pair: PairName) -> PriceReply:
        return market.price(find_pair(pair))

    @router.get("/depth")
    async def get_depth(pair: PairName, limit: Annotated[int, Query(ge=1, le=MAX_LEVELS)] = 20) -> DepthReply:
        found = find_pair(pair)
        feed = market.feeds[found.symbol]
        feed.look()
        return DepthReply(
            pair=found.symbol,
            last_update_id=feed.last_update_id,
            is_current=market.is_current(),
            **depth_sides(found, feed.levels(), limit),
        )

    @router.get("/trades")
    async def get_trades(
        pair: PairName, limit: Annotated[int, Query(ge=1, le=MAX_TRADES)] = 50
    ) -> list[MarketTrade]:
        return market.trades(find_pair(pair), limit)

    @router.get("/klines")
    async def get_klines(
        pair: PairName,
        interval: Interval = Interval.MINUTE,
        limit: Annotated[int, Query(ge=1, le=1_500)] = 100,
    ) -> list[KlineReply]:
        return market.klines(find_pair(pair), interval, limit)

    @router.get("/ticker/24hr")
    async def get_ticker(pair: PairName) -> TickerReply:
        return market.ticker(find_pair(pair))

    return router


def depth_sides(pair: Pair, levels: Levels, limit: int) -> dict[str, list[tuple[float, float]]]:
    """Bids and asks as (price, quantity), best first."""
    best = {
        "bids": heapq.nlargest(limit, levels[Side.BUY].items()),
        "asks": heapq.nsmallest(limit, levels[Side.SELL].items()),
    }
    return {
        name: [(float(ticks * pair.tick), float(lots * pair.lot)) for ticks, lots in side]
        for name, side in best.items()
    }


def trade_reply(pair: Pair, trade: Trade) -> MarketTrade:
    return MarketTrade(
        id=trade.trade_id,
        price=float(trade.price_ticks * pair.tick),
        quantity=float(trade.lots * pair.lot),
        taker_side=str(trade.taker),
        time=moment(trade.unix_nano),
    )


def _candle(pair: Pair, candle: Candle) -> dict[str, float]:
    prices = {
        name: float(ticks * pair.tick)
        for name, ticks in zip(
            ("open", "high", "low", "close"),
            (candle.open, candle.high, candle.low, candle.close),
            strict=True,
        )
    }
    return {
        **prices,
        "volume": float(candle.volume * pair.lot),
        "turnover": pair.notional_units(1, candle.turnover) / UNITS_PER_ASSET,
        "trades": candle.trades,
    }


def find_pair(symbol: str) -> Pair:
    """
    Raises:
        OrderRejected: it is not traded.
    """
    if symbol not in PAIRS:
        raise OrderRejected(
            "invalid_request", f"pair {symbol!r} is not traded; choose one of {', '.join(PAIRS)}"
        )
    return PAIRS[symbol]
