"""The life of an order between its HTTP request and its answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from opentelemetry.trace import Span

from exchange_ref.engine.attributes import order_attributes, result_attributes, slippage_bps, slippage_of
from exchange_ref.engine.instruments import PAIRS, UNITS_PER_ASSET
from exchange_ref.engine.messages import encode_command
from exchange_ref.engine.orders import Cancel, Order, OrderRejected, OrderType, Result, Side, Status
from exchange_ref.market.prices import PriceFeed, note_price
from exchange_ref.services.api.fees import FeeTiers
from exchange_ref.services.api.models import OrderReply, OrderRequest
from exchange_ref.services.api.statements import (
    INSERT_ORDERS,
    SELECT_ALL_ORDERS,
    SELECT_OPEN_ORDERS,
    SELECT_ORDERS,
)
from exchange_ref.services.api.wallets import Wallets
from exchange_ref.telemetry.log_export import ServiceLog
from exchange_ref.telemetry.metrics import Metrics

# Two minutes at 50 orders/s.
MAX_REMEMBERED_PRICES = 6_000
MAX_LISTED_ORDERS = 500


class OrderService:
    """
    Args:
        new_id: gives order ids that never repeat.
        now_ns: the clock, nanoseconds since 1970.
    """

    def __init__(
        self,
        wallets: Wallets,
        prices: PriceFeed,
        *,
        log: ServiceLog,
        metrics: Metrics,
        new_id: Callable[[], str],
        now_ns: Callable[[], int],
    ) -> None:
        self._wallets = wallets
        self._traced = wallets.traced
        self._matcher = wallets.matcher
        self._prices = prices
        self._log = log
        self._metrics = metrics
        self._new_id = new_id
        self._now_ns = now_ns
        self._last_price_ticks = {symbol: pair.ticks(pair.opening_price) for symbol, pair in PAIRS.items()}
        self.fees = FeeTiers()
        # (trace id, unix_nano, age in ms) of the price that each of the newest orders was valued by.
        self.priced: deque[tuple[int, int, float]] = deque(maxlen=MAX_REMEMBERED_PRICES)
        # Awaited with each order before anything is read or written.
        self.admitting: list[Callable[[Order], Awaitable[None]]] = []

    async def submit(self, user_id: str, request: OrderRequest, server: Span) -> tuple[OrderReply, bool]:
        """Place an order; returns its answer and whether the client order id was a repeat.

        Raises:
            OrderRejected: the order cannot be taken; `details` has the order that already has this client id.
            NoReply: the matcher did not answer in time.
            MatcherFailed: the matcher could not execute it.
        """
        order = self._order(user_id, request)
        server.set_attributes(order_attributes(order))
        server.set_attribute("user.fee_tier", self.fees.tier_of(user_id))
        for admit in self.admitting:
            await admit(order)
        market_price = await self._price(order, server)
        await self._wallets.check_funds(user_id, *_cost(order, market_price), server)
        await self._traced.write(INSERT_ORDERS, [_row(order)], server)
        try:
            result = await self._matcher.execute(encode_command(order), server)
        except OrderRejected as rejection:
            raise await self._with_stored(rejection, user_id, server) from None
        await self._traced.settle(result, server)
        server.set_attributes(result_attributes(order, result))
        self._measure(order, result, server)
        self._log.info(server, f"order {result.status}", {"order.id": result.order_id})
        if result.status is Status.REJECTED:
            raise OrderRejected(result.code, result.reason)
        if result.fills:
            self._last_price_ticks[order.symbol] = result.fills[-1].price_ticks
        return _reply(order, result), result.repeated

    async def _with_stored(self, rejection: OrderRejected, user_id: str, server: Span) -> OrderRejected:
        if rejection.code != "conflict":
            return rejection
        stored = await self.find(user_id, str(rejection.details["order_id"]), server)
        return OrderRejected(rejection.code, rejection.message, {"order": stored.model_dump(mode="json")})

    async def cancel(self, user_id: str, order_id: str, server: Span) -> OrderReply:
        """Take a resting order out of the book.

        Raises:
            OrderRejected: there is none of this user, or it does not rest (any more).
            NoReply, MatcherFailed: as the matcher's client.
        """
        order = await self.find(user_id, order_id, server)
        server.set_attributes({"order.id": order_id, "order.pair": order.pair, "user.id": user_id})
        command = encode_command(Cancel(order_id, user_id, order.pair))
        result = await self._matcher.execute(command, server)
        await self._traced.settle(result, server)
        server.set_attribute("order.status", str(result.status))
        pair = PAIRS[order.pair]
        return order.model_copy(
            update={
                "status": str(result.status),
                "filled_quantity": float(result.filled_lots * pair.lot),
                "fill_price": pair.mean_price(result.quote_units, result.filled_lots),
            }
        )

    async def find(self, user_id: str, order_id: str, server: Span) -> OrderReply:
        """A user's order as it stands.

        Raises:
            OrderRejected: there is none.
        """
        rows = await self._traced.read(SELECT_ORDERS, (order_id,), server)
        if not rows or rows[0][1] != user_id:
            raise OrderRejected("not_found", f"there is no order {order_id!r} of this user")
        return _stored(rows[0])

    async def open(self, user_id: str, server: Span) -> list[OrderReply]:
        """A user's orders that rest or wait for a stop, the newest first; `MAX_LISTED_ORDERS` at most."""
        rows = await self._traced.read(SELECT_OPEN_ORDERS, (user_id, MAX_LISTED_ORDERS), server)
        return [_stored(row) for row in rows]

    async def all(self, user_id: str, before: str | None, server: Span) -> list[OrderReply]:
        """A user's orders, the newest first; `MAX_LISTED_ORDERS` at most.

        Args:
            before: an order id, to go on behind it.
        """
        rows = await self._traced.read(SELECT_ALL_ORDERS, (user_id, before, MAX_LISTED_ORDERS), server)
        return [_stored(row) for row in rows]

    def last_price(self, symbol: str) -> float:
        """What `symbol` was last traded at, in quote per base; its opening price before the first trade."""
        return float(self._last_price_ticks[symbol] * PAIRS[symbol].tick)

    def _measure(self, order: Order, result: Result, server: Span) -> None:
        pair = PAIRS[order.symbol]
        self._metrics.order(server, order.symbol, str(order.side), str(result.status))
        if result.repeated or result.status is Status.REJECTED:
            return
        self._metrics.filled(
            order.symbol,
            float(order.quantity_lots * pair.lot),
            float(result.filled_lots * pair.lot),
            paid=result.quote_units / UNITS_PER_ASSET,
            matches=len(result.fills),
        )

    def _order(self, user_id: str, request: OrderRequest) -> Order:
        pair, now_ns = PAIRS[request.pair], self._now_ns()
        return Order(
            order_id=self._new_id(),
            user_id=user_id,
            client_order_id=request.client_order_id,
            symbol=pair.symbol,
            side=request.side,
            type=request.type,
            price_ticks=pair.ticks(request.price) if request.price is not None else 0,
            quantity_lots=pair.lots(request.quantity),
            created_unix_nano=now_ns,
            time_in_force=request.time_in_force,
            expires_unix_nano=now_ns + round(request.good_for_s * 1e9) if request.good_for_s else 0,
            self_trade=request.self_trade,
            stop_ticks=pair.ticks(request.stop_price) if request.stop_price is not None else 0,
        )

    async def _price(self, order: Order, server: Span) -> float:
        """What the pair is worth outside, noted on the order's span. Only a market order, which has no price
        of its own, waits for a fresh one."""
        if order.type is OrderType.MARKET:
            quote = await self._prices.fresh(order.symbol)
        else:
            quote = self._prices.newest(order.symbol)
        pair, now_ns = PAIRS[order.symbol], self._now_ns()
        age_ms = note_price(server, quote, now_ns)
        price = float(order.hold_ticks * pair.tick) or quote.price
        server.set_attribute("order.value_usd", float(order.quantity_lots * pair.lot) * price)
        self.priced.append((server.get_span_context().trace_id, now_ns, age_ms))
        return quote.price


