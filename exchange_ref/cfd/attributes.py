"""Trades as span attributes: amounts as doubles in USD, prices in USD per asset."""

from __future__ import annotations

from exchange_ref.cfd.words import CloseTrade, OpenTrade, TradeChange, TradeStatus
from exchange_ref.engine.instruments import PAIRS, UNITS_PER_ASSET


def price_of(asset: str, ticks: int) -> float:
    return float(ticks * PAIRS[f"{asset}/USD"].tick)


def trade_attributes(trade: OpenTrade) -> dict[str, str | float]:
    attributes: dict[str, str | float] = {
        "cfd.id": trade.trade_id,
        "cfd.asset": trade.asset,
        "cfd.side": str(trade.side),
        "cfd.leverage": trade.leverage,
        "cfd.margin_usd": trade.margin_units / UNITS_PER_ASSET,
        "cfd.entry_price_usd": price_of(trade.asset, trade.entry_ticks),
        "user.id": trade.user_id,
    }
    if trade.stop_loss_ticks:
        attributes["cfd.stop_loss_usd"] = price_of(trade.asset, trade.stop_loss_ticks)
    if trade.take_profit_ticks:
        attributes["cfd.take_profit_usd"] = price_of(trade.asset, trade.take_profit_ticks)
    return attributes


def command_attributes(command: OpenTrade | CloseTrade) -> dict[str, str | float]:
    """What the matcher knows of the trade before it has executed the command."""
    if isinstance(command, OpenTrade):
        return trade_attributes(command)
    return {"cfd.id": command.trade_id, "user.id": command.user_id}


def change_attributes(change: TradeChange) -> dict[str, str | float]:
    """What became of a trade; money only where some changed hands."""
    attributes: dict[str, str | float] = {"cfd.id": change.trade_id, "cfd.status": str(change.status)}
    if change.status is not TradeStatus.OPEN:
        attributes["cfd.profit_usd"] = change.profit_units / UNITS_PER_ASSET
    if change.shortfall_units:
        attributes["cfd.shortfall_usd"] = change.shortfall_units / UNITS_PER_ASSET
    return attributes
