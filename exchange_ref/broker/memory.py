"""The default broker: queues in this process's memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from exchange_ref.broker.message import Message

# What could not be handled is kept for people to look at, the newest only.
MAX_DEAD_MESSAGES = 1_000


class MemoryBroker:
    """A queue of `max_queued` messages for each name; `publish` waits while one is full."""

    system = "memory"

    def __init__(self, *, max_queued: int = 10_000) -> None:
        self._max_queued = max_queued
        self.dead: deque[tuple[str, Message]] = deque(maxlen=MAX_DEAD_MESSAGES)
        self._queues: dict[str, asyncio.Queue[Message | None]] = {}

    async def start(self) -> None:
        """Nothing to connect to."""

    async def publish(self, queue: str, message: Message) -> None:
        await self._queue(queue).put(message)

    async def bury(self, queue: str, message: Message) -> None:
        self.dead.append((queue, message))

    async def consume(self, queue: str) -> AsyncIterator[Message]:
        source = self._queue(queue)
        while (message := await source.get()) is not None:
            yield message

    def depths(self) -> dict[str, int]:
        return {name: queue.qsize() for name, queue in self._queues.items()}

    async def close(self) -> None:
        for queue in self._queues.values():
            await queue.put(None)

    def _queue(self, name: str) -> asyncio.Queue[Message | None]:
        return self._queues.setdefault(name, asyncio.Queue(self._max_queued))
