"""Reference prices of the outside market: a simulated source that pushes them, and the feed that reads it.

The source is a TCP server of JSON lines, `{symbol: [price, unix_nano], …}`, all pairs in each.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from opentelemetry.trace import Span

from exchange_ref.engine.instruments import PAIRS

logger = logging.getLogger(__name__)

# Twice as often as a price may be old.
PUSH_EVERY_S: Final = 0.05
FRESH_FOR_S: Final = 0.1
# A market order does not wait longer for a fresh price, and then takes what is there.
MAX_WAIT_S: Final = 1.0
RECONNECT_S: Final = 0.2
# Each push moves a price by a fifth of a basis point, which is 1% in 3.5 hours; once in ten minutes it jumps.
STEP_SIGMA: Final = 0.00002
JUMPS_PER_PUSH: Final = PUSH_EVERY_S / 600
JUMP_SIGMA: Final = 0.002


@dataclass(frozen=True, slots=True)
class Quote:
    """
    Args:
        price: in quote per base.
        at_unix_nano: when it was a price in the outside market.
    """

    price: float
    at_unix_nano: int


def note_price(span: Span, quote: Quote, now_ns: int) -> float:
    """Put the price that a request is valued by on its span; returns the price's age in ms."""
    age_ms = (now_ns - quote.at_unix_nano) / 1e6
    span.set_attributes({"market.price": quote.price, "market.price_age_ms": age_ms})
    return age_ms


class RandomWalk:
    """Prices of all pairs: small steps and rare jumps, both log-normal."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.prices = {symbol: float(pair.opening_price) for symbol, pair in PAIRS.items()}

    def step(self) -> Mapping[str, float]:
        rng = self._rng
        for symbol, price in self.prices.items():
            jump = rng.gauss(0, JUMP_SIGMA) if rng.random() < JUMPS_PER_PUSH else 0.0
            self.prices[symbol] = price * math.exp(rng.gauss(0, STEP_SIGMA) + jump)
        return self.prices


class PriceSource:
    """The other end: pushes prices to whoever is connected.

    `every_s` says how long until the next push; while `halted`, the same old quotes are pushed again, as by a
    source that has lost the market itself.
    """

    def __init__(self, walk: RandomWalk, now_ns: Callable[[], int]) -> None:
        self.walk = walk
        self._now_ns = now_ns
        self._quotes: dict[str, tuple[float, int]] = {}
        self._server: asyncio.Server | None = None
        self.pushing: set[asyncio.Task[None]] = set()
        self.every_s: Callable[[], float] = lambda: PUSH_EVERY_S
        self.halted = False

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self.pushing):
            task.cancel()
        await asyncio.gather(*self.pushing, return_exceptions=True)

    async def _serve(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.pushing.add(task)
        try:
            while True:
                if not self.halted or not self._quotes:
                    now_ns = self._now_ns()
                    self._quotes = {symbol: (price, now_ns) for symbol, price in self.walk.step().items()}
                writer.write(json.dumps(self._quotes).encode() + b"\n")
                await writer.drain()
                await asyncio.sleep(self.every_s())
        except (OSError, asyncio.CancelledError):  # the reader has gone, or this server goes
            logger.debug("a reader of prices is served no more")
        finally:
            self.pushing.discard(task)
            writer.close()


class PriceFeed:
    """The newest quote of each pair, as they arrive. Connects again when the source is gone."""

    def __init__(self, source: PriceSource) -> None:
        self._source = source
        self._quotes: dict[str, Quote] = {}
        self._arrived_s = -math.inf
        self._arrival = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns with the first prices."""
        self._task = asyncio.create_task(self._read(), name="prices")
        await self._arrival.wait()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def newest(self, symbol: str) -> Quote:
        """What there is, however old."""
        return self._quotes[symbol]

    async def fresh(self, symbol: str) -> Quote:
        """What arrived in the last 100 ms, or else what arrives next; after a second, what there is."""
        if asyncio.get_running_loop().time() - self._arrived_s > FRESH_FOR_S:
            with suppress(TimeoutError):
                async with asyncio.timeout(MAX_WAIT_S):
                    await self._arrival.wait()
        return self._quotes[symbol]

    def ages_s(self, now_ns: int) -> dict[str, float]:
        """By pair: how long ago its newest quote was a price."""
        return {symbol: (now_ns - quote.at_unix_nano) / 1e9 for symbol, quote in self._quotes.items()}

    async def _read(self) -> None:
        while True:
            writer: asyncio.StreamWriter | None = None
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._source.port)
                while line := await reader.readline():
                    self._take(json.loads(line))
            except (OSError, ValueError) as error:
                logger.debug("prices: %r", error)
            finally:
                if writer is not None:
                    writer.close()
            await asyncio.sleep(RECONNECT_S)

    def _take(self, quotes: dict[str, tuple[float, int]]) -> None:
        self._quotes = {symbol: Quote(price, at) for symbol, (price, at) in quotes.items()}
        self._arrived_s = asyncio.get_running_loop().time()
        # Who waits now is woken; who comes later waits for the next one.
        self._arrival.set()
        self._arrival = asyncio.Event()
