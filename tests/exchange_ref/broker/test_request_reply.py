from __future__ import annotations

import asyncio
from itertools import count

import pytest

from exchange_ref.broker.memory import MemoryBroker
from exchange_ref.broker.message import Message
from exchange_ref.broker.open import open_broker
from exchange_ref.broker.request_reply import NoReply, Requester
from exchange_ref.errors import InvalidUse


def requester(broker: MemoryBroker) -> Requester:
    numbers = count(1)
    made = Requester(broker, "replies", lambda: str(next(numbers)))
    made.start()
    return made


def test_each_request_gets_its_own_reply() -> None:
    """Replies that come in another order reach the request they belong to."""

    async def scenario() -> list[bytes]:
        broker = MemoryBroker()
        asking = requester(broker)
        requests = [asking.prepare(str(number).encode(), {}) for number in range(5)]
        replies = [await asking.send("work", request) for request in requests]
        received = broker.consume("work")
        taken = [await anext(received) for _ in requests]
        for message in reversed(taken):
            await broker.publish(message.reply_to, Message(b"re " + message.body, {}, message.correlation_id))
        answers = [
            await asking.receive(request, reply, 60.0)
            for request, reply in zip(requests, replies, strict=True)
        ]
        await broker.close()
        await asking.stop()
        return [answer.body for answer in answers]

    assert asyncio.run(scenario()) == [b"re 0", b"re 1", b"re 2", b"re 3", b"re 4"]


def test_a_missing_reply_is_an_error_and_a_late_one_is_ignored() -> None:
    """The request ends with NoReply after its time, and its late reply disturbs nobody."""

    async def scenario() -> bytes:
        broker = MemoryBroker()
        asking = requester(broker)
        lost = asking.prepare(b"lost", {})
        with pytest.raises(NoReply, match=r"0\.01 s"):
            await asking.receive(lost, await asking.send("work", lost), 0.01)
        await broker.publish("replies", Message(b"late", {}, lost.correlation_id))
        kept = asking.prepare(b"kept", {})
        reply = await asking.send("work", kept)
        await broker.publish("replies", Message(b"in time", {}, kept.correlation_id))
        answer = await asking.receive(kept, reply, 60.0)
        await broker.close()
        await asking.stop()
        return answer.body

    assert asyncio.run(scenario()) == b"in time"


def test_headers_and_order_are_kept() -> None:
    """A queue gives messages back as they were, first in first out, until the broker closes."""

    async def scenario() -> list[Message]:
        broker = MemoryBroker()
        for number in range(3):
            await broker.publish("q", Message(b"", {"traceparent": str(number)}))
        await broker.close()
        return [message async for message in broker.consume("q")]

    assert [message.headers["traceparent"] for message in asyncio.run(scenario())] == ["0", "1", "2"]


@pytest.mark.parametrize("address", ["kafka", "amqp://", "amqp:host", "http://host", "amqp://h:port", ""])
def test_other_brokers_are_refused_with_the_way_out(address: str) -> None:
    """Addresses that name no broker are refused with examples."""
    with pytest.raises(InvalidUse, match=r"--broker memory or amqp://"):
        open_broker(address)
