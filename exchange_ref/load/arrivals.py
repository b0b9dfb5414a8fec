"""Open-loop load: orders, transfers and cancels arrive as a Poisson process, whatever their answers."""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exchange_ref.load.traders import Gamble, Traders
from exchange_ref.services.wallet import NewOrder, Outcome, Wallet

if TYPE_CHECKING:
    from exchange_ref.load.customers import Customers

# A whole exchange at a standstill must not fill the memory: beyond this an arrival is not sent, and counted.
MAX_IN_FLIGHT = 2_000
MAX_REMEMBERED_ORDERS = 5_000


# An order older than this has mostly been filled by now; cancels are for what may still rest.
MAX_REMEMBERED_RESTING = 200


@dataclass(slots=True)
class LoadCounters:
    """`sent` and `shed` count orders."""

    sent: int = 0
    shed: int = 0
    transfers: int = 0
    cancels: int = 0
    trades: int = 0


@dataclass(frozen=True, slots=True)
class Mix:
    """What arrives beside orders, as shares of all arrivals."""

    transfer_share: float = 0.0
    cancel_share: float = 0.0

    @property
    def order_share(self) -> float:
        return 1 - self.transfer_share - self.cancel_share


ORDERS_ONLY = Mix()


class Load:
    """
    Args:
        rate_per_s: mean orders a second; transfers and cancels come on top.

    `factors` multiply the rate, each under the name of what it comes from.
    """

    def __init__(
        self,
        wallet: Wallet,
        traders: Traders,
        rng: random.Random,
        rate_per_s: float,
        mix: Mix = ORDERS_ONLY,
    ) -> None:
        self._wallet = wallet
        self.traders = traders
        self._rng = rng
        self.rate_per_s = rate_per_s
        self.factors: dict[str, float] = {}
        self.mix = mix
        self.in_flight: set[asyncio.Task[Outcome]] = set()
        self._gambles: set[asyncio.Task[None]] = set()
        self.recent: deque[NewOrder] = deque(maxlen=MAX_REMEMBERED_ORDERS)
        self.answered: deque[tuple[NewOrder, Outcome]] = deque(maxlen=MAX_REMEMBERED_ORDERS)
        # (user, order id) of orders that rested when they were answered.
        self.resting: deque[tuple[str, str]] = deque(maxlen=MAX_REMEMBERED_RESTING)
        self.counters = LoadCounters()
        # People with accounts beside the traders, if there are some.
        self.customers: Customers | None = None

    @property
    def arrivals_per_s(self) -> float:
        """Mean arrivals a second of whatever kind, while nothing multiplies the rate."""
        return self.rate_per_s / self.mix.order_share

    @property
    def rate_now_per_s(self) -> float:
        """Mean orders a second at this moment."""
        return self.rate_per_s * math.prod(self.factors.values())

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop` is set. Late arrivals are sent at once, so the rate holds on average."""
        loop = asyncio.get_running_loop()
        next_at_s = loop.time()
        while not stop.is_set():
            next_at_s += self._rng.expovariate(self.rate_now_per_s / self.mix.order_share)
            await wait_for_event(stop, next_at_s - loop.time())
            if stop.is_set():
                return
            if len(self.in_flight) >= MAX_IN_FLIGHT:
                self.counters.shed += 1
                continue
            self.arrive()

    def arrive(self) -> None:
        """One arrival in the background: an order, or what else the mix and the traders want."""
        mix = self.mix
        kind = self._rng.random() if mix.order_share < 1 else 1.0
        if kind < mix.transfer_share:
            self.counters.transfers += 1
            self._follow(self._wallet.transfer(self.traders.next_transfer()))
        elif kind < mix.transfer_share + mix.cancel_share and self.resting:
            self.cancel(*self.resting.pop())
        elif burst := self.traders.next_burst():
            for gamble in burst:
                self.gamble(gamble)
        else:
            order = self.traders.next_order()
            self.recent.append(order)
            self.send(order)

    def send(self, order: NewOrder) -> asyncio.Task[Outcome]:
        """Submit one order in the background."""
        self.counters.sent += 1
        return self._follow(self._submit(order))

    async def _submit(self, order: NewOrder) -> Outcome:
        outcome = await self._wallet.submit(order)
        self.answered.append((order, outcome))
        if outcome.accepted and outcome.reply["status"] == "NEW":
            self.resting.append((order.user_id, outcome.reply["order_id"]))
        return outcome

    def cancel(self, user_id: str, order_id: str) -> asyncio.Task[Outcome]:
        """Ask for one resting order back in the background."""
        self.counters.cancels += 1
        return self._follow(self._wallet.cancel(user_id, order_id))

    def gamble(self, gamble: Gamble) -> asyncio.Task[None]:
        """Open a position and close it after a while, in the background. One that is open when the load ends
        stays open, as anybody's would who has gone."""
        task = asyncio.create_task(self._gamble(gamble))
        self._gambles.add(task)
        task.add_done_callback(self._gambles.discard)
        return task

    async def _gamble(self, gamble: Gamble) -> None:
        await asyncio.sleep(gamble.after_s)
        self.counters.trades += 1
        opened = await asyncio.shield(self._follow(self._wallet.open_trade(gamble.trade)))
        if opened.accepted:
            await asyncio.sleep(gamble.hold_s)
            await asyncio.shield(
                self._follow(self._wallet.close_trade(gamble.trade.user_id, opened.reply["trade_id"]))
            )

    def _follow(self, work: Coroutine[None, None, Outcome]) -> asyncio.Task[Outcome]:
        task = asyncio.create_task(work)
        self.in_flight.add(task)
        task.add_done_callback(self.in_flight.discard)
        return task

    async def settle(self, timeout_s: float) -> bool:
        """Wait for the orders that are in flight now; False when some are not done in time. Who holds a
        position lets go of it: holding is not being in flight."""
        for gamble in list(self._gambles):
            gamble.cancel()
        if not self.in_flight:
            return True
        _, pending = await asyncio.wait(list(self.in_flight), timeout=max(0.0, timeout_s))
        return not pending

    async def abandon(self) -> None:
        """Give up on what is still in flight."""
        abandoned = [*self.in_flight, *self._gambles]
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
