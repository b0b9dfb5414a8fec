"""kx-wallet: the client program of a trader, and the root of every trace."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Tracer

from exchange_ref.cfd.routes import TRADES_PATH
from exchange_ref.cfd.words import TradeSide
from exchange_ref.engine.orders import OrderType, Side
from exchange_ref.services.gateway import ORDERS_PATH, TRANSFERS_PATH
from exchange_ref.services.http_client import HttpClient, HttpFailure, Response
from exchange_ref.telemetry.tracing import fail, headers_of, trace_id_of, under

# Traders change their mind: so books stay as deep as 30 s of orders.
RESTS_S = 30.0


@dataclass(frozen=True, slots=True)
class NewOrder:
    """What a trader wants. A limit order rests for `good_for_s`; None: until it is cancelled."""

    user_id: str
    client_order_id: str
    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal | None = None
    good_for_s: float | None = RESTS_S


@dataclass(frozen=True, slots=True)
class NewTransfer:
    """Money that a trader sends to somebody's address."""

    user_id: str
    client_transfer_id: str
    asset: str
    amount: Decimal
    to_address: str


@dataclass(frozen=True, slots=True)
class NewTrade:
    """A contract for difference that a trader opens; margin in USD, levels in USD per asset."""

    user_id: str
    client_trade_id: str
    asset: str
    side: TradeSide
    leverage: int
    margin: Decimal
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it. `status` is HTTP's, 0 without an answer; `reply` is the body, an error's included."""

    trace_id: str
    status: int
    reply: dict[str, Any]
    start_unix_nano: int = 0

    @property
    def accepted(self) -> bool:
        return self.status == 201


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patient the client is. A request is repeated only where no answer or a 5xx came, always with the
    same client id, so that the exchange executes it once.

    Args:
        timeout_s: for one attempt; None for the HTTP client's own.
        backoff_s: before the second attempt; it doubles with each further one.
    """

    max_attempts: int = 1
    timeout_s: float | None = None
    backoff_s: float = 0.05


ONE_ATTEMPT = RetryPolicy()


@dataclass(frozen=True, slots=True)
class Call:
    """One operation of the wallet: names of its spans and what goes over the wire.

    Args:
        received_name: empty for a read, whose answer is nobody's news.
        token: of somebody who is logged in; without it the wallet speaks for `user_id`.
    """

    subject: str
    root_name: str
    received_name: str
    method: str
    path: str
    user_id: str = ""
    body: bytes = b""
    # Of the reply, where it is not named after the subject.
    id_field: str = ""
    token: str = field(default="", repr=False)


