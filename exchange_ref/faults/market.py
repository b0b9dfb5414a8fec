"""Faults of the market itself: a price that runs away, makers who step back. Latency stays as it is."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import ClassVar, Literal

from pydantic import Field

from exchange_ref.engine.orders import Side
from exchange_ref.faults.impact import Impact, Window
from exchange_ref.faults.lasting import LastingFault, LastingParams, Scene, item
from exchange_ref.faults.tasks import cancelled_at_end
from exchange_ref.telemetry.tracing import WALLET

LOOK_EVERY_S = 0.05
# So many cancel at the same time.
MAKERS = 8


class MarketParams(LastingParams):
    pair: Literal["BTC/USD", "ETH/USD", "SOL/USD"] = "BTC/USD"


class PriceSpikeParams(MarketParams):
    percent: float = Field(8, gt=0, le=1_000)
    ramp_s: float = Field(1, ge=0, le=3_600)


class PriceSpike(LastingFault[PriceSpikeParams]):
    """Everybody suddenly values one pair higher; at the end the price falls back."""

    kind = "price_spike"
    params_model: ClassVar[type[LastingParams]] = PriceSpikeParams
    root_service = WALLET
    symptom = "price"

    @property
    def root_operation(self) -> str | None:
        return "order.submit.client"

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        symbol, traders, service = self.params.pair, scene.target.load.traders, scene.exchange.service
        scene.notes["price_before"] = service.last_price(symbol)
        moved = 1.0

        async def rise() -> None:
            nonlocal moved
            while True:
                now = 1 + self.params.percent / 100 * scene.level()
                traders.move(symbol, now / moved)
                moved = now
                await pull_quotes(scene, symbol, lambda side, price: side is Side.SELL and price < 1)
                await asyncio.sleep(LOOK_EVERY_S)

        try:
            async with cancelled_at_end(rise()):
                yield
        finally:
            scene.notes["price_during"] = service.last_price(symbol)
            traders.move(symbol, 1 / moved)
            await pull_quotes(scene, symbol, lambda side, price: side is Side.BUY and price > 1)

    def measure(self, scene: Scene, window: Window) -> Impact:
        before, during = scene.notes["price_before"], scene.notes["price_during"]
        percent = (during / before - 1) * 100
        figures: dict[str, object] = {**scene.notes, "percent": round(percent, 3)}
        return Impact(percent >= self.params.percent / 2, _traces(scene, self.params.pair, window), figures)


class SpreadBlowoutParams(MarketParams):
    """`percent`: how far the makers step back from the price on each side."""

    percent: float = Field(1, gt=0, le=50)


class SpreadBlowout(LastingFault[SpreadBlowoutParams]):
    """Makers take their orders back and quote far away from the price."""

    kind = "spread_blowout"
    params_model: ClassVar[type[LastingParams]] = SpreadBlowoutParams
    root_service = WALLET
    symptom = "spread"

    @property
    def root_operation(self) -> str | None:
        return "order.submit.client"

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        symbol, load = self.params.pair, scene.target.load
        distance = self.params.percent / 100
        looks: list[float] = []
        scene.notes["spread_before_percent"] = spread_percent(scene, symbol) or 0.0

        async def look() -> None:
            while True:
                await asyncio.sleep(LOOK_EVERY_S)
                if (seen := spread_percent(scene, symbol)) is not None:
                    looks.append(seen)

        with item(load.traders.min_distance, symbol, distance):
            await pull_quotes(scene, symbol, lambda _, price: abs(price - 1) < distance)
            async with cancelled_at_end(look()):
                yield
        scene.notes["spread_during_percent"] = statistics.median(looks) if looks else 0.0

    def measure(self, scene: Scene, window: Window) -> Impact:
        before, during = scene.notes["spread_before_percent"], scene.notes["spread_during_percent"]
        verified = during >= self.params.percent and during > 2 * before
        return Impact(verified, _traces(scene, self.params.pair, window), {**scene.notes})


async def pull_quotes(scene: Scene, symbol: str, unwanted: Callable[[Side, float], bool]) -> None:
    """Take resting orders back, some at a time as some makers would.

    Args:
        unwanted: of side and price, the latter as a multiple of what the pair is worth now.
    """
    load = scene.target.load
    worth_ticks = scene.ticks(symbol, load.traders.mid(symbol))
    pulled = [
        order
        for order in scene.exchange.engine.books[symbol].resting_orders()
        if unwanted(order.side, order.price_ticks / worth_ticks)
    ]
    for start in range(0, len(pulled), MAKERS):
        some = pulled[start : start + MAKERS]
        await asyncio.gather(*(load.cancel(order.user_id, order.order_id) for order in some))


def spread_percent(scene: Scene, symbol: str) -> float | None:
    """Between the best bid and the best offer, of their middle; None while a side is empty."""
    book = scene.exchange.engine.books[symbol]
    bid, offer = book.best(Side.BUY), book.best(Side.SELL)
    if bid is None or offer is None:
        return None
    return 200 * (offer.price_ticks - bid.price_ticks) / (offer.price_ticks + bid.price_ticks)


def _traces(scene: Scene, symbol: str, window: Window) -> list[str]:
    """The orders of the pair that were sent while it lasted."""
    return [
        outcome.trace_id
        for order, outcome in scene.target.load.answered
        if order.symbol == symbol
        and window.start_unix_nano <= outcome.start_unix_nano <= window.end_unix_nano
    ]
