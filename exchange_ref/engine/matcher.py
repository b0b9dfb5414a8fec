"""kx-matcher: takes commands from the queue one after another, journals, executes, replies."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from opentelemetry.trace import Span, SpanKind, Tracer

from exchange_ref.broker.message import ORDERS_QUEUE, Broker, BrokerLost, Message
from exchange_ref.cfd.attributes import change_attributes, command_attributes
from exchange_ref.cfd.words import CloseTrade, OpenTrade
from exchange_ref.engine.attributes import (
    order_attributes,
    payment_attributes,
    result_attributes,
    transfer_attributes,
)
from exchange_ref.engine.engine import Engine
from exchange_ref.engine.instruments import PAIRS
from exchange_ref.engine.journal import Journal, JournalUnwritable, replay
from exchange_ref.engine.messages import (
    Command,
    Failure,
    decode_command,
    encode_failure,
    encode_result,
)
from exchange_ref.engine.orders import Cancel, Deposit, Order, OrderRejected, Transfer, Withdrawal
from exchange_ref.telemetry.log_export import ServiceLog
from exchange_ref.telemetry.messaging import messaging_attributes
from exchange_ref.telemetry.metrics import Metrics
from exchange_ref.telemetry.tracing import (
    PARENT_HEADER,
    TRACE_HEADER,
    context_from,
    fail,
    headers_of,
    link_to,
    under,
)

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Stages:
    """Stages that a command passes, which faults share.

    Args:
        state: held while a command is handled; who wants a consistent view of everything takes it too.
        books: the same for the book of one pair.
        executing: called with each order inside `orderbook.execute`, before the book.
        appending: awaited inside `journal.append`, before the line is written.
    """

    state: asyncio.Lock = field(default_factory=asyncio.Lock)
    books: dict[str, asyncio.Lock] = field(
        default_factory=lambda: {symbol: asyncio.Lock() for symbol in PAIRS}
    )
    executing: Callable[[Order], None] | None = None
    appending: Callable[[], Awaitable[None]] | None = None


class MatcherGone(Exception):
    """The other process that handled messages has ended."""


class Matcher:
    """One consumer for one engine, so commands are executed in the order of the queue."""

    def __init__(
        self,
        broker: Broker,
        engine: Engine,
        journal: Journal,
        *,
        tracer: Tracer,
        log: ServiceLog,
        metrics: Metrics,
    ) -> None:
        self._broker = broker
        self._engine = engine
        self._journal = journal
        self._tracer = tracer
        self._log = log
        self._metrics = metrics
        self._task: asyncio.Task[None] | None = None
        self.stages = Stages()
        # One message at a time, here or elsewhere.
        self._turn = asyncio.Lock()
        self._elsewhere: Callable[[Message], Awaitable[None]] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._consume(), name="matcher")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._journal.close()

    async def hand_over(
        self, ready: Callable[[], Awaitable[None]], handle: Callable[[Message], Awaitable[None]]
    ) -> None:
        """From the next message on `handle` takes all; it is awaited between two of them that it is `ready`,
        with all of the journal written."""
        async with self._turn:
            await ready()
            self._elsewhere = handle

    @property
    def is_here(self) -> bool:
        """Whether this process executes the commands, so that its engine has the books as they are."""
        return self._elsewhere is None

    async def take_back(self, ended: Callable[[], Awaitable[None]]) -> None:
        """Handle messages here again, once the other one has `ended`, and catch up from the journal."""
        async with self._turn:
            await ended()
            self._catch_up()

    async def _consume(self) -> None:
        async for message in self._broker.consume(ORDERS_QUEUE):
            try:
                async with self._turn:
                    await self._handle_somewhere(message)
            except BrokerLost:  # the command is executed and journaled; who asks again gets its result
                logger.warning("the reply to a command could not be sent: the broker is gone")
            except Exception:  # one bad message must not stop the exchange; its sender times out
                logger.exception("a message could not be handled and is set aside")
                await self._broker.bury(ORDERS_QUEUE, message)

    async def _handle_somewhere(self, message: Message) -> None:
        if self._elsewhere is not None:
            try:
                await self._elsewhere(message)
                return
            except MatcherGone:
                self._catch_up()
        await self.handle(message)

    def _catch_up(self) -> None:
        """Take the state of the one that was in charge, which is in the journal."""
        if self._elsewhere is not None:
            self._elsewhere = None
            self._journal.sequence = replay(self._journal.path, self._engine, after=self._journal.sequence)

    async def handle(self, message: Message) -> None:
        """Journal one command, execute it and reply.

        Raises:
            BrokerLost: the reply could not be sent.
            Exception: the message is no command, or cannot be executed.
        """
        command = decode_command(message.body)
        if isinstance(command, Deposit) and TRACE_HEADER not in message.headers:
            async with self.stages.state:
                body = self._deposit(command)
            await self._broker.publish(message.reply_to, _reply(message, body, {}))
            return
        started_s = time.perf_counter()
        parent = context_from(message.headers)
        span = self._tracer.start_span(
            _span_name(command),
            context=parent,
            kind=SpanKind.CONSUMER,
            links=link_to(parent),
            attributes=messaging_attributes(self._broker.system, "process", ORDERS_QUEUE, message),
        )
        try:
            async with self.stages.state:
                body = await self._execute(command, span)
            await self._respond(message, body, _reply_name(command), span)
        except Exception as error:
            span.record_exception(error)
            fail(span, type(error).__name__, str(error))
            self._log.error(span, "a command could not be executed or answered", error)
            if isinstance(error, BrokerLost):
                raise
            failure = Failure("internal", "the command could not be executed")
            await self._broker.publish(message.reply_to, _reply(message, encode_failure(failure), {}))
            raise
        finally:
            self._metrics.match(span, time.perf_counter() - started_s, _span_name(command))
            span.end()

    def _deposit(self, deposit: Deposit) -> bytes:
        """What traders begin with, which no request asked for."""
        try:
            if self._engine.seen(deposit) is None:
                self._journal.append(deposit)
            return encode_result(self._engine.deposit(deposit))
        except OrderRejected as rejection:
            return _failure_of(rejection)
        except JournalUnwritable as error:
            return _not_journaled(error)

    async def _execute(self, command: Command, span: Span) -> bytes:
        """Write a command to the journal and execute it; a repeated one gives its first result."""
        try:
            match command:
                case Order():
                    work = self._submit(command, span)
                case Cancel():
                    work = self._cancel(command, span)
                case OpenTrade() | CloseTrade():
                    work = self._trade(command, span)
                case Deposit() | Withdrawal():
                    work = self._funds(command, span)
                case Transfer():
                    work = self._transfer(command, span)
            return await work
        except OrderRejected as rejection:  # filled or ended by now, or another's id: nothing has changed
            return _failure_of(rejection)
        except JournalUnwritable as error:
            span.record_exception(error)
            fail(span, type(error).__name__, str(error))
            self._log.error(span, "a command could not be written to the journal and is not executed", error)
            return _not_journaled(error)

    async def _transfer(self, transfer: Transfer, span: Span) -> bytes:
        span.set_attributes(transfer_attributes(transfer))
        if self._engine.seen(transfer) is None:
            await self._append(transfer, span)
        result = self._engine.transfer(transfer)
        span.set_attribute("transfer.status", str(result.status))
        return encode_result(result)

    async def _funds(self, command: Deposit | Withdrawal, span: Span) -> bytes:
        """One step of money in or out."""
        span.set_attributes(payment_attributes(command.asset, command.units, command.user_id))
        if self._engine.seen(command) is None:
            if isinstance(command, Withdrawal):
                self._engine.check_withdrawal(command)
            await self._append(command, span)
        if isinstance(command, Deposit):
            result = self._engine.deposit(command)
        else:
            result = self._engine.withdraw(command)
        span.set_attribute("payment.status", str(result.status))
        return encode_result(result)

    async def _submit(self, order: Order, span: Span) -> bytes:
        if self._engine.seen(order) is None:
            await self._append(order, span)
        with self._tracer.start_as_current_span(
            "orderbook.execute", context=under(span), attributes=order_attributes(order)
        ) as execute:
            async with self.stages.books[order.symbol]:
                if self.stages.executing is not None:
                    self.stages.executing(order)
                result = self._engine.submit(order)
            execute.set_attributes(result_attributes(order, result))
        for change in result.orders:
            if change.triggered:
                self._log.info(
                    execute, f"stop order triggered: {change.status}", {"order.id": change.order_id}
                )
        return encode_result(result)

    async def _cancel(self, cancel: Cancel, span: Span) -> bytes:
        span.set_attributes({"order.id": cancel.order_id, "order.pair": cancel.symbol})
        self._engine.check_cancel(cancel)
        await self._append(cancel, span)
        result = self._engine.cancel(cancel)
        span.set_attribute("order.status", str(result.status))
        return encode_result(result)

    async def _trade(self, command: OpenTrade | CloseTrade, span: Span) -> bytes:
        span.set_attributes(command_attributes(command))
        if self._engine.seen(command) is None:
            if isinstance(command, CloseTrade):
                self._engine.desk.check_close(command)
            await self._append(command, span)
        if isinstance(command, OpenTrade):
            result = self._engine.open_trade(command)
        else:
            result = self._engine.close_trade(command)
        if result.trade is not None:
            span.set_attributes(change_attributes(result.trade))
        else:
            span.set_attribute("cfd.status", str(result.status))
        return encode_result(result)

    async def _append(self, command: Command, span: Span) -> None:
        with self._tracer.start_as_current_span("journal.append", context=under(span)) as append:
            if self.stages.appending is not None:
                await self.stages.appending()
            size_bytes = self._journal.append(command)
            append.set_attributes({"journal.sequence": self._journal.sequence, "journal.bytes": size_bytes})

    async def _respond(self, request: Message, body: bytes, name: str, span: Span) -> None:
        reply = _reply(request, body, {})
        with self._tracer.start_as_current_span(
            name,
            context=under(span),
            kind=SpanKind.PRODUCER,
            attributes=messaging_attributes(self._broker.system, "send", request.reply_to, reply),
        ) as producer:
            reply.headers.update(headers_of(producer))
            await self._broker.publish(request.reply_to, reply)


def _failure_of(rejection: OrderRejected) -> bytes:
    return encode_failure(Failure(rejection.code, rejection.message, rejection.details))


def _not_journaled(error: JournalUnwritable) -> bytes:
    return encode_failure(
        Failure("unavailable", f"nothing was executed: {error}; send it again when the disk has room")
    )


def _span_name(command: Command) -> str:
    """What the consumer does with a command; a transfer is named after its asset."""
    if isinstance(command, Transfer):
        return f"{command.asset.lower()}.transfer"
    if isinstance(command, Deposit):
        return "funds.deposit"
    if isinstance(command, Withdrawal):
        return f"funds.{command.stage.lower()}"
    if isinstance(command, OpenTrade | CloseTrade):
        return "cfd.open" if isinstance(command, OpenTrade) else "cfd.close"
    return "order.match" if isinstance(command, Order) else "order.cancel"


def _reply_name(command: Command) -> str:
    if isinstance(command, Transfer):
        return "transfer.response"
    if isinstance(command, Deposit | Withdrawal | OpenTrade | CloseTrade):
        return f"{_span_name(command)}.response"
    return "order.response" if isinstance(command, Order) else "order.cancel.response"


def _reply(request: Message, body: bytes, headers: dict[str, str]) -> Message:
    parent = request.headers.get(PARENT_HEADER)
    return Message(body, {**headers, **({PARENT_HEADER: parent} if parent else {})}, request.correlation_id)