class Wallet:
    """
    Args:
        token: lets the wallet speak for any trader.
    """

    def __init__(self, gateway: HttpClient, tracer: Tracer, token: str) -> None:
        self._gateway = gateway
        self._tracer = tracer
        self.authorization = f"Bearer {token}"
        self.retry = ONE_ATTEMPT

    async def submit(self, order: NewOrder) -> Outcome:
        """Send an order and wait for its answer; never raises for a refused order or a lost gateway."""
        call = Call(
            "order",
            "order.submit.client",
            "order.response.received",
            "POST",
            ORDERS_PATH,
            order.user_id,
            _order_body(order),
        )
        return await self.perform(call, _order_attributes(order))

    async def cancel(self, user_id: str, order_id: str) -> Outcome:
        """Ask for a resting order back; never raises."""
        path = f"{ORDERS_PATH}/{order_id}"
        call = Call("order", "order.cancel.client", "order.cancel.received", "DELETE", path, user_id, b"")
        return await self.perform(call, {"order.id": order_id, "user.id": user_id})

    async def transfer(self, transfer: NewTransfer) -> Outcome:
        """Send money to an address and wait for the answer; never raises."""
        call = Call(
            "transfer",
            "transfer.submit.client",
            "transfer.response.received",
            "POST",
            TRANSFERS_PATH,
            transfer.user_id,
            _transfer_body(transfer),
        )
        attributes: dict[str, str | float] = {
            "transfer.asset": transfer.asset,
            "transfer.amount": float(transfer.amount),
            "user.id": transfer.user_id,
        }
        return await self.perform(call, attributes)

    async def open_trade(self, trade: NewTrade) -> Outcome:
        """Open a contract for difference and wait for the answer; never raises."""
        call = Call(
            "cfd",
            "cfd.open.client",
            "cfd.open.received",
            "POST",
            TRADES_PATH,
            trade.user_id,
            _trade_body(trade),
            "trade_id",
        )
        attributes: dict[str, str | float] = {
            "cfd.asset": trade.asset,
            "cfd.side": str(trade.side),
            "cfd.leverage": trade.leverage,
            "cfd.margin_usd": float(trade.margin),
            "user.id": trade.user_id,
        }
        return await self.perform(call, attributes)

    async def close_trade(self, user_id: str, trade_id: str) -> Outcome:
        """End an open contract for difference; never raises."""
        path = f"{TRADES_PATH}/{trade_id}"
        call = Call("cfd", "cfd.close.client", "cfd.close.received", "DELETE", path, user_id, b"", "trade_id")
        return await self.perform(call, {"cfd.id": trade_id, "user.id": user_id})

    async def perform(self, call: Call, attributes: dict[str, str | float]) -> Outcome:
        start_unix_nano = time.time_ns()
        root = self._tracer.start_span(call.root_name, context=Context(), attributes=attributes)
        try:
            response = await self._send(call, root)
            told = json.loads(response.body)
            reply: dict[str, Any] = told if isinstance(told, dict) else {"items": told}
            outcome = Outcome(trace_id_of(root), response.status, reply, start_unix_nano)
            self._receive(call, outcome, root)
        except (HttpFailure, ValueError) as failure:  # no answer, or one that is not JSON
            fail(root, type(failure).__name__, str(failure))
            error = {"code": "bad_gateway", "message": str(failure)}
            outcome = Outcome(trace_id_of(root), 0, {"error": error}, start_unix_nano)
        finally:
            root.end()
        return outcome

    async def _send(self, call: Call, root: Span) -> Response:
        """Attempts until one is answered or the policy's patience ends."""
        policy = self.retry
        for attempt in range(policy.max_attempts):
            last = attempt == policy.max_attempts - 1
            try:
                response = await self._attempt(call, root, attempt, policy.timeout_s)
                if last or response.status < 500:
                    return response
            except HttpFailure:
                if last:
                    raise
            await asyncio.sleep(policy.backoff_s * 2**attempt)
        raise AssertionError("a policy has at least one attempt")

    async def _attempt(self, call: Call, root: Span, attempt: int, timeout_s: float | None) -> Response:
        gateway = self._gateway
        span = self._tracer.start_span(
            call.method,
            context=under(root),
            kind=SpanKind.CLIENT,
            attributes={
                "http.request.method": call.method,
                "url.full": f"http://{gateway.host}:{gateway.port}{call.path}",
                "server.address": gateway.host,
                "server.port": gateway.port,
            },
        )
        if attempt:
            span.set_attribute("http.request.resend_count", attempt)
        headers = {
            **headers_of(span),
            "content-type": "application/json",
            "authorization": f"Bearer {call.token}" if call.token else self.authorization,
        }
        if call.user_id:
            headers["x-user-id"] = call.user_id
        try:
            response = await gateway.request(call.method, call.path, headers, call.body, timeout_s=timeout_s)
            span.set_attribute("http.response.status_code", response.status)
            if response.status >= 400:
                fail(span, str(response.status), "")
            return response
        except HttpFailure as failure:
            span.record_exception(failure)
            fail(span, "HttpFailure", str(failure))
            raise
        finally:
            span.end()

    def _receive(self, call: Call, outcome: Outcome, root: Span) -> None:
        reply, subject = outcome.reply, call.subject
        attributes: dict[str, str | float] = {}
        if outcome.status >= 400:
            error = reply["error"]
            fail(root, error["code"], error["message"])
            attributes = {f"{subject}.status": "REJECTED"}
        elif "status" in reply:
            attributes = {
                f"{subject}.id": reply[call.id_field or f"{subject}_id"],
                f"{subject}.status": reply["status"],
            }
            if reply.get("fill_price") is not None:
                attributes["order.fill_price"] = reply["fill_price"]
        root.set_attributes(attributes)
        if call.received_name:
            span = self._tracer.start_span(call.received_name, context=under(root))
            span.set_attributes(attributes)
            span.end()


def _order_attributes(order: NewOrder) -> dict[str, str | float]:
    attributes: dict[str, str | float] = {
        "order.pair": order.symbol,
        "order.side": str(order.side),
        "order.type": str(order.type),
        "order.quantity": float(order.quantity),
        "user.id": order.user_id,
    }
    if order.price is not None:
        attributes["order.price"] = float(order.price)
    return attributes


def _order_body(order: NewOrder) -> bytes:
    fields: dict[str, str | float] = {
        "client_order_id": order.client_order_id,
        "pair": order.symbol,
        "side": str(order.side),
        "type": str(order.type),
        "quantity": str(order.quantity),
    }
    if order.price is not None:
        fields["price"] = str(order.price)
        if order.good_for_s is not None:
            fields |= {"time_in_force": "GTD", "good_for_s": order.good_for_s}
    return json.dumps(fields).encode()


def _trade_body(trade: NewTrade) -> bytes:
    fields: dict[str, str | int] = {
        "client_trade_id": trade.client_trade_id,
        "asset": trade.asset,
        "side": str(trade.side),
        "leverage": trade.leverage,
        "margin": str(trade.margin),
    }
    if trade.stop_loss is not None:
        fields["stop_loss"] = str(trade.stop_loss)
    if trade.take_profit is not None:
        fields["take_profit"] = str(trade.take_profit)
    return json.dumps(fields).encode()


def _transfer_body(transfer: NewTransfer) -> bytes:
    fields = {
        "client_transfer_id": transfer.client_transfer_id,
        "asset": transfer.asset,
        "amount": str(transfer.amount),
        "to_address": transfer.to_address,
    }
    return json.dumps(fields).encode()
