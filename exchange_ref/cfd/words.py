"""Types of contracts for difference: commands, and the changes of a trade. All integers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class TradeSide(StrEnum):
    LONG = "LONG"
    SHORT = "SHORT"


class TradeStatus(StrEnum):
    """How a trade stands, and once it has ended, why."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"
    STOPPED = "STOPPED"
    TAKEN = "TAKEN"
    LIQUIDATED = "LIQUIDATED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True)
class OpenTrade:
    """A position as it is opened, and as it stays until it ends. A repeated `client_trade_id` of the same
    user opens nothing again.

    Args:
        margin_units: USD in units of 1e-8, the most that can be lost.
        entry_ticks: the reference price at which it was opened.
        stop_loss_ticks: 0 for none.
        take_profit_ticks: 0 for none.
    """

    trade_id: str
    user_id: str
    client_trade_id: str
    asset: str
    side: TradeSide
    leverage: int
    margin_units: int
    entry_ticks: int
    stop_loss_ticks: int
    take_profit_ticks: int


@dataclass(frozen=True, slots=True)
class CloseTrade:
    """End a position at a price; `status` says why. The price is part of the command, so that a journal of
    commands rebuilds every balance."""

    trade_id: str
    user_id: str
    price_ticks: int
    status: TradeStatus = TradeStatus.CLOSED


class TradeChange(NamedTuple):
    """What a command did to a trade.

    Args:
        price_ticks: the entry's of an open trade, else that at which it ended.
        profit_units: what the trader has gained, or lost if below zero; never less than minus the margin.
        shortfall_units: the loss beyond the margin, which the insurance bears.
    """

    trade_id: str
    status: TradeStatus
    price_ticks: int
    profit_units: int = 0
    shortfall_units: int = 0
