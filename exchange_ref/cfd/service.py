"""The life of a contract for difference between its HTTP request, or the price that ends it, and its end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import astuple
from decimal import Decimal

from opentelemetry.trace import Span

from exchange_ref.cfd.attributes import change_attributes, price_of, trade_attributes
from exchange_ref.cfd.exposure import check_exposure
from exchange_ref.cfd.models import TradeReply, TradeRequest
from exchange_ref.cfd.pricing import MARGIN_ASSET, check_levels, profit_units
from exchange_ref.cfd.words import CloseTrade, OpenTrade, TradeChange, TradeSide, TradeStatus
from exchange_ref.engine.instruments import PAIRS, UNITS_PER_ASSET
from exchange_ref.engine.messages import encode_command
from exchange_ref.engine.orders import OrderRejected, Result, Status
from exchange_ref.market.prices import PriceFeed, Quote, note_price
from exchange_ref.services.api.database import Database
from exchange_ref.services.api.statements import (
    INSERT_CFD_TRADES,
    RESET_CFD_TRADES,
    SELECT_CFD_TRADE,
    SELECT_CFD_TRADES,
    UPDATE_CFD_TRADES,
)
from exchange_ref.services.api.wallets import Wallets


class TradeService:
    """`open` are the positions that somebody has to watch, by id; one whose answer was lost is among them.

    Args:
        new_id: gives trade ids that never repeat.
        now_ns: the clock, nanoseconds since 1970.
    """

    def __init__(
        self,
        wallets: Wallets,
        prices: PriceFeed,
        new_id: Callable[[], str],
        now_ns: Callable[[], int],
    ) -> None:
        self._wallets = wallets
        self._traced = wallets.traced
        self._matcher = wallets.matcher
        self._prices = prices
        self._new_id = new_id
        self._now_ns = now_ns
        self.open: dict[str, OpenTrade] = {}
        # Not yet watched, for the matcher does not know them; they count as exposure already.
        self._opening: dict[str, OpenTrade] = {}

    async def restore(self, trades: list[OpenTrade], ended: list[TradeChange], database: Database) -> None:
        """Take over the matcher's state at a start: what is `open`, and how others `ended` while the database
        did not learn of it. Rows that are neither count as closed or as never opened."""
        self.open = {trade.trade_id: trade for trade in trades}
        rows = [(str(one.status), one.price_ticks, one.profit_units, one.trade_id) for one in ended]
        await database.write((UPDATE_CFD_TRADES, rows), (RESET_CFD_TRADES, [(json.dumps(list(self.open)),)]))

    async def submit(self, user_id: str, request: TradeRequest, server: Span) -> tuple[TradeReply, bool]:
        """Open a position; returns the answer and whether the client trade id was a repeat.

        Raises:
            OrderRejected: a level that would fire at once, too little money, or too much open.
            NoReply, MatcherFailed: as the matcher's client.
        """
        trade = await self._trade(user_id, request, server)
        server.set_attributes(trade_attributes(trade))
        check_levels(trade)
        await self._wallets.check_funds(user_id, MARGIN_ASSET, trade.margin_units, server)
        check_exposure([*self.open.values(), *self._opening.values()], trade)
        self._opening[trade.trade_id] = trade
        try:
            row = (*map(_plain, astuple(trade)), self._now_ns())
            await self._traced.write(INSERT_CFD_TRADES, [row], server)
        finally:
            del self._opening[trade.trade_id]
        # Watched before it is answered for: an answer can be lost, and the position is open all the same.
        self.open[trade.trade_id] = trade
        result = await self._execute(trade, server)
        if result.repeated or result.trade is None:
            self.open.pop(trade.trade_id, None)
        if result.trade is None:
            server.set_attribute("cfd.status", str(Status.REJECTED))
            raise OrderRejected("insufficient_funds", result.reason)
        reply = _reply(trade, result.trade.status, result.trade.price_ticks, result.trade.profit_units)
        return reply.model_copy(update={"trade_id": result.order_id}), result.repeated

    async def close(self, user_id: str, trade_id: str, server: Span) -> TradeReply:
        """End a user's position at the reference price; one that has ended answers how it did.

        Raises:
            OrderRejected: there is none.
            NoReply, MatcherFailed: as the matcher's client.
        """
        rows = await self._traced.read(SELECT_CFD_TRADE, (trade_id,), server)
        if not rows or rows[0][1] != user_id:
            raise OrderRejected("not_found", f"there is no trade {trade_id!r} of this user")
        trade = _trade_of(rows[0])
        server.set_attributes(trade_attributes(trade))
        ticks = await self._ticks(trade.asset, server)
        return await self.end(trade, ticks, TradeStatus.CLOSED, server)

    async def end(self, trade: OpenTrade, price_ticks: int, status: TradeStatus, parent: Span) -> TradeReply:
        """End a position at a price, as part of the request or operation of `parent`.

        Raises:
            OrderRejected: it is not open; nothing has changed.
            NoReply, MatcherFailed: as the matcher's client.
        """
        try:
            result = await self._execute(
                CloseTrade(trade.trade_id, trade.user_id, price_ticks, status), parent
            )
        except OrderRejected:  # it ended long ago, or was never opened
            self.open.pop(trade.trade_id, None)
            raise
        self.open.pop(trade.trade_id, None)
        assert result.trade is not None
        return _reply(trade, result.trade.status, result.trade.price_ticks, result.trade.profit_units)

    async def of_user(self, user_id: str, server: Span) -> list[TradeReply]:
        """The newest hundred, the open ones as they stand at the newest price."""
        rows = await self._traced.read(SELECT_CFD_TRADES, (user_id,), server)
        return [self._standing(row) for row in rows]

    def counts(self) -> Mapping[str, int]:
        """Open positions by asset, assets without any included."""
        found = Counter(trade.asset for trade in self.open.values())
        return {pair.base: found[pair.base] for pair in PAIRS.values()}

    async def _execute(self, command: OpenTrade | CloseTrade, parent: Span) -> Result:
        result = await self._matcher.execute(encode_command(command), parent, "cfd")
        await self._traced.settle_trade(result, parent)
        if result.trade is not None:
            parent.set_attributes(change_attributes(result.trade))
        return result

    async def _trade(self, user_id: str, request: TradeRequest, server: Span) -> OpenTrade:
        pair = PAIRS[f"{request.asset}/{MARGIN_ASSET}"]
        trade_id = self._new_id()
        margin_units = request.margin * UNITS_PER_ASSET
        if margin_units != int(margin_units):
            message = f"margin {request.margin} has more than 8 decimal places"
            raise OrderRejected("invalid_trade", message, {"field": "margin"})
        levels = {"stop_loss": request.stop_loss, "take_profit": request.take_profit}
        ticks = {name: _level_ticks(name, level, pair.tick) for name, level in levels.items()}
        return OpenTrade(
            trade_id=trade_id,
            user_id=user_id,
            client_trade_id=request.client_trade_id or trade_id,
            asset=request.asset,
            side=request.side,
            leverage=request.leverage,
            margin_units=int(margin_units),
            entry_ticks=await self._ticks(request.asset, server),
            stop_loss_ticks=ticks["stop_loss"],
            take_profit_ticks=ticks["take_profit"],
        )

    async def _ticks(self, asset: str, server: Span) -> int:
        """The reference price, not older than a price may be, noted on the request's span."""
        quote = await self._prices.fresh(f"{asset}/{MARGIN_ASSET}")
        note_price(server, quote, self._now_ns())
        return quote_ticks(asset, quote)

    def _standing(self, row: tuple[object, ...]) -> TradeReply:
        trade = _trade_of(row)
        status, price_ticks, profit = str(row[10]), int(str(row[11])), int(str(row[12]))
        if status == TradeStatus.OPEN:
            price_ticks = quote_ticks(trade.asset, self._prices.newest(f"{trade.asset}/{MARGIN_ASSET}"))
            profit = max(profit_units(trade, price_ticks), -trade.margin_units)
        return _reply(trade, status, price_ticks, profit)


