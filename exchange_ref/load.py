"""Open-loop load: orders arrive as a Poisson process, whatever the exchange does with them."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass

from exchange_ref.traders import Traders
from exchange_ref.wallet import NewOrder, Outcome, Wallet

# A whole exchange at a standstill must not fill the memory: beyond this an arrival is not sent, and counted.
MAX_IN_FLIGHT = 2_000
MAX_REMEMBERED_ORDERS = 5_000


@dataclass(slots=True)
class LoadCounters:
    sent: int = 0
    shed: int = 0


class Load:
    """
    Args:
        rate_per_s: mean arrivals a second.
    """

    def __init__(self, wallet: Wallet, traders: Traders, rng: random.Random, rate_per_s: float) -> None:
        self._wallet = wallet
        self.traders = traders
        self._rng = rng
        self._rate_per_s = rate_per_s
        self._in_flight: set[asyncio.Task[Outcome]] = set()
        self.recent: deque[NewOrder] = deque(maxlen=MAX_REMEMBERED_ORDERS)
        self.counters = LoadCounters()

    async def run(self, stop: asyncio.Event) -> None:
        """Send orders until `stop` is set. Late arrivals are sent at once, so the rate holds on average."""
        loop = asyncio.get_running_loop()
        next_at_s = loop.time()
        while not stop.is_set():
            next_at_s += self._rng.expovariate(self._rate_per_s)
            await wait_for_event(stop, next_at_s - loop.time())
            if stop.is_set():
                return
            if len(self._in_flight) >= MAX_IN_FLIGHT:
                self.counters.shed += 1
                continue
            order = self.traders.next_order()
            self.recent.append(order)
            self.send(order)

    def send(self, order: NewOrder) -> asyncio.Task[Outcome]:
        """Submit one order in the background."""
        self.counters.sent += 1
        task = asyncio.create_task(self._wallet.submit(order))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)
        return task

    async def settle(self, timeout_s: float) -> bool:
        """Wait for the orders that are in flight now; False when some are not done in time."""
        if not self._in_flight:
            return True
        _, pending = await asyncio.wait(list(self._in_flight), timeout=max(0.0, timeout_s))
        return not pending

    async def abandon(self) -> None:
        """Give up on what is still in flight."""
        abandoned = list(self._in_flight)
        for task in abandoned:
            task.cancel()
        await asyncio.gather(*abandoned, return_exceptions=True)


async def wait_for_event(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait for `event` or the time; True when the event is set. Yields to other tasks in any case."""
    if timeout_s <= 0:
        await asyncio.sleep(0)
        return event.is_set()
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
    return event.is_set()
