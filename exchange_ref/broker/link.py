"""The way from the services to their broker. Usually messages just pass; it can hold, lose or repeat them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from exchange_ref.broker.message import Broker, Message

# Two messages that are due at the same time would change their order in the event loop's heap.
MIN_STEP_S = 1e-5


class Link:
    """A broker in front of another one.

    `hold_s`, `lose` and `repeat` say by queue how long a message is on its way, whether it never arrives and
    whether it arrives twice. Held messages keep their order.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._due_s: dict[str, float] = {}
        self._held: set[asyncio.Task[None]] = set()
        self.hold_s: dict[str, Callable[[], float]] = {}
        self.lose: dict[str, Callable[[], bool]] = {}
        self.repeat: dict[str, Callable[[], bool]] = {}

    @property
    def system(self) -> str:
        return self._broker.system

    async def start(self) -> None:
        await self._broker.start()

    async def publish(self, queue: str, message: Message) -> None:
        if queue in self.lose and self.lose[queue]():
            return
        times = 2 if queue in self.repeat and self.repeat[queue]() else 1
        for _ in range(times):
            await self._pass_on(queue, message)

    async def _pass_on(self, queue: str, message: Message) -> None:
        now_s = asyncio.get_running_loop().time()
        hold = self.hold_s.get(queue)
        earliest_s = self._due_s.get(queue, 0.0) + MIN_STEP_S
        due_s = max(now_s + (hold() if hold is not None else 0.0), earliest_s)
        if hold is None and earliest_s <= now_s:
            await self._broker.publish(queue, message)
            return
        self._due_s[queue] = due_s
        task = asyncio.create_task(self._later(due_s - now_s, queue, message))
        self._held.add(task)
        task.add_done_callback(self._held.discard)

    async def _later(self, delay_s: float, queue: str, message: Message) -> None:
        await asyncio.sleep(delay_s)
        await self._broker.publish(queue, message)

    async def bury(self, queue: str, message: Message) -> None:
        await self._broker.bury(queue, message)

    def consume(self, queue: str) -> AsyncIterator[Message]:
        return self._broker.consume(queue)

    def depths(self) -> dict[str, int]:
        return self._broker.depths()

    async def close(self) -> None:
        for task in list(self._held):
            task.cancel()
        await self._broker.close()
