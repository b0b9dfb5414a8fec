"""The life of an order between its HTTP request and its answer."""

from __future__ import annotations

from collections.abc import Callable

from opentelemetry.trace import Span, SpanKind, Tracer

from exchange_ref.api.database import Database
from exchange_ref.api.models import OrderReply, OrderRequest
from exchange_ref.api.statements import (
    INSERT_ORDERS,
    INSERT_WALLETS,
    SELECT_ORDERS,
    SELECT_WALLETS,
    UPDATE_WALLETS,
)
from exchange_ref.api.traced_database import TracedDatabase
from exchange_ref.broker.message import ORDERS_QUEUE, REPLIES_QUEUE, Broker, Message
from exchange_ref.broker.request_reply import Requester
from exchange_ref.engine.instruments import ASSETS, PAIRS
from exchange_ref.engine.ledger import insufficient_funds
from exchange_ref.engine.matcher import order_attributes, result_attributes
from exchange_ref.engine.messages import Deposit, Failure, decode_reply, encode_deposit, encode_submit
from exchange_ref.engine.orders import Order, OrderRejected, Result, Side, Status
from exchange_ref.messaging import messaging_attributes
from exchange_ref.telemetry import PARENT_HEADER, TRACE_HEADER, context_from, headers_of, link_to, under

REPLY_TIMEOUT_S = 5.0


class MatcherFailed(Exception):
    """The matcher had the order and could not execute it."""


