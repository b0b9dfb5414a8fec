"""The exchange over a real RabbitMQ."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from pathlib import Path

import aio_pika
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from exchange_ref.broker.message import ORDERS_QUEUE, REPLIES_QUEUE, Message
from exchange_ref.broker.rabbit import RabbitBroker
from exchange_ref.errors import ExchangeError
from exchange_ref.exchange import Exchange, ExchangeConfig
from exchange_ref.load.arrivals import Load
from exchange_ref.load.traders import Traders
from exchange_ref.services.wallet import RetryPolicy
from exchange_ref.telemetry.span_export import BoundedSpanExport
from tests.pace import until


async def declare(url: str, queue: str, *, purge: bool = False) -> int:
    """How many messages wait in a queue."""
    async with await aio_pika.connect(url) as connection:
        declared = await (await connection.channel()).declare_queue(queue, durable=True)
        if purge:
            await declared.purge()
        return int(declared.declaration_result.message_count or 0)


@pytest.fixture(autouse=True)
def empty_queues(rabbit) -> None:
    """No test finds what another left."""

    async def purge() -> None:
        for queue in (ORDERS_QUEUE, REPLIES_QUEUE, f"{ORDERS_QUEUE}.dead", "work"):
            await declare(rabbit.url, queue, purge=True)

    asyncio.run(purge())


def test_a_message_arrives_whole_and_is_acknowledged_after_it_was_handled(rabbit) -> None:
    """Body, headers and addresses arrive; a consumer that dies before it asks for more gets them again."""
    sent = Message(b"\x00body", {"traceparent": "00-1-2-01"}, "c-1", "replies")

    async def main() -> tuple[Message, Message, int]:
        first = RabbitBroker(rabbit.url)
        await first.start()
        await first.publish("work", sent)
        got = await anext(aiter(first.consume("work")))
        await first.close()  # without having asked for the next one
        second = RabbitBroker(rabbit.url)
        await second.start()
        source = aiter(second.consume("work"))
        again = await anext(source)
        await second.publish("work", Message(b"last"))
        await anext(source)  # acknowledges the one before
        await second.close()
        return got, again, await declare(rabbit.url, "work")

    got, again, left = asyncio.run(main())
    assert got == again == sent
    assert left == 1  # the last one, which nobody finished


def test_no_server_is_said_in_one_line_without_the_password() -> None:
    """An address where nothing listens ends with what to do, and does not repeat the credentials."""

    async def main() -> None:
        await RabbitBroker("amqp://me:s3cret@127.0.0.1:9/").start()

    with pytest.raises(
        ExchangeError, match=r"no RabbitMQ answers at 127\.0\.0\.1:9 .*--broker memory"
    ) as told:
        asyncio.run(main())
    assert "s3cret" not in str(told.value)


class Flaky:
    """A channel, a queue and a message of a connection that is cut while somebody waits for it: once each."""

    def __init__(self) -> None:
        self.default_exchange = self
        self.cuts = {"publish": 1, "ack": 1}
        self.done: list[str] = []
        self.body, self.headers, self.correlation_id, self.reply_to = b"x", {}, "c", "r"

    async def pass_or_cut(self, what: str) -> None:
        if self.cuts[what]:
            self.cuts[what] -= 1
            waited_for = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(waited_for.cancel)
            await waited_for
        self.done.append(what)

    async def ready(self) -> None:
        """The connection is there again."""

    async def publish(self, *_, **__) -> None:
        await self.pass_or_cut("publish")

    async def ack(self) -> None:
        await self.pass_or_cut("ack")

    async def get_queue(self, _: str) -> Flaky:
        return self

    async def consume(self, put) -> None:
        for _ in range(3):
            await put(self)


def flaky_broker() -> tuple[RabbitBroker, Flaky]:
    broker, channel = RabbitBroker("amqp://nobody"), Flaky()
    broker.channel = channel
    broker.declared = {"work"}
    return broker, channel


def test_a_wait_that_the_lost_connection_cancels_ends_no_task() -> None:
    """Publishing tries again and consuming goes on when a future of the connection is cancelled under them; a
    cancelled task ends."""

    async def main() -> tuple[list[str], bool]:
        broker, channel = flaky_broker()
        await broker.publish("work", Message(b"x"))
        source = aiter(broker.consume("work"))
        for _ in range(3):
            await anext(source)
        other, stuck = flaky_broker()
        stuck.cuts["publish"] = 1_000_000
        publishing = asyncio.create_task(other.publish("work", Message(b"x")))
        await asyncio.sleep(0.05)
        publishing.cancel()
        await asyncio.wait([publishing], timeout=1)
        return channel.done, publishing.cancelled()

    assert asyncio.run(main()) == (["publish", "ack"], True)


def run_load(rabbit, folder: Path, orders: int, interrupt=None):
    """So many orders over RabbitMQ; returns the exchange after it stopped, its outcomes and its spans."""

    async def main():
        memory = InMemorySpanExporter()
        export = BoundedSpanExport(memory, schedule_delay_ms=50)
        exchange = Exchange(ExchangeConfig(folder, broker=rabbit.url), export)
        await exchange.start()
        # Longer than the API waits for its broker: who gives up earlier leaves a request behind, and asks for
        # the same work again.
        exchange.wallet.retry = RetryPolicy(max_attempts=10, timeout_s=12.0, backoff_s=0.2)
        traders = Traders(random.Random(1), f"{time.time_ns():x}")
        load = Load(exchange.wallet, traders, random.Random(2), 50.0)
        stop = asyncio.Event()
        loading = asyncio.create_task(load.run(stop))
        if interrupt is not None:
            await until(lambda: len(load.answered) >= orders / 3)
            await interrupt()
        await until(lambda: load.counters.sent >= orders, 60)
        stop.set()
        await loading
        assert await load.settle(300.0)
        await exchange.stop()
        assert export.force_flush(5_000)
        export.shutdown()
        return exchange, list(load.answered), memory.get_finished_spans()

    return asyncio.run(main())


def test_the_order_trace_has_the_same_shape(rabbit, tmp_path: Path) -> None:
    """Over RabbitMQ each accepted order is 17 spans with the same links, and the queues end up empty."""
    _, answered, spans = run_load(rabbit, tmp_path, 40)
    assert len(answered) > 20
    per_trace = Counter(span.context.trace_id for span in spans)
    assert set(per_trace.values()) == {17}
    assert len(per_trace) == len(answered)
    names = {(span.context.trace_id, span.context.span_id): span.name for span in spans}
    links = Counter(
        (span.name, names[link.context.trace_id, link.context.span_id])
        for span in spans
        for link in span.links
    )
    assert links == {
        ("order.match", "publish <default>"): len(answered),
        ("payment_response process", "order.response"): len(answered),
    }
    systems = {span.attributes["messaging.system"] for span in spans if "messaging.system" in span.attributes}
    assert systems == {"rabbitmq"}
    assert asyncio.run(declare(rabbit.url, ORDERS_QUEUE)) == 0


def test_what_cannot_be_handled_is_set_aside(rabbit, tmp_path: Path) -> None:
    """A message that is no command goes to the dead letters, and the orders behind it are executed."""

    async def poison() -> None:
        broker = RabbitBroker(rabbit.url)
        await broker.start()
        await broker.publish(ORDERS_QUEUE, Message(b"not a command"))
        await broker.close()

    asyncio.run(poison())
    _, answered, _ = run_load(rabbit, tmp_path, 20)
    assert all(outcome.accepted for _, outcome in answered)
    assert asyncio.run(declare(rabbit.url, f"{ORDERS_QUEUE}.dead")) == 1
    assert asyncio.run(declare(rabbit.url, ORDERS_QUEUE)) == 0


@pytest.mark.timeout(600)
def test_a_restart_of_the_server_loses_and_repeats_no_order(rabbit, tmp_path: Path) -> None:
    """RabbitMQ goes down under load and comes back: every order is answered, executed exactly once, and the
    outage shows in the spans."""

    async def restart() -> None:
        await asyncio.to_thread(rabbit.stop)
        await asyncio.to_thread(rabbit.start)

    exchange, answered, spans = run_load(rabbit, tmp_path, 130, restart)
    assert len(answered) > 60
    assert {outcome.status for _, outcome in answered} <= {200, 201}
    executed = Counter(
        (line["user_id"], line["client_order_id"])
        for line in map(json.loads, (tmp_path / "journal.jsonl").read_text().splitlines())
        if line["op"] == "submit"
    )
    assert set(executed) == {(order.user_id, order.client_order_id) for order, _ in answered}
    ledger = exchange.engine.ledger
    for asset in ("USD", "BTC", "ETH", "SOL"):
        held = sum(
            row.available_units + row.locked_units for row in ledger.all_balances() if row.asset == asset
        )
        assert held == ledger.deposited_units(asset)
    slowest_s = max(
        (span.end_time - span.start_time) / 1e9 for span in spans if span.name == "publish orders"
    )
    assert slowest_s > 1
