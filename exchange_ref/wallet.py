"""kx-wallet: the client program of a trader, and the root of every order trace."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Tracer

from exchange_ref.engine.orders import OrderType, Side
from exchange_ref.gateway import ORDERS_PATH
from exchange_ref.http_client import HttpClient, HttpFailure, Response
from exchange_ref.telemetry import fail, headers_of, trace_id_of, under


@dataclass(frozen=True, slots=True)
class NewOrder:
    """What a trader wants."""

    user_id: str
    client_order_id: str
    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it. `status` is HTTP's, 0 without an answer; `reply` is the body, an error's included."""

    trace_id: str
    status: int
    reply: dict[str, Any]

    @property
    def accepted(self) -> bool:
        return self.status == 201


class Wallet:
    def __init__(self, gateway: HttpClient, tracer: Tracer) -> None:
        self._gateway = gateway
        self._tracer = tracer

    async def submit(self, order: NewOrder) -> Outcome:
        """Send an order and wait for its answer; never raises for a refused order or a lost gateway."""
        root = self._tracer.start_span(
            "order.submit.client", context=Context(), attributes=_attributes(order)
        )
        try:
            response = await self._post(order, root)
            reply: dict[str, Any] = json.loads(response.body)
            outcome = Outcome(trace_id_of(root), response.status, reply)
            self._receive(outcome, root)
        except (HttpFailure, ValueError) as failure:  # no answer, or one that is not JSON
            fail(root, type(failure).__name__, str(failure))
            outcome = Outcome(
                trace_id_of(root), 0, {"error": {"code": "bad_gateway", "message": str(failure)}}
            )
        finally:
            root.end()
        return outcome

    async def _post(self, order: NewOrder, root: Span) -> Response:
        gateway = self._gateway
        span = self._tracer.start_span(
            "POST",
            context=under(root),
            kind=SpanKind.CLIENT,
            attributes={
                "http.request.method": "POST",
                "url.full": f"http://{gateway.host}:{gateway.port}{ORDERS_PATH}",
                "server.address": gateway.host,
                "server.port": gateway.port,
            },
        )
        headers = {**headers_of(span), "content-type": "application/json", "x-user-id": order.user_id}
        try:
            response = await gateway.request("POST", ORDERS_PATH, headers, _body(order))
            span.set_attribute("http.response.status_code", response.status)
            if response.status >= 400:
                fail(span, str(response.status), "")
            return response
        except HttpFailure as failure:
            fail(span, "HttpFailure", str(failure))
            raise
        finally:
            span.end()

    def _receive(self, outcome: Outcome, root: Span) -> None:
        span = self._tracer.start_span("order.response.received", context=under(root))
        reply = outcome.reply
        if outcome.status >= 400:
            error = reply["error"]
            span.set_attribute("order.status", "REJECTED")
            root.set_attribute("order.status", "REJECTED")
            fail(root, error["code"], error["message"])
        else:
            attributes = {"order.id": reply["order_id"], "order.status": reply["status"]}
            if reply.get("fill_price") is not None:
                attributes["order.fill_price"] = reply["fill_price"]
            span.set_attributes(attributes)
            root.set_attributes(attributes)
        span.end()


def _attributes(order: NewOrder) -> dict[str, str | float]:
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


def _body(order: NewOrder) -> bytes:
    fields = {
        "client_order_id": order.client_order_id,
        "pair": order.symbol,
        "side": str(order.side),
        "type": str(order.type),
        "quantity": str(order.quantity),
    }
    if order.price is not None:
        fields["price"] = str(order.price)
    return json.dumps(fields).encode()
