"""Faults of the price feed: quotes that come late, and quotes that come in time and are old."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

from pydantic import Field

from exchange_ref.faults.impact import Impact, Sample, Window, compare, durations_ms
from exchange_ref.faults.lasting import LastingFault, LastingParams, Scene, attribute
from exchange_ref.market.prices import FRESH_FOR_S, MAX_WAIT_S, PUSH_EVERY_S
from exchange_ref.telemetry.tracing import EXCHANGE

PLACE_ORDER = "POST /api/v1/orders"
# Far beyond the 50 ms between two pushes, and reached soon.
STALE_MS = 300.0


class SlowPriceFeedParams(LastingParams):
    every_ms: float = Field(400, ge=120, le=MAX_WAIT_S * 1000)


class SlowPriceFeed(LastingFault[SlowPriceFeedParams]):
    """The source pushes far too seldom. A market order needs a fresh price and waits for the next one; limit
    orders do not."""

    kind = "slow_price_feed"
    params_model: ClassVar[type[LastingParams]] = SlowPriceFeedParams
    root_service = EXCHANGE
    symptom = "latency"

    @property
    def root_operation(self) -> str | None:
        return PLACE_ORDER

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        every_s = self.params.every_ms / 1000
        slower = attribute(
            scene.exchange.price_source, "every_s", lambda: max(PUSH_EVERY_S, scene.around(every_s))
        )
        with slower:
            yield

    def measure(self, scene: Scene, window: Window) -> Impact:
        samples = durations_ms(scene.exchange.witness, EXCHANGE, PLACE_ORDER)
        # Who comes 100 ms after a push waits for the rest of the interval.
        longest_ms = self.params.every_ms - FRESH_FOR_S * 1000
        return compare(samples, window, longest_ms / 4)


class StalePriceParams(LastingParams):
    """`ramp_s` has no meaning here: the age of a price grows by itself."""


class StalePrice(LastingFault[StalePriceParams]):
    """The source has lost the market and pushes its last quotes again and again: nothing is slow, and orders
    are priced by what is older with each second."""

    kind = "stale_price"
    params_model: ClassVar[type[LastingParams]] = StalePriceParams
    root_service = EXCHANGE
    symptom = "staleness"

    @property
    def root_operation(self) -> str | None:
        return PLACE_ORDER

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        source = scene.exchange.price_source
        source.halted = True
        try:
            yield
        finally:
            source.halted = False

    def measure(self, scene: Scene, window: Window) -> Impact:
        return compare((Sample(*priced) for priced in scene.exchange.service.priced), window, STALE_MS)