class OrderService:
    """
    Args:
        new_id: gives order ids that never repeat.
        now_ns: the clock, nanoseconds since 1970.
    """

    def __init__(
        self,
        *,
        database: Database,
        traced: TracedDatabase,
        broker: Broker,
        requester: Requester,
        tracer: Tracer,
        new_id: Callable[[], str],
        now_ns: Callable[[], int],
    ) -> None:
        self._database = database
        self._traced = traced
        self._broker = broker
        self._requester = requester
        self._tracer = tracer
        self._new_id = new_id
        self._now_ns = now_ns
        self._last_price_ticks = {symbol: pair.ticks(pair.opening_price) for symbol, pair in PAIRS.items()}

    async def submit(self, user_id: str, request: OrderRequest, server: Span) -> tuple[OrderReply, bool]:
        """Place an order; returns its answer and whether the client order id was a repeat.

        Raises:
            OrderRejected: the order cannot be taken.
            NoReply: the matcher did not answer in time.
            MatcherFailed: the matcher could not execute it.
        """
        order = self._order(user_id, request)
        server.set_attributes(order_attributes(order))
        rows = await self._traced.read(SELECT_WALLETS, (user_id,), server)
        self._check_funds(order, {asset: available for asset, available, _ in rows})
        await self._traced.write(INSERT_ORDERS, [_row(order)], server)
        result = await self._execute(order, server)
        await self._traced.settle(result, server)
        server.set_attributes(result_attributes(order.symbol, result))
        if result.status is Status.REJECTED:
            raise OrderRejected("insufficient_funds", result.reason)
        if result.fills:
            self._last_price_ticks[order.symbol] = result.fills[-1].price_ticks
        return _reply(order, result), result.repeated

    async def deposit(self, user_id: str, asset: str, units: int) -> None:
        """The on-ramp: credit money from outside. Not an HTTP path and not traced.

        Raises:
            OrderRejected: not above zero, or more than the ledger can hold.
        """
        request = self._requester.prepare(encode_deposit(Deposit(user_id, asset, units)), {})
        reply = await self._requester.send(ORDERS_QUEUE, request)
        result = _result(decode_reply((await self._requester.receive(request, reply, REPLY_TIMEOUT_S)).body))
        await self.store_balances(result)

    async def store_balances(self, result: Result) -> None:
        """Write wallet rows, and rows of zero for the user's other assets so that later updates find them."""
        users = {row.user_id for row in result.balances}
        changes = [
            (row.available_units, row.locked_units, row.version, row.user_id, row.asset, row.version)
            for row in result.balances
        ]
        await self._database.write(
            (INSERT_WALLETS, [(user, asset) for user in users for asset in ASSETS]), (UPDATE_WALLETS, changes)
        )

    async def wallets(self, user_id: str, server: Span) -> list[tuple[str, int, int]]:
        """(asset, available units, locked units) of a user."""
        rows = await self._traced.read(SELECT_WALLETS, (user_id,), server)
        return [(asset, available, locked) for asset, available, locked in rows]

    async def find(self, user_id: str, order_id: str, server: Span) -> OrderReply:
        """A user's order as it stands.

        Raises:
            OrderRejected: there is none.
        """
        rows = await self._traced.read(SELECT_ORDERS, (order_id,), server)
        if not rows or rows[0][1] != user_id:
            raise OrderRejected("not_found", f"there is no order {order_id!r} of this user")
        _, _, client_order_id, symbol, side, kind, _, quantity_lots, filled_lots, status = rows[0]
        lot = PAIRS[symbol].lot
        return OrderReply(
            order_id=order_id,
            client_order_id=client_order_id,
            pair=symbol,
            side=side,
            type=kind,
            status=status,
            quantity=float(quantity_lots * lot),
            filled_quantity=float(filled_lots * lot),
        )

    def _order(self, user_id: str, request: OrderRequest) -> Order:
        pair = PAIRS[request.pair]
        return Order(
            order_id=self._new_id(),
            user_id=user_id,
            client_order_id=request.client_order_id,
            symbol=pair.symbol,
            side=request.side,
            type=request.type,
            price_ticks=pair.ticks(request.price) if request.price is not None else 0,
            quantity_lots=pair.lots(request.quantity),
            created_unix_nano=self._now_ns(),
        )

    def _check_funds(self, order: Order, available_units: dict[str, int]) -> None:
        """Turn away what can surely not be paid. The ledger decides; these rows may be a moment old."""
        pair = PAIRS[order.symbol]
        asset, needed_units = pair.base, pair.base_units(order.quantity_lots)
        if order.side is Side.BUY:
            price_ticks = order.price_ticks or self._last_price_ticks[order.symbol]
            asset, needed_units = pair.quote, pair.notional_units(price_ticks, order.quantity_lots)
        if available_units.get(asset, 0) < needed_units:
            raise insufficient_funds(asset, needed_units, available_units.get(asset, 0))

    async def _execute(self, order: Order, server: Span) -> Result:
        """Send the order to the matcher, wait for the reply, and process it under the server span."""
        with self._tracer.start_as_current_span(
            "publish orders", context=under(server), attributes={"messaging.destination.name": ORDERS_QUEUE}
        ) as publish:
            request = self._requester.prepare(
                encode_submit(order), {PARENT_HEADER: headers_of(server)[TRACE_HEADER]}
            )
            with self._tracer.start_as_current_span(
                "publish <default>",
                context=under(publish),
                kind=SpanKind.PRODUCER,
                attributes=messaging_attributes(self._broker.system, "send", ORDERS_QUEUE, request),
            ) as producer:
                request.headers.update(headers_of(producer))
                reply = await self._requester.send(ORDERS_QUEUE, request)
        return self._process(await self._requester.receive(request, reply, REPLY_TIMEOUT_S))

    def _process(self, message: Message) -> Result:
        with self._tracer.start_as_current_span(
            "payment_response process",
            context=context_from(message.headers, PARENT_HEADER),
            kind=SpanKind.CONSUMER,
            links=link_to(context_from(message.headers)),
            attributes=messaging_attributes(self._broker.system, "process", REPLIES_QUEUE, message),
        ) as span:
            result = _result(decode_reply(message.body))
            span.set_attributes({"order.id": result.order_id, "order.status": str(result.status)})
        return result


def _result(reply: Result | Failure) -> Result:
    if isinstance(reply, Result):
        return reply
    if reply.code == "internal":
        raise MatcherFailed(reply.message)
    raise OrderRejected(reply.code, reply.message)


def _row(order: Order) -> tuple[object, ...]:
    return (
        order.order_id,
        order.user_id,
        order.client_order_id,
        order.symbol,
        str(order.side),
        str(order.type),
        order.price_ticks,
        order.quantity_lots,
        order.created_unix_nano,
    )


def _reply(order: Order, result: Result) -> OrderReply:
    pair = PAIRS[order.symbol]
    return OrderReply(
        order_id=result.order_id,
        client_order_id=order.client_order_id,
        pair=order.symbol,
        side=str(order.side),
        type=str(order.type),
        status=str(result.status),
        quantity=float(order.quantity_lots * pair.lot),
        filled_quantity=float(result.filled_lots * pair.lot),
        fill_price=pair.mean_price(result.quote_units, result.filled_lots),
    )
