"""Request and reply over any broker: a reply queue and a correlation id for each request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from exchange_ref.broker.message import Broker, Message


class NoReply(Exception):
    """No reply came in time; the request may still be executed."""


class Requester:
    """Send requests and hand each reply to the one who waits for it.

    Args:
        new_id: gives correlation ids that never repeat.
        on_reply: called with each reply somebody waits for, when it is taken from the queue.
    """

    def __init__(
        self,
        broker: Broker,
        reply_queue: str,
        new_id: Callable[[], str],
        on_reply: Callable[[Message], None] = lambda _: None,
    ) -> None:
        self._broker = broker
        self._reply_queue = reply_queue
        self._new_id = new_id
        self._on_reply = on_reply
        self._waiting: dict[str, asyncio.Future[Message]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._receive(), name="replies")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def prepare(self, body: bytes, headers: dict[str, str]) -> Message:
        """A request with a correlation id of its own."""
        return Message(body, headers, self._new_id(), self._reply_queue)

    async def send(self, queue: str, request: Message) -> asyncio.Future[Message]:
        """Publish `request`; returns once the broker has it, with the future reply."""
        reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[request.correlation_id] = reply
        try:
            await self._broker.publish(queue, request)
        except BaseException:  # nobody will wait for its reply
            del self._waiting[request.correlation_id]
            raise
        return reply

    async def receive(self, request: Message, reply: asyncio.Future[Message], timeout_s: float) -> Message:
        """Wait for the reply.

        Raises:
            NoReply: none came within `timeout_s`.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await reply
        except TimeoutError:
            raise NoReply(f"no reply within {timeout_s:g} s") from None
        finally:
            self._waiting.pop(request.correlation_id, None)

    async def _receive(self) -> None:
        async for message in self._broker.consume(self._reply_queue):
            waiting = self._waiting.get(message.correlation_id)
            # A reply after its time-out finds nobody; its sender got an answer already.
            if waiting is not None and not waiting.done():
                self._on_reply(message)
                waiting.set_result(message)
