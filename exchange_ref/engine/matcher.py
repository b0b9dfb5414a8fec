"""kx-matcher: takes commands from the queue one after another, executes, journals, replies."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from opentelemetry.trace import Span, SpanKind, Tracer

from exchange_ref.broker.message import ORDERS_QUEUE, Broker, Message
from exchange_ref.engine.instruments import PAIRS
from exchange_ref.engine.journal import Journal, deposit_command, submit_command
from exchange_ref.engine.matching import Engine
from exchange_ref.engine.messages import (
    Deposit,
    Failure,
    decode_command,
    encode_failure,
    encode_result,
)
from exchange_ref.engine.orders import Order, OrderRejected, OrderType, Result
from exchange_ref.messaging import messaging_attributes
from exchange_ref.telemetry import PARENT_HEADER, context_from, fail, headers_of, link_to, under

logger = logging.getLogger(__name__)


class Matcher:
    """One consumer for one engine, so commands are executed in the order of the queue."""

    def __init__(self, broker: Broker, engine: Engine, journal: Journal, tracer: Tracer) -> None:
        self._broker = broker
        self._engine = engine
        self._journal = journal
        self._tracer = tracer
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._consume(), name="matcher")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._journal.close()

    async def _consume(self) -> None:
        async for message in self._broker.consume(ORDERS_QUEUE):
            try:
                await self._handle(message)
            except Exception:  # one bad message must not stop the exchange; its sender times out
                logger.exception("a message could not be handled")

    async def _handle(self, message: Message) -> None:
        command = decode_command(message.body)
        if isinstance(command, Deposit):
            await self._broker.publish(message.reply_to, _reply(message, self._deposit(command), {}))
            return
        parent = context_from(message.headers)
        span = self._tracer.start_span(
            "order.match",
            context=parent,
            kind=SpanKind.CONSUMER,
            links=link_to(parent),
            attributes=messaging_attributes(self._broker.system, "process", ORDERS_QUEUE, message),
        )
        try:
            body = self._submit(command, span)
            await self._respond(message, body, span)
        except Exception as error:
            span.record_exception(error)
            fail(span, type(error).__name__, str(error))
            failure = Failure("internal", "the order could not be executed")
            await self._broker.publish(message.reply_to, _reply(message, encode_failure(failure), {}))
            raise
        finally:
            span.end()

    def _deposit(self, deposit: Deposit) -> bytes:
        """The on-ramp: money from outside, which no order trace sees."""
        try:
            result = self._engine.deposit(deposit.user_id, deposit.asset, deposit.units)
        except OrderRejected as rejection:
            return encode_failure(Failure(rejection.code, rejection.message))
        self._journal.append("deposit", deposit_command(deposit.user_id, deposit.asset, deposit.units))
        return encode_result(result)

    def _submit(self, order: Order, span: Span) -> bytes:
        command = submit_command(order)
        with self._tracer.start_as_current_span(
            "orderbook.execute", context=under(span), attributes=order_attributes(order)
        ) as execute:
            result = self._engine.submit(order)
            execute.set_attributes(result_attributes(order.symbol, result))
        with self._tracer.start_as_current_span("journal.append", context=under(span)) as append:
            size_bytes = self._journal.append("submit", command)
            append.set_attributes({"journal.sequence": self._journal.sequence, "journal.bytes": size_bytes})
        return encode_result(result)

    async def _respond(self, request: Message, body: bytes, span: Span) -> None:
        reply = _reply(request, body, {})
        with self._tracer.start_as_current_span(
            "order.response",
            context=under(span),
            kind=SpanKind.PRODUCER,
            attributes=messaging_attributes(self._broker.system, "send", request.reply_to, reply),
        ) as producer:
            reply.headers.update(headers_of(producer))
            await self._broker.publish(request.reply_to, reply)


def _reply(request: Message, body: bytes, headers: dict[str, str]) -> Message:
    parent = request.headers.get(PARENT_HEADER)
    return Message(body, {**headers, **({PARENT_HEADER: parent} if parent else {})}, request.correlation_id)


def order_attributes(order: Order) -> dict[str, str | float]:
    """An order as span attributes; amounts as doubles in base and quote."""
    pair = PAIRS[order.symbol]
    attributes: dict[str, str | float] = {
        "order.id": order.order_id,
        "order.pair": order.symbol,
        "order.side": str(order.side),
        "order.type": str(order.type),
        "order.quantity": float(order.quantity_lots * pair.lot),
        "user.id": order.user_id,
    }
    if order.type is OrderType.LIMIT:
        attributes["order.price"] = float(order.price_ticks * pair.tick)
    return attributes


def result_attributes(symbol: str, result: Result) -> dict[str, str | float]:
    """What became of an order, as span attributes."""
    pair = PAIRS[symbol]
    attributes: dict[str, str | float] = {
        "order.status": str(result.status),
        "order.filled_quantity": float(result.filled_lots * pair.lot),
    }
    price = pair.mean_price(result.quote_units, result.filled_lots)
    if price is not None:
        attributes["order.fill_price"] = price
    return attributes