def _cost(order: Order, market_price: float) -> tuple[str, int]:
    """The asset that an order needs, and how many units of it."""
    pair = PAIRS[order.symbol]
    if order.side is Side.SELL:
        return pair.base, pair.base_units(order.quantity_lots)
    price_ticks = order.hold_ticks or round(market_price / float(pair.tick))
    return pair.quote, pair.notional_units(price_ticks, order.quantity_lots)


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
        str(order.time_in_force),
        order.expires_unix_nano,
        order.stop_ticks,
    )


def _stored(row: tuple[Any, ...]) -> OrderReply:
    """
    Args:
        row: columns of `sql/select_orders.sql`.
    """
    order_id, _, client_order_id, symbol, side, kind, price_ticks, quantity_lots, filled_lots, status = row[
        :10
    ]
    time_in_force, expires_unix_nano, quote_units, stop_ticks, triggered = row[10:]
    pair = PAIRS[symbol]
    fill_price = pair.mean_price(quote_units, filled_lots) if quote_units else None
    stop_price = _limit(symbol, stop_ticks)
    return OrderReply(
        order_id=order_id,
        client_order_id=client_order_id,
        pair=symbol,
        side=side,
        type=kind,
        status=status,
        quantity=float(quantity_lots * pair.lot),
        filled_quantity=float(filled_lots * pair.lot),
        price=_limit(symbol, price_ticks),
        time_in_force=time_in_force,
        expires_at=_moment(expires_unix_nano),
        fill_price=fill_price,
        stop_price=stop_price,
        triggered=bool(triggered) if stop_ticks else None,
        slippage_bps=slippage_bps(Side(side), stop_price, fill_price) if stop_price and fill_price else None,
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
        price=_limit(order.symbol, order.price_ticks),
        time_in_force=str(order.time_in_force),
        expires_at=_moment(order.expires_unix_nano),
        fill_price=pair.mean_price(result.quote_units, result.filled_lots),
        stop_price=_limit(order.symbol, order.stop_ticks),
        triggered=False if order.stop_ticks else None,
        slippage_bps=slippage_of(order, result),
    )


def _limit(symbol: str, price_ticks: int) -> float | None:
    return float(price_ticks * PAIRS[symbol].tick) if price_ticks else None


def _moment(unix_nano: int) -> str | None:
    return moment(unix_nano) if unix_nano else None


def moment(unix_nano: int) -> str:
    """A time as RFC 3339."""
    return datetime.fromtimestamp(unix_nano / 1e9, UTC).isoformat().replace("+00:00", "Z")
