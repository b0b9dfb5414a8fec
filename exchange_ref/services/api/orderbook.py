"""`/api/orderbook`: single resting orders, and limit orders in their shortest form."""

from __future__ import annotations

import uuid
from decimal import Decimal
from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from exchange_ref.engine.engine import Engine
from exchange_ref.engine.instruments import PAIRS
from exchange_ref.engine.orders import Order, OrderType, Side
from exchange_ref.services.api.market_routes import MAX_LEVELS, PairName, find_pair
from exchange_ref.services.api.models import OrderRequest
from exchange_ref.services.api.orders import OrderService
from exchange_ref.services.api.server_spans import SPAN_KEY
from exchange_ref.services.api.user import UserId

ORDERBOOK_PATH = "/api/v1/orderbook"


class BookOrderRequest(BaseModel):
    """A limit order; `id` is its client order id, one is made where there is none."""

    model_config = ConfigDict(extra="forbid")

    id: str | None = Field(default=None, min_length=1, max_length=64)
    pair: str = "BTC/USD"
    price: Decimal = Field(gt=0, max_digits=20)
    size: Decimal = Field(gt=0, max_digits=20)
    side: Side


class BookOrder(BaseModel):
    """An order of a book, by the exchange's order id; `size` is what rests of it."""

    id: str
    price: float
    size: float
    side: str


def orderbook_routes(engine: Engine, orders: OrderService) -> APIRouter:
    router = APIRouter()

    @router.get(ORDERBOOK_PATH)
    async def get_orderbook(
        pair: PairName = "BTC/USD", limit: Annotated[int, Query(ge=1, le=MAX_LEVELS)] = 50
    ) -> list[BookOrder]:
        """The best `limit` orders of each side, bids first."""
        book = engine.books[find_pair(pair).symbol]
        return [_shown(order) for side in Side for order in islice(book.orders_of(side), limit)]

    @router.post(ORDERBOOK_PATH, status_code=201)
    async def post_orderbook(
        body: BookOrderRequest, user_id: UserId, request: Request, response: Response
    ) -> BookOrder:
        order = OrderRequest(
            client_order_id=body.id or uuid.uuid4().hex,
            pair=find_pair(body.pair).symbol,
            side=body.side,
            type=OrderType.LIMIT,
            quantity=body.size,
            price=body.price,
        )
        reply, repeated = await orders.submit(user_id, order, request.scope[SPAN_KEY])
        if repeated:
            response.status_code = 200
        rests = float(body.size - Decimal(str(reply.filled_quantity)))
        return BookOrder(id=reply.order_id, price=float(body.price), size=rests, side=reply.side)

    return router


def _shown(order: Order) -> BookOrder:
    pair = PAIRS[order.symbol]
    return BookOrder(
        id=order.order_id,
        price=float(order.price_ticks * pair.tick),
        size=float(order.remaining_lots * pair.lot),
        side=str(order.side),
    )
