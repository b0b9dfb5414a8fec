"""The way from the services to their broker. Usually messages just pass; it can hold, lose or repeat them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from exchange_ref.broker.message import PUBLISH_TIMEOUT_S, Broker, BrokerLost, Message

logger = logging.getLogger(__name__)

# Two messages that are due at the same time would change their order in the event loop's heap.
MIN_STEP_S = 1e-5


class BrokerServer(Protocol):
    """Whoever can stop the broker that messages go through, and start it again."""

    async def stop(self) -> None: ...

    async def start(self) -> None: ...


class Link:
    """A broker in front of another one, and the server that it leads to: `stop` and `start` cut and mend it.

    While it is cut, publishing waits, consumers get nothing, and what was published stays where it is.

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
        self._up = asyncio.Event()
        self._up.set()

    @property
    def system(self) -> str:
        return self._broker.system

    async def connect(self) -> None:
        await self._broker.start()

    async def stop(self) -> None:
        self._up.clear()

    async def start(self) -> None:
        self._up.set()

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
            await self._publish(queue, message)
            return
        self._due_s[queue] = due_s
        task = asyncio.create_task(self._later(due_s - now_s, queue, message))
        self._held.add(task)
        task.add_done_callback(self._held.discard)

    async def _later(self, delay_s: float, queue: str, message: Message) -> None:
        await asyncio.sleep(delay_s)
        try:
            await self._publish(queue, message)
        except BrokerLost:  # the broker confirmed it to its sender long ago, who will time out
            logger.debug("a held message for %s was lost with the broker", queue)

    async def _publish(self, queue: str, message: Message) -> None:
        if not self._up.is_set():
            try:
                async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                    await self._up.wait()
            except TimeoutError:
                raise BrokerLost(f"the broker took no message within {PUBLISH_TIMEOUT_S:g} s") from None
        await self._broker.publish(queue, message)

    async def bury(self, queue: str, message: Message) -> None:
        await self._broker.bury(queue, message)

    async def consume(self, queue: str) -> AsyncIterator[Message]:
        async for message in self._broker.consume(queue):
            await self._up.wait()
            yield message

    def depths(self) -> dict[str, int]:
        return self._broker.depths()

    async def close(self) -> None:
        for task in list(self._held):
            task.cancel()
        self._up.set()
        await self._broker.close()