def quote_ticks(asset: str, quote: Quote) -> int:
    """A reference price as the nearest number of ticks, at least one."""
    return max(1, round(quote.price / float(PAIRS[f"{asset}/{MARGIN_ASSET}"].tick)))


def _level_ticks(name: str, level: Decimal | None, tick: Decimal) -> int:
    if level is None:
        return 0
    steps, rest = divmod(level, tick)
    if rest:
        message = f"{name} {level} is not a multiple of the tick size {tick}"
        raise OrderRejected("invalid_trade", message, {"field": name, "step": str(tick)})
    return int(steps)


def _plain(value: object) -> object:
    """Enumerations as their texts, for the database."""
    return str(value) if isinstance(value, TradeSide) else value


def _trade_of(row: tuple[object, ...]) -> OpenTrade:
    trade_id, user_id, client_trade_id, asset, side, *figures = row[:10]
    return OpenTrade(
        str(trade_id),
        str(user_id),
        str(client_trade_id),
        str(asset),
        TradeSide(str(side)),
        *(int(str(figure)) for figure in figures),
    )


def _reply(trade: OpenTrade, status: str, price_ticks: int, profit: int) -> TradeReply:
    asset = trade.asset
    return TradeReply(
        trade_id=trade.trade_id,
        asset=asset,
        side=str(trade.side),
        leverage=trade.leverage,
        margin=trade.margin_units / UNITS_PER_ASSET,
        entry_price=price_of(asset, trade.entry_ticks),
        stop_loss=price_of(asset, trade.stop_loss_ticks) if trade.stop_loss_ticks else None,
        take_profit=price_of(asset, trade.take_profit_ticks) if trade.take_profit_ticks else None,
        status=str(status),
        price=price_of(asset, price_ticks),
        profit=profit / UNITS_PER_ASSET,
    )
