"""What a broker carries, and what every broker can do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

ORDERS_QUEUE = "orders"
REPLIES_QUEUE = "payment_response"
# An order's client waits 10 s for its answer; publishing gives up before that.
PUBLISH_TIMEOUT_S = 8.0


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `headers` carry the W3C trace context; `correlation_id` joins a reply to its request."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    correlation_id: str = ""
    reply_to: str = ""


class BrokerLost(Exception):
    """The broker cannot be reached; whether it has the message is unknown."""


class Broker(Protocol):
    """Queues by name. Each message goes to one consumer; a queue keeps its order."""

    @property
    def system(self) -> str:
        """The value of `messaging.system`."""
        ...

    async def start(self) -> None:
        """Connect; called once in the event loop that uses the broker."""
        ...

    async def publish(self, queue: str, message: Message) -> None:
        """Returns once the broker has the message."""
        ...

    async def bury(self, queue: str, message: Message) -> None:
        """Set a message of `queue` aside that cannot be handled."""
        ...

    def consume(self, queue: str) -> AsyncIterator[Message]:
        """Messages of `queue` until the broker closes."""
        ...

    def depths(self) -> dict[str, int]:
        """Messages that wait in this process, by queue."""
        ...

    async def close(self) -> None: ...
