"""The engine: books, ledger and the desk of contracts for difference behind six commands.

Deterministic, so that a journal rebuilds its state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from exchange_ref.cfd.desk import Desk
from exchange_ref.cfd.words import CloseTrade, OpenTrade, TradeChange
from exchange_ref.engine.identity import Idempotent, identity_of
from exchange_ref.engine.instruments import PAIRS, Pair
from exchange_ref.engine.ledger import FEE_ACCOUNT
from exchange_ref.engine.markets import Markets, order_change
from exchange_ref.engine.orders import (
    Cancel,
    Deposit,
    Order,
    OrderChange,
    OrderRejected,
    Result,
    Status,
    Transfer,
    Withdrawal,
    WithdrawalStage,
)
from exchange_ref.engine.payouts import settle
from exchange_ref.engine.remembered import Content, Key, Remembered

# How many client order ids are remembered: half an hour at 50 orders/s, about 60 MB at most.
MAX_REMEMBERED_ORDERS = 100_000
C = TypeVar("C", bound=Idempotent)


class Engine(Markets):
    """Match orders, keep balances.

    Orders that are GTD are looked through before each order, by that order's time: an engine without traffic
    keeps its book.
    """

    def __init__(self, *, pairs: Mapping[str, Pair] = PAIRS) -> None:
        super().__init__(pairs)
        self.desk = Desk(self.ledger)
        # Those that are reserved and neither paid nor given back.
        self.withdrawals: dict[str, Withdrawal] = {}
        self.remembered = Remembered(MAX_REMEMBERED_ORDERS)

    def state(self) -> tuple[Any, ...]:
        """All that later answers depend on but `remembered`, to be pickled at once: parts share objects."""
        parts = (self.ledger, self.desk, self.books, self.stops, self.tapes)
        return (*parts, self.withdrawals, self.expiries.state())

    def restore(self, state: tuple[Any, ...]) -> None:
        """Take over what `state` gave. Nobody may hold parts of this engine yet."""
        self.ledger, self.desk, self.books, self.stops, self.tapes, self.withdrawals, expiries = state
        self.expiries.restore(expiries)

    def seen(self, command: Idempotent) -> Result | None:
        """The first result of a command that was executed already; None for a new one.

        Raises:
            OrderRejected: the client has used this id for something else; `details` has its `order_id`.
        """
        return self._first(*identity_of(command))

    def deposit(self, deposit: Deposit) -> Result:
        """Credit money from outside; a repeated `deposit_id` credits nothing again.

        Raises:
            OrderRejected: not above zero, or more than all accounts can hold; or as `seen`.
        """
        return self._once(deposit, self._deposit) if deposit.deposit_id else self._deposit(deposit)

    def _deposit(self, deposit: Deposit) -> Result:
        self.ledger.deposit(deposit.user_id, deposit.asset, deposit.units)
        if deposit.fee_units:
            self.ledger.move(deposit.user_id, FEE_ACCOUNT, deposit.asset, deposit.fee_units)
        return Result("", Status.NEW, balances=self.ledger.take_changes())

    def submit(self, order: Order) -> Result:
        """Execute an order; a bad one gets the status REJECTED and its reason.

        Raises:
            OrderRejected: as `seen`.
        """
        return self._once(order, self._submit)

    def _submit(self, order: Order) -> Result:
        orders: list[OrderChange] = []
        self.expire(order.created_unix_nano, orders)
        try:
            fills, status = self.wait(order) if order.stop_ticks else self.execute(order, orders)
            reason = code = ""
        except OrderRejected as rejection:
            fills, status, reason, code = [], Status.REJECTED, rejection.message, rejection.code
        own = order_change(order, status)
        orders.append(own)
        if fills:
            self.trigger(order.symbol, order.created_unix_nano, orders)
        return Result(
            order_id=order.order_id,
            status=status,
            filled_lots=own.filled_lots,
            quote_units=own.quote_units,
            fills=tuple(fills),
            balances=self.ledger.take_changes(),
            reason=reason,
            code=code,
            orders=tuple(orders),
        )

    def check_cancel(self, cancel: Cancel) -> Order:
        """The order that a cancel takes out of its book, or out of those that wait for a price.

        Raises:
            OrderRejected: no such order of this user rests.
        """
        order = self.open_order(cancel.symbol, cancel.order_id) if cancel.symbol in self.books else None
        if order is None or order.user_id != cancel.user_id:
            raise OrderRejected(
                "not_found", f"no order {cancel.order_id} of this user rests in the {cancel.symbol} book"
            )
        return order

    def cancel(self, cancel: Cancel) -> Result:
        """Take a resting order out of the book and unlock what it held.

        Raises:
            OrderRejected: as `check_cancel`; nothing has changed.
        """
        order = self.check_cancel(cancel)
        self.take_out(order)
        self.release(order)
        change = order_change(order, Status.CANCELED)
        return Result(
            order.order_id,
            change.status,
            order.filled_lots,
            order.quote_units,
            orders=(change,),
            balances=self.ledger.take_changes(),
        )

    def transfer(self, transfer: Transfer) -> Result:
        """Move money between users; a bad one gets the status REJECTED.

        Raises:
            OrderRejected: as `seen`.
        """
        return self._once(transfer, self._transfer)

    def _transfer(self, transfer: Transfer) -> Result:
        status, reason = Status.FILLED, ""
        try:
            self.ledger.move(transfer.user_id, transfer.to_user_id, transfer.asset, transfer.units)
        except OrderRejected as rejection:
            status, reason = Status.REJECTED, rejection.message
        return Result(transfer.transfer_id, status, balances=self.ledger.take_changes(), reason=reason)

    def check_withdrawal(self, withdrawal: Withdrawal) -> None:
        """
        Raises:
            OrderRejected: nothing is reserved that could be paid or given back.
        """
        is_first = withdrawal.stage is WithdrawalStage.RESERVE
        if not is_first and withdrawal.withdrawal_id not in self.withdrawals:
            raise OrderRejected("not_found", f"no withdrawal {withdrawal.withdrawal_id} waits for its end")

    def withdraw(self, withdrawal: Withdrawal) -> Result:
        """One stage of a withdrawal; without enough money its first one gets the status REJECTED.

        Raises:
            OrderRejected: as `seen`, or there is nothing reserved that could be paid or given back.
        """
        return self._once(withdrawal, self._withdraw)

    def _withdraw(self, withdrawal: Withdrawal) -> Result:
        self.check_withdrawal(withdrawal)
        reason = code = ""
        try:
            status = settle(withdrawal, self.ledger, self.withdrawals)
        except OrderRejected as rejection:
            status, reason, code = Status.REJECTED, rejection.message, rejection.code
        balances = self.ledger.take_changes()
        return Result(withdrawal.withdrawal_id, status, balances=balances, reason=reason, code=code)

    def open_trade(self, trade: OpenTrade) -> Result:
        """Open a position; a bad one gets the status REJECTED.

        Raises:
            OrderRejected: as `seen`.
        """
        return self._once(trade, self._open_trade)

    def _open_trade(self, trade: OpenTrade) -> Result:
        try:
            change = self.desk.open(trade)
        except OrderRejected as rejection:
            return Result(trade.trade_id, Status.REJECTED, reason=rejection.message)
        return Result(trade.trade_id, Status.NEW, balances=self.ledger.take_changes(), trade=change)

    def close_trade(self, close: CloseTrade) -> Result:
        """End a position; one that has ended already gives its first result again.

        Raises:
            OrderRejected: no such position of this user is open.
        """
        return self._once(close, self._close_trade)

    def _close_trade(self, close: CloseTrade) -> Result:
        change = self.desk.close(close)
        return Result(close.trade_id, Status.FILLED, balances=self.ledger.take_changes(), trade=change)

    def ended_trades(self) -> list[TradeChange]:
        """How those positions ended whose results are still remembered."""
        ended = self.remembered.with_prefix("cfd-end/")
        return [result.trade for result in ended if result.trade is not None]

    def _once(self, command: C, execute: Callable[[C], Result]) -> Result:
        """What executing a command gives, or gave the first time, with its wallets as they are now: who asks
        again may have missed them.

        Raises:
            OrderRejected: as `seen`, or as `execute`.
        """
        key, asked = identity_of(command)
        if (first := self._first(key, asked)) is not None:
            return first
        result = execute(command)
        self.remembered.put(key, asked, result)
        return result

    def _first(self, key: Key, asked: Content) -> Result | None:
        remembered = self.remembered.get(key)
        if remembered is None:
            return None
        first_asked, first = remembered
        if asked != first_asked:
            name = key[1].rpartition("/")[2]
            raise OrderRejected(
                "conflict",
                f"the client id {name!r} was used before, with other content; choose another id",
                {"order_id": first.order_id},
            )
        rows = tuple(self.ledger.row(row.user_id, row.asset) for row in first.balances)
        return first._replace(repeated=True, balances=rows)
