"""The engine: books, ledger and the desk of contracts for difference behind six commands.

Deterministic, so that a journal rebuilds its state.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace

from exchange_ref.cfd.desk import Desk
from exchange_ref.cfd.words import CloseTrade, OpenTrade, TradeChange
from exchange_ref.engine.book import Book
from exchange_ref.engine.identity import Command, identity_of
from exchange_ref.engine.instruments import PAIRS, Pair
from exchange_ref.engine.ledger import MAKER_FEE_PPM, TAKER_FEE_PPM, Ledger, insufficient_funds
from exchange_ref.engine.orders import (
    Cancel,
    Deposit,
    Fill,
    Order,
    OrderChange,
    OrderRejected,
    OrderType,
    Result,
    Side,
    Status,
    Transfer,
)
from exchange_ref.engine.remembered import Remembered

# How many client order ids are remembered: half an hour at 50 orders/s, about 60 MB at most.
MAX_REMEMBERED_ORDERS = 100_000


class Engine:
    """Match orders, keep balances.

    Args:
        order_ttl_s: a resting order expires this long after it was created; the sweep runs before each order,
            by that order's time, so an engine without traffic keeps its book.
    """

    def __init__(self, *, order_ttl_s: float = 30.0, pairs: Mapping[str, Pair] = PAIRS) -> None:
        self.ledger = Ledger()
        self.desk = Desk(self.ledger)
        self.books = {symbol: Book() for symbol in pairs}
        self._pairs = pairs
        self._order_ttl_ns = int(order_ttl_s * 1e9)
        self._remembered = Remembered(MAX_REMEMBERED_ORDERS)
        self._rested: deque[Order] = deque()

    def seen(self, command: Command) -> Result | None:
        """The first result of a command that was executed already; None for a new one.

        Raises:
            OrderRejected: the client has used this id for something else; `details` has its `order_id`.
        """
        key, asked = identity_of(command)
        remembered = self._remembered.get(key)
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
            fills, quote_units, status = self._execute(order, orders)
            reason = ""
        except OrderRejected as rejection:
            fills, quote_units, status, reason = [], 0, Status.REJECTED, rejection.message
        orders.append(OrderChange(order.order_id, status, order.filled_lots))
        result = Result(
            order_id=order.order_id,
            status=status,
            filled_lots=order.filled_lots,
            quote_units=quote_units,
            fills=tuple(fills),
            orders=tuple(orders),
            balances=self.ledger.take_changes(),
            reason=reason,
        )
        self._remember(order, result)
        return result

    def check_cancel(self, cancel: Cancel) -> Order:
        """The resting order that a cancel takes out.

        Raises:
            OrderRejected: no such order of this user rests.
        """
        book = self.books.get(cancel.symbol)
        order = book.get(cancel.order_id) if book is not None else None
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
        self.books[cancel.symbol].remove(cancel.order_id)
        self._release(order)
        change = OrderChange(cancel.order_id, Status.CANCELED, order.filled_lots)
        return Result(
            order.order_id, change.status, order.filled_lots, 0, (), (change,), self.ledger.take_changes()
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
        ended = self._remembered.with_prefix("cfd-end/")
        return [result.trade for result in ended if result.trade is not None]

    def _execute(self, order: Order, changes: list[OrderChange]) -> tuple[list[Fill], int, Status]:
        pair = self._pairs[order.symbol]
        self._lock(order, pair)
        fills, quote_units = self._match(order, pair, changes)
        if not order.remaining_lots:
            return fills, quote_units, Status.FILLED
        if order.type is OrderType.MARKET:
            # What a market order could not get at once is given up.
            if order.side is Side.SELL:
                self.ledger.unlock(order.user_id, pair.base, pair.base_units(order.remaining_lots))
            return fills, quote_units, Status.EXPIRED
        self.books[order.symbol].rest(order)
        self._rested.append(order)
        return fills, quote_units, Status.PARTIALLY_FILLED if fills else Status.NEW

    def _lock(self, order: Order, pair: Pair) -> None:
        if order.side is Side.SELL:
            self.ledger.lock(order.user_id, pair.base, pair.base_units(order.quantity_lots))
        elif order.type is OrderType.LIMIT:
            self.ledger.lock(
                order.user_id, pair.quote, pair.notional_units(order.price_ticks, order.quantity_lots)
            )
        elif not (available := self.ledger.balance(order.user_id, pair.quote).available_units):
            raise insufficient_funds(pair.quote, pair.notional_units(1, order.quantity_lots), available)

    def _match(self, taker: Order, pair: Pair, changes: list[OrderChange]) -> tuple[list[Fill], int]:
        """Trade until the taker is filled, prices no longer cross, or a market buyer's money ends."""
        book = self.books[taker.symbol]
        fills: list[Fill] = []
        quote_units = 0
        while taker.remaining_lots and (maker := book.crossing(taker)) is not None:
            lots = min(taker.remaining_lots, maker.remaining_lots)
            if taker.side is Side.BUY and taker.type is OrderType.MARKET:
                lots = min(lots, self._affordable_lots(taker, pair, maker.price_ticks))
                if not lots:
                    break
            book.take(maker, lots)
            taker.remaining_lots -= lots
            quote_units += self._settle(taker, maker, pair, lots)
            fills.append(Fill(maker.order_id, taker.order_id, maker.price_ticks, lots))
            status = Status.PARTIALLY_FILLED if maker.remaining_lots else Status.FILLED
            changes.append(OrderChange(maker.order_id, status, maker.filled_lots))
        return fills, quote_units

    def _affordable_lots(self, taker: Order, pair: Pair, price_ticks: int) -> int:
        available = self.ledger.balance(taker.user_id, pair.quote).available_units
        return available // pair.notional_units(price_ticks, 1)

    def _settle(self, taker: Order, maker: Order, pair: Pair, lots: int) -> int:
        """Move both assets at the maker's price, less fees; returns the quote units paid."""
        quote_units = pair.notional_units(maker.price_ticks, lots)
        base_units = pair.base_units(lots)
        ledger = self.ledger
        if taker.side is Side.SELL:
            ledger.pay_locked(taker.user_id, pair.base, base_units)
            ledger.pay_locked(maker.user_id, pair.quote, quote_units)
            ledger.receive(taker.user_id, pair.quote, quote_units, TAKER_FEE_PPM)
            ledger.receive(maker.user_id, pair.base, base_units, MAKER_FEE_PPM)
            return quote_units
        if taker.type is OrderType.LIMIT:
            ledger.pay_locked(taker.user_id, pair.quote, quote_units)
            # The maker was cheaper than the limit: the difference was locked and goes back.
            improvement_ticks = taker.price_ticks - maker.price_ticks
            ledger.unlock(taker.user_id, pair.quote, pair.notional_units(improvement_ticks, lots))
        else:
            ledger.pay_available(taker.user_id, pair.quote, quote_units)
        ledger.pay_locked(maker.user_id, pair.base, base_units)
        ledger.receive(taker.user_id, pair.base, base_units, TAKER_FEE_PPM)
        ledger.receive(maker.user_id, pair.quote, quote_units, MAKER_FEE_PPM)
        return quote_units

    def _expire(self, now_unix_nano: int, changes: list[OrderChange]) -> None:
        oldest_unix_nano = now_unix_nano - self._order_ttl_ns
        while self._rested and self._rested[0].created_unix_nano < oldest_unix_nano:
            order = self._rested.popleft()
            if self.books[order.symbol].remove(order.order_id) is not None:
                self._release(order)
                changes.append(OrderChange(order.order_id, Status.EXPIRED, order.filled_lots))

    def _release(self, order: Order) -> None:
        pair = self._pairs[order.symbol]
        if order.side is Side.BUY:
            units = pair.notional_units(order.price_ticks, order.remaining_lots)
            self.ledger.unlock(order.user_id, pair.quote, units)
        else:
            self.ledger.unlock(order.user_id, pair.base, pair.base_units(order.remaining_lots))

    def _repeat(self, first: Result) -> Result:
        """The first result, with its wallets as they are now: who asks again may have missed them."""
        rows = tuple(self.ledger.row(row.user_id, row.asset) for row in first.balances)
        return replace(first, repeated=True, orders=(), balances=rows)

    def _remember(self, command: Command, result: Result) -> None:
        key, asked = identity_of(command)
        self._remembered.put(key, asked, result)
