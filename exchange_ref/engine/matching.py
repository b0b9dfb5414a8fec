"""The engine: books, ledger and the desk of contracts for difference behind six commands.

Deterministic, so that a journal rebuilds its state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from exchange_ref.cfd.desk import Desk
from exchange_ref.cfd.words import CloseTrade, OpenTrade, TradeChange
from exchange_ref.engine.book import Book
from exchange_ref.engine.expiry import Expiries
from exchange_ref.engine.identity import Command, identity_of
from exchange_ref.engine.instruments import PAIRS, Pair
from exchange_ref.engine.ledger import FEE_ACCOUNT, MAKER_FEE_PPM, TAKER_FEE_PPM, Ledger, insufficient_funds
from exchange_ref.engine.orders import (
    RESTING,
    Cancel,
    Deposit,
    Fill,
    Order,
    OrderChange,
    OrderRejected,
    OrderType,
    Result,
    SelfTrade,
    Side,
    Status,
    TimeInForce,
    Transfer,
    Withdrawal,
    WithdrawalStage,
)
from exchange_ref.engine.remembered import Remembered
from exchange_ref.engine.stops import Stops
from exchange_ref.engine.tape import Tape

# How many client order ids are remembered: half an hour at 50 orders/s, about 60 MB at most.
MAX_REMEMBERED_ORDERS = 100_000


class Engine:
    """Match orders, keep balances.

    Orders that are GTD are looked through before each order, by that order's time: an engine without traffic
    keeps its book.
    """

    def __init__(self, *, pairs: Mapping[str, Pair] = PAIRS) -> None:
        self.ledger = Ledger()
        self.desk = Desk(self.ledger)
        self.books = {symbol: Book() for symbol in pairs}
        self.stops = {symbol: Stops() for symbol in pairs}
        self.tapes = {symbol: Tape(pair.ticks(pair.opening_price)) for symbol, pair in pairs.items()}
        # Those that are reserved and neither paid nor given back.
        self.withdrawals: dict[str, Withdrawal] = {}
        self._pairs = pairs
        self.remembered = Remembered(MAX_REMEMBERED_ORDERS)
        self.expiries = Expiries(lambda order: self.open_order(order.symbol, order.order_id) is not None)

    def open_order(self, symbol: str, order_id: str) -> Order | None:
        """The order of this id, if it rests in the book or waits for its stop."""
        return self.books[symbol].get(order_id) or self.stops[symbol].get(order_id)

    def state(self) -> tuple[Any, ...]:
        """All that later answers depend on but `remembered`, to be pickled at once: parts share objects."""
        parts = (self.ledger, self.desk, self.books, self.stops, self.tapes)
        return (*parts, self.withdrawals, self.expiries.state())

    def restore(self, state: tuple[Any, ...]) -> None:
        """Take over what `state` gave. Nobody may hold parts of this engine yet."""
        self.ledger, self.desk, self.books, self.stops, self.tapes, self.withdrawals, expiries = state
        self.expiries.restore(expiries)

    def seen(self, command: Command) -> Result | None:
        """The first result of a command that was executed already; None for a new one.

        Raises:
            OrderRejected: the client has used this id for something else; `details` has its `order_id`.
        """
        key, asked = identity_of(command)
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
        return self._repeat(first)

    def deposit(self, deposit: Deposit) -> Result:
        """Credit money from outside; a repeated `deposit_id` credits nothing again.

        Raises:
            OrderRejected: not above zero, or more than all accounts can hold; or as `seen`.
        """
        if (first := self.seen(deposit)) is not None:
            return first
        self.ledger.deposit(deposit.user_id, deposit.asset, deposit.units)
        if deposit.fee_units:
            self.ledger.move(deposit.user_id, FEE_ACCOUNT, deposit.asset, deposit.fee_units)
        result = Result("", Status.NEW, balances=self.ledger.take_changes())
        if deposit.deposit_id:
            self._remember(deposit, result)
        return result

    def submit(self, order: Order) -> Result:
        """Execute an order; a bad one gets the status REJECTED and its reason.

        Raises:
            OrderRejected: as `seen`.
        """
        if (first := self.seen(order)) is not None:
            return first
        orders: list[OrderChange] = []
        self._expire(order.created_unix_nano, orders)
        try:
            fills, status = self._wait(order) if order.stop_ticks else self._execute(order, orders)
            reason = code = ""
        except OrderRejected as rejection:
            fills, status, reason, code = [], Status.REJECTED, rejection.message, rejection.code
        own = order_change(order, status)
        orders.append(own)
        if fills:
            self._trigger(order.symbol, order.created_unix_nano, orders)
        result = Result(
            order_id=order.order_id,
            status=status,
            filled_lots=own.filled_lots,
            quote_units=own.quote_units,
            fills=tuple(fills),
            orders=tuple(orders),
            balances=self.ledger.take_changes(),
            reason=reason,
            code=code,
        )
        self._remember(order, result)
        return result

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
        self._take_out(order)
        self._release(order)
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
        if (first := self.seen(transfer)) is not None:
            return first
        status, reason = Status.FILLED, ""
        try:
            self.ledger.move(transfer.user_id, transfer.to_user_id, transfer.asset, transfer.units)
        except OrderRejected as rejection:
            status, reason = Status.REJECTED, rejection.message
        result = Result(transfer.transfer_id, status, balances=self.ledger.take_changes(), reason=reason)
        self._remember(transfer, result)
        return result

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
        if (first := self.seen(withdrawal)) is not None:
            return first
        self.check_withdrawal(withdrawal)
        user_id, asset = withdrawal.user_id, withdrawal.asset
        total, status, reason, code = withdrawal.units + withdrawal.fee_units, Status.NEW, "", ""
        if withdrawal.stage is WithdrawalStage.RESERVE:
            try:
                self.ledger.lock(user_id, asset, total)
                self.withdrawals[withdrawal.withdrawal_id] = withdrawal
            except OrderRejected as rejection:
                status, reason, code = Status.REJECTED, rejection.message, rejection.code
        elif withdrawal.stage is WithdrawalStage.PAY:
            self.ledger.pay_out(user_id, asset, withdrawal.units)
            self.ledger.pay_locked(user_id, asset, withdrawal.fee_units)
            self.ledger.receive(FEE_ACCOUNT, asset, withdrawal.fee_units, 0)
            status = Status.FILLED
        else:
            self.ledger.unlock(user_id, asset, total)
            status = Status.CANCELED
        if status is not Status.NEW:
            self.withdrawals.pop(withdrawal.withdrawal_id, None)
        balances = self.ledger.take_changes()
        result = Result(withdrawal.withdrawal_id, status, balances=balances, reason=reason, code=code)
        self._remember(withdrawal, result)
        return result

    def open_trade(self, trade: OpenTrade) -> Result:
        """Open a position; a bad one gets the status REJECTED.

        Raises:
            OrderRejected: as `seen`.
        """
        if (first := self.seen(trade)) is not None:
            return first
        try:
            change = self.desk.open(trade)
            result = Result(trade.trade_id, Status.NEW, balances=self.ledger.take_changes(), trade=change)
        except OrderRejected as rejection:
            result = Result(trade.trade_id, Status.REJECTED, reason=rejection.message)
        self._remember(trade, result)
        return result

    def close_trade(self, close: CloseTrade) -> Result:
        """End a position; one that has ended already gives its first result again.

        Raises:
            OrderRejected: no such position of this user is open.
        """
        if (first := self.seen(close)) is not None:
            return first
        change = self.desk.close(close)
        result = Result(close.trade_id, Status.FILLED, balances=self.ledger.take_changes(), trade=change)
        self._remember(close, result)
        return result

    def ended_trades(self) -> list[TradeChange]:
        """How those positions ended whose results are still remembered."""
        ended = self.remembered.with_prefix("cfd-end/")
        return [result.trade for result in ended if result.trade is not None]

    def _execute(self, order: Order, changes: list[OrderChange]) -> tuple[list[Fill], Status]:
        pair, book = self._pairs[order.symbol], self.books[order.symbol]
        if order.type is OrderType.LIMIT_MAKER and (maker := book.crossing(order)) is not None:
            raise OrderRejected(
                "would_trade",
                f"a LIMIT_MAKER order must not trade at once, and {maker.price_ticks * pair.tick} is offered;"
                " choose another price, or LIMIT",
            )
        fills: list[Fill] = []
        if order.time_in_force is TimeInForce.FOK and not _can_be_filled(order, book):
            return fills, Status.EXPIRED
        self._lock(order, pair)
        return fills, self._trade(order, pair, fills, changes)

    def _wait(self, order: Order) -> tuple[list[Fill], Status]:
        """Lock what an order may cost and wait for its stop.

        Raises:
            OrderRejected: too little money, or the stop lies on the wrong side of the price.
        """
        pair, last = self._pairs[order.symbol], self.tapes[order.symbol].last_ticks
        rising = order.triggers_rising
        if last >= order.stop_ticks if rising else last <= order.stop_ticks:
            raise OrderRejected(
                "would_trigger",
                f"the stop of a {order.type} {order.side} must lie {'above' if rising else 'below'} the last"
                f" traded price {last * pair.tick}, or it would trigger at once",
                {"last_price": float(last * pair.tick)},
            )
        self._lock(order, pair)
        self.stops[order.symbol].add(order)
        self.expiries.note(order)
        return [], Status.NEW

    def _trigger(self, symbol: str, unix_nano: int, changes: list[OrderChange]) -> None:
        """Execute the orders whose stop was traded, one after another: each may trade what triggers more."""
        pair, book, tape = self._pairs[symbol], self.books[symbol], self.tapes[symbol]
        while (order := self.stops[symbol].take_triggered(tape.last_ticks)) is not None:
            if not order.price_ticks and order.side is Side.BUY:  # a market order pays what is available
                self._release(order)
            order.triggered = True
            if order.time_in_force is TimeInForce.FOK and not _can_be_filled(order, book):
                self._release(order)
                status = Status.EXPIRED
            else:
                status = self._trade(order, pair, [], changes, unix_nano)
            changes.append(order_change(order, status))

    def _trade(
        self,
        order: Order,
        pair: Pair,
        fills: list[Fill],
        changes: list[OrderChange],
        unix_nano: int | None = None,
    ) -> Status:
        """Trade what can be traded now; the rest waits in the book, or is given up."""
        may_go_on = self._match(order, pair, fills, changes, unix_nano or order.created_unix_nano)
        book = self.books[order.symbol]
        if not order.remaining_lots:
            return Status.FILLED
        if not order.price_ticks or order.time_in_force not in RESTING or not may_go_on:
            # What it could not get at once is given up.
            self._release(order)
            return Status.EXPIRED
        book.rest(order)
        if not order.triggered:
            self.expiries.note(order)
        return Status.PARTIALLY_FILLED if fills else Status.NEW

    def _lock(self, order: Order, pair: Pair) -> None:
        if order.side is Side.SELL:
            self.ledger.lock(order.user_id, pair.base, pair.base_units(order.quantity_lots))
        elif order.hold_ticks:
            self.ledger.lock(
                order.user_id, pair.quote, pair.notional_units(order.hold_ticks, order.quantity_lots)
            )
        elif not (available := self.ledger.balance(order.user_id, pair.quote).available_units):
            raise insufficient_funds(pair.quote, pair.notional_units(1, order.quantity_lots), available)

    def _match(
        self, taker: Order, pair: Pair, fills: list[Fill], changes: list[OrderChange], unix_nano: int
    ) -> bool:
        """Trade until the taker is filled, prices no longer cross, or a market buyer's money ends.

        Returns:
            False where the taker must not go on, for it has met an order of its own user.
        """
        book, tape = self.books[taker.symbol], self.tapes[taker.symbol]
        while taker.remaining_lots and (maker := book.crossing(taker)) is not None:
            if maker.user_id == taker.user_id and taker.self_trade is not SelfTrade.NONE:
                if taker.self_trade is not SelfTrade.EXPIRE_TAKER:
                    self._end(maker, changes)
                if taker.self_trade is not SelfTrade.EXPIRE_MAKER:
                    return False
                continue
            lots = min(taker.remaining_lots, maker.remaining_lots)
            if taker.side is Side.BUY and not taker.price_ticks:
                lots = min(lots, self._affordable_lots(taker, pair, maker.price_ticks))
                if not lots:
                    break
            book.take(maker, lots)
            taker.remaining_lots -= lots
            self._settle(taker, maker, pair, lots)
            fills.append(Fill(maker.order_id, taker.order_id, maker.price_ticks, lots))
            tape.note(unix_nano, maker.price_ticks, lots, taker.side)
            status = Status.PARTIALLY_FILLED if maker.remaining_lots else Status.FILLED
            changes.append(order_change(maker, status))
        return True

    def _affordable_lots(self, taker: Order, pair: Pair, price_ticks: int) -> int:
        available = self.ledger.balance(taker.user_id, pair.quote).available_units
        return available // pair.notional_units(price_ticks, 1)

    def _settle(self, taker: Order, maker: Order, pair: Pair, lots: int) -> None:
        """Move both assets at the maker's price, less fees."""
        quote_units = pair.notional_units(maker.price_ticks, lots)
        taker.quote_units += quote_units
        maker.quote_units += quote_units
        base_units = pair.base_units(lots)
        ledger = self.ledger
        if taker.side is Side.SELL:
            ledger.pay_locked(taker.user_id, pair.base, base_units)
            ledger.pay_locked(maker.user_id, pair.quote, quote_units)
            ledger.receive(taker.user_id, pair.quote, quote_units, TAKER_FEE_PPM)
            ledger.receive(maker.user_id, pair.base, base_units, MAKER_FEE_PPM)
            return
        if taker.price_ticks:
            ledger.pay_locked(taker.user_id, pair.quote, quote_units)
            # The maker was cheaper than the limit: the difference was locked and goes back.
            improvement_ticks = taker.price_ticks - maker.price_ticks
            ledger.unlock(taker.user_id, pair.quote, pair.notional_units(improvement_ticks, lots))
        else:
            ledger.pay_available(taker.user_id, pair.quote, quote_units)
        ledger.pay_locked(maker.user_id, pair.base, base_units)
        ledger.receive(taker.user_id, pair.base, base_units, TAKER_FEE_PPM)
        ledger.receive(maker.user_id, pair.quote, quote_units, MAKER_FEE_PPM)

    def _expire(self, now_unix_nano: int, changes: list[OrderChange]) -> None:
        for order in self.expiries.ended(now_unix_nano):
            self._end(order, changes)

    def _end(self, order: Order, changes: list[OrderChange]) -> None:
        """Let an order expire, if it rests or waits."""
        if self._take_out(order):
            self._release(order)
            changes.append(order_change(order, Status.EXPIRED))

    def _take_out(self, order: Order) -> bool:
        removed = self.books[order.symbol].remove(order.order_id)
        return removed is not None or self.stops[order.symbol].remove(order.order_id) is not None

    def _release(self, order: Order) -> None:
        """Unlock what an order holds for its rest; a market order to buy holds nothing."""
        pair = self._pairs[order.symbol]
        if order.side is Side.SELL:
            self.ledger.unlock(order.user_id, pair.base, pair.base_units(order.remaining_lots))
        elif order.hold_ticks:
            units = pair.notional_units(order.hold_ticks, order.remaining_lots)
            self.ledger.unlock(order.user_id, pair.quote, units)

    def _repeat(self, first: Result) -> Result:
        """The first result, with its wallets as they are now: who asks again may have missed them."""
        rows = tuple(self.ledger.row(row.user_id, row.asset) for row in first.balances)
        return replace(first, repeated=True, orders=(), balances=rows)

    def _remember(self, command: Command, result: Result) -> None:
        key, asked = identity_of(command)
        self.remembered.put(key, asked, result)


def order_change(order: Order, status: Status) -> OrderChange:
    return OrderChange(order.order_id, status, order.filled_lots, order.quote_units, order.triggered)


def _can_be_filled(taker: Order, book: Book) -> bool:
    """Whether all of an order would be traded at once; nothing is changed."""
    lots = 0
    for maker in book.makers_of(taker):
        if maker.user_id == taker.user_id and taker.self_trade is not SelfTrade.NONE:
            if taker.self_trade is not SelfTrade.EXPIRE_MAKER:
                return False
            continue
        lots += maker.remaining_lots
        if lots >= taker.quantity_lots:
            return True
    return False
