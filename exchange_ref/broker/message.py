"""What a broker carries, and what every broker can do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

ORDERS_QUEUE = "orders"
REPLIES_QUEUE = "payment_response"


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `headers` carry the W3C trace context; `correlation_id` joins a reply to its request."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    correlation_id: str = ""
    reply_to: str = ""


class Broker(Protocol):
    """Queues by name. Each message goes to one consumer; a queue keeps its order."""

    @property
    def system(self) -> str:
        """The value of `messaging.system`."""
        ...

    async def publish(self, queue: str, message: Message) -> None: ...

    def consume(self, queue: str) -> AsyncIterator[Message]:
        """Messages of `queue` until the broker closes."""
        ...

    async def close(self) -> None: ...
