"""The worth of a position, and the prices that end it. Pure, in integers."""

from __future__ import annotations

from exchange_ref.cfd.words import OpenTrade, TradeSide, TradeStatus
from exchange_ref.engine.orders import OrderRejected

MARGIN_ASSET = "USD"
MAX_LEVERAGE = 100


def profit_units(trade: OpenTrade, price_ticks: int) -> int:
    """Profit in USD units at a price, below zero for a loss: margin × leverage × relative move.

    Rounded down, so a fraction of a unit never goes to the trader.

    >>> long = OpenTrade("t", "ann", "c", "BTC", TradeSide.LONG, 10, 1_000, 300, 0, 0)
    >>> profit_units(long, 303), profit_units(long, 299), profit_units(long, 200)
    (100, -34, -3334)
    """
    move_ticks = price_ticks - trade.entry_ticks
    if trade.side is TradeSide.SHORT:
        move_ticks = -move_ticks
    return trade.margin_units * trade.leverage * move_ticks // trade.entry_ticks


def ending(trade: OpenTrade, price_ticks: int) -> TradeStatus | None:
    """Why the trade ends at this price; None while it goes on. What has used up its margin is liquidated even
    if a stop lies on the way: at this price there is nothing left to stop."""
    if profit_units(trade, price_ticks) <= -trade.margin_units:
        return TradeStatus.LIQUIDATED
    sign = 1 if trade.side is TradeSide.LONG else -1
    if trade.stop_loss_ticks and sign * (price_ticks - trade.stop_loss_ticks) <= 0:
        return TradeStatus.STOPPED
    if trade.take_profit_ticks and sign * (price_ticks - trade.take_profit_ticks) >= 0:
        return TradeStatus.TAKEN
    return None


def check_levels(trade: OpenTrade) -> None:
    """
    Raises:
        OrderRejected: stop-loss or take-profit would end the trade at the price at which it opens.
    """
    would = ending(trade, trade.entry_ticks)
    if would is None:
        return
    field = "stop_loss" if would is TradeStatus.STOPPED else "take_profit"
    below = (trade.side is TradeSide.LONG) is (field == "stop_loss")
    raise OrderRejected(
        "invalid_trade",
        f"the {field} of a {trade.side} must lie {'below' if below else 'above'} the price, "
        "or it would fire at once",
        {"field": field},
    )
