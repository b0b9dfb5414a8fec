"""The default broker: queues in this process's memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from exchange_ref.broker.message import Message
from exchange_ref.errors import InvalidUse


class MemoryBroker:
    """A queue of `max_queued` messages for each name; `publish` waits while one is full."""

    system = "memory"

    def __init__(self, *, max_queued: int = 10_000) -> None:
        self._max_queued = max_queued
        self._queues: dict[str, asyncio.Queue[Message | None]] = {}

    async def publish(self, queue: str, message: Message) -> None:
        await self._queue(queue).put(message)

    async def consume(self, queue: str) -> AsyncIterator[Message]:
        source = self._queue(queue)
        while (message := await source.get()) is not None:
            yield message

    async def close(self) -> None:
        for queue in self._queues.values():
            await queue.put(None)

    def _queue(self, name: str) -> asyncio.Queue[Message | None]:
        return self._queues.setdefault(name, asyncio.Queue(self._max_queued))


def open_broker(address: str) -> MemoryBroker:
    """The broker named by `address`.

    Raises:
        InvalidUse: a kind of broker that is not there.
    """
    if address == "memory":
        return MemoryBroker()
    if address.startswith(("amqp://", "amqps://")):
        raise InvalidUse(f"broker {address!r}: RabbitMQ is not available yet; use --broker memory")
    raise InvalidUse(f"broker {address!r} is not known; use --broker memory")
