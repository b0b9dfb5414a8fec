"""RabbitMQ by `amqp://…`: confirmed publishing, manual acknowledgement, dead letters.

Delivery is at least once: what was not acknowledged before a connection was lost comes again, and the engine
knows an order that it has executed. A lost connection is opened anew; meanwhile publishing waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import aio_pika
from aio_pika.abc import AbstractIncomingMessage, AbstractRobustChannel, AbstractRobustConnection
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError

from exchange_ref.broker.message import PUBLISH_TIMEOUT_S, BrokerLost, Message
from exchange_ref.errors import ExchangeError

logger = logging.getLogger(__name__)

# Messages that are on their way to a consumer at once: enough to keep it busy, few enough to come again soon.
PREFETCHED_MESSAGES = 64
CONNECT_TIMEOUT_S = 10.0
RECONNECT_INTERVAL_S = 0.5
PUBLISH_RETRY_S = 0.1
DEAD_SUFFIX = ".dead"
# Errors of a lost connection. Its library also cancels the futures that somebody waits for.
LOST = (AMQPError, ChannelInvalidStateError, OSError, RuntimeError, asyncio.CancelledError)


def asked_to_stop(error: BaseException) -> bool:
    """Whether this task was cancelled, and not something that it waited for."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


class RabbitBroker:
    """
    Args:
        url: `amqp://user:password@host:port/vhost`.
    """

    system = "rabbitmq"

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: AbstractRobustConnection | None = None
        self.channel: AbstractRobustChannel | None = None
        self.declared: set[str] = set()
        self._arrived: dict[str, asyncio.Queue[AbstractIncomingMessage | None]] = {}

    async def start(self) -> None:
        """
        Raises:
            ExchangeError: no RabbitMQ answers there.
        """
        try:
            self._connection = await aio_pika.connect_robust(
                self._url, timeout=CONNECT_TIMEOUT_S, reconnect_interval=RECONNECT_INTERVAL_S
            )
        except (OSError, TimeoutError, AMQPError) as error:
            place = urlsplit(self._url)
            raise ExchangeError(
                f"no RabbitMQ answers at {place.hostname}:{place.port or 5672} ({type(error).__name__}); "
                "start it, correct --broker, or use --broker memory"
            ) from None
        channel = await self._connection.channel(publisher_confirms=True)
        assert isinstance(channel, AbstractRobustChannel)
        await channel.set_qos(prefetch_count=PREFETCHED_MESSAGES)
        self.channel = channel

    async def publish(self, queue: str, message: Message) -> None:
        """Returns once the server has confirmed the message; waits out a lost connection.

        Raises:
            BrokerLost: it was not confirmed in time. It may have arrived all the same.
        """
        sent = aio_pika.Message(
            message.body,
            headers={**message.headers},
            correlation_id=message.correlation_id or None,
            reply_to=message.reply_to or None,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                await self._publish_until_confirmed(queue, sent)
        except TimeoutError:
            raise BrokerLost(f"RabbitMQ did not confirm a message within {PUBLISH_TIMEOUT_S:g} s") from None

    async def _publish_until_confirmed(self, queue: str, sent: aio_pika.Message) -> None:
        while True:
            try:
                # Waiters sleep until the connection is there: hundreds that ask ten times a second keep the
                # event loop busy, and on a half restored channel they delay its restoration.
                await self._open_channel().ready()
                await self._declare(queue)
                await self._open_channel().default_exchange.publish(sent, routing_key=queue)
                return
            except LOST as error:
                if asked_to_stop(error):
                    raise
                logger.debug("publishing to %s again: %r", queue, error)
                await asyncio.sleep(PUBLISH_RETRY_S)

    async def bury(self, queue: str, message: Message) -> None:
        """Put a message that cannot be handled where people can look at it: `<queue>.dead`."""
        await self.publish(queue + DEAD_SUFFIX, message)

    async def consume(self, queue: str) -> AsyncIterator[Message]:
        """A message is acknowledged when the consumer asks for the next one, and not before."""
        await self._declare(queue)
        arrived: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue()
        self._arrived[queue] = arrived
        source = await self._open_channel().get_queue(queue)
        await source.consume(arrived.put)
        while (incoming := await arrived.get()) is not None:
            yield Message(
                incoming.body,
                {name: str(value) for name, value in incoming.headers.items()},
                incoming.correlation_id or "",
                incoming.reply_to or "",
            )
            # With the connection gone the message comes again, and its consumer has to know it.
            try:
                await incoming.ack()
            except LOST as error:
                if asked_to_stop(error):
                    raise
                logger.debug("a message of %s was not acknowledged: %r", queue, error)

    def depths(self) -> dict[str, int]:
        """Those that were prefetched; the server's own queue is not asked about."""
        return {name: arrived.qsize() for name, arrived in self._arrived.items()}

    async def close(self) -> None:
        for arrived in self._arrived.values():
            arrived.put_nowait(None)
        if self._connection is not None:
            await self._connection.close()

    async def _declare(self, queue: str) -> None:
        """Durable, so that messages outlive a restart of the server."""
        if queue not in self.declared:
            await self._open_channel().declare_queue(queue, durable=True)
            self.declared.add(queue)

    def _open_channel(self) -> AbstractRobustChannel:
        assert self.channel is not None, "start() comes first"
        return self.channel
