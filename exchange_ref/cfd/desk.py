"""The house, which is the other side of every position: opens and settles over the ledger. Deterministic.

Margin is locked like the money of an order. A loss goes from it to the house, which pays the profits. What a
price moved beyond the margin is not the trader's: the insurance makes it good to the house as far as it can.
A profit that house and insurance together cannot pay is cut to what they can, so that no account is ever
below zero and no unit comes from nowhere.
"""

from __future__ import annotations

from exchange_ref.cfd.pricing import MARGIN_ASSET, profit_units
from exchange_ref.cfd.words import CloseTrade, OpenTrade, TradeChange, TradeStatus
from exchange_ref.engine.ledger import HOUSE_ACCOUNT, INSURANCE_ACCOUNT, Ledger
from exchange_ref.engine.orders import OrderRejected


class Desk:
    """The open positions."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._trades: dict[str, OpenTrade] = {}

    def trades(self) -> list[OpenTrade]:
        """All that are open, oldest first."""
        return list(self._trades.values())

    def open(self, trade: OpenTrade) -> TradeChange:
        """Lock the margin and take the other side.

        Raises:
            OrderRejected: the margin is not available; nothing has changed.
        """
        self._ledger.lock(trade.user_id, MARGIN_ASSET, trade.margin_units)
        self._trades[trade.trade_id] = trade
        return TradeChange(trade.trade_id, TradeStatus.OPEN, trade.entry_ticks)

    def check_close(self, close: CloseTrade) -> OpenTrade:
        """The position that is to end.

        Raises:
            OrderRejected: no such position of this user is open.
        """
        trade = self._trades.get(close.trade_id)
        if trade is None or trade.user_id != close.user_id:
            raise OrderRejected("not_found", f"no trade {close.trade_id} of this user is open")
        return trade

    def close(self, close: CloseTrade) -> TradeChange:
        """Settle a position at a price.

        Raises:
            OrderRejected: as `check_close`; nothing has changed.
        """
        trade = self.check_close(close)
        del self._trades[close.trade_id]
        profit = profit_units(trade, close.price_ticks)
        if profit >= 0:
            paid = self._pay(trade, profit)
            return TradeChange(trade.trade_id, close.status, close.price_ticks, paid)
        lost = min(-profit, trade.margin_units)
        shortfall = -profit - lost
        self._ledger.pay_locked(trade.user_id, MARGIN_ASSET, lost)
        self._ledger.unlock(trade.user_id, MARGIN_ASSET, trade.margin_units - lost)
        self._ledger.receive(HOUSE_ACCOUNT, MARGIN_ASSET, lost, 0)
        self._hand_over(INSURANCE_ACCOUNT, HOUSE_ACCOUNT, shortfall)
        status = TradeStatus.LIQUIDATED if lost == trade.margin_units else close.status
        return TradeChange(trade.trade_id, status, close.price_ticks, -lost, shortfall)

    def _pay(self, trade: OpenTrade, profit: int) -> int:
        """Margin back and profit on top; returns how much of the profit there was money for."""
        self._ledger.unlock(trade.user_id, MARGIN_ASSET, trade.margin_units)
        paid = self._hand_over(HOUSE_ACCOUNT, trade.user_id, profit)
        return paid + self._hand_over(INSURANCE_ACCOUNT, trade.user_id, profit - paid)

    def _hand_over(self, payer: str, receiver: str, units: int) -> int:
        """Move `units`, or what the payer has of them; returns how many."""
        units = min(units, self._ledger.balance(payer, MARGIN_ASSET).available_units)
        if units:
            self._ledger.pay_available(payer, MARGIN_ASSET, units)
            self._ledger.receive(receiver, MARGIN_ASSET, units, 0)
        return units
