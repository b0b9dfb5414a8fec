"""The engine: books, ledger and the desk of contracts for difference behind six commands.

Deterministic, so that a journal rebuilds its state.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import replace

from exchange_ref.cfd.desk import Desk
from exchange_ref.cfd.words import CloseTrade, OpenTrade, TradeChange
from exchange_ref.engine.book import Book
from exchange_ref.engine.instruments import PAIRS, Pair
from exchange_ref.engine.ledger import MAKER_FEE_PPM, TAKER_FEE_PPM, Ledger, insufficient_funds
from exchange_ref.engine.orders import (
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
        self._results: OrderedDict[tuple[str, str], Result] = OrderedDict()
        self._rested: deque[Order] = deque()

    def deposit(self, user_id: str, asset: str, units: int, deposit_id: str = "") -> Result:
        """Credit money from outside; a repeated `deposit_id` credits nothing again."""
        key = (user_id, f"deposit/{deposit_id}")
        first = self._results.get(key)
        if first is not None:
            return self._repeat(first)
        self.ledger.deposit(user_id, asset, units)
        result = Result("", Status.NEW, balances=self.ledger.take_changes())
        if deposit_id:
            self._remember(key, result)
        return result

    def submit(self, order: Order) -> Result:
        """Execute an order; never raises for a bad one, which gets the status REJECTED and its reason."""
        key = (order.user_id, order.client_order_id)
        first = self._results.get(key)
        if first is not None:
            return self._repeat(first)
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
        self._remember(key, result)
        return result

    def cancel(self, user_id: str, symbol: str, order_id: str) -> Result:
        """Take a resting order out of the book and unlock what it held.

        Raises:
            OrderRejected: no such order of this user rests.
        """
        book = self.books.get(symbol)
        order = book.get(order_id) if book is not None else None
        if book is None or order is None or order.user_id != user_id:
            raise OrderRejected("not_found", f"no order {order_id} of this user rests in the {symbol} book")
        book.remove(order_id)
        self._release(order)
        change = OrderChange(order_id, Status.CANCELED, order.filled_lots)
        return Result(
            order_id, change.status, order.filled_lots, 0, (), (change,), self.ledger.take_changes()
        )

    def transfer(self, transfer: Transfer) -> Result:
        """Move money between users; never raises for a bad one, which gets the status REJECTED."""
        key = (transfer.user_id, f"transfer/{transfer.client_transfer_id}")
        first = self._results.get(key)
        if first is not None:
            return self._repeat(first)
        status, reason = Status.FILLED, ""
        try:
            self.ledger.move(transfer.user_id, transfer.to_user_id, transfer.asset, transfer.units)
        except OrderRejected as rejection:
            status, reason = Status.REJECTED, rejection.message
        result = Result(transfer.transfer_id, status, balances=self.ledger.take_changes(), reason=reason)
        self._remember(key, result)
        return result

    def open_trade(self, trade: OpenTrade) -> Result:
        """Open a position; never raises for a bad one, which gets the status REJECTED."""
        key = (trade.user_id, f"cfd/{trade.client_trade_id}")
        first = self._results.get(key)
        if first is not None:
            return self._repeat(first)
        try:
            change = self.desk.open(trade)
            result = Result(trade.trade_id, Status.NEW, balances=self.ledger.take_changes(), trade=change)
        except OrderRejected as rejection:
            result = Result(trade.trade_id, Status.REJECTED, reason=rejection.message)
        self._remember(key, result)
        return result

    def close_trade(self, close: CloseTrade) -> Result:
        """End a position; one that has ended already gives its first result again.

        Raises:
            OrderRejected: no such position of this user is open.
        """
        key = (close.user_id, f"cfd-end/{close.trade_id}")
        first = self._results.get(key)
        if first is not None:
            return self._repeat(first)
        change = self.desk.close(close)
        result = Result(close.trade_id, Status.FILLED, balances=self.ledger.take_changes(), trade=change)
        self._remember(key, result)
        return result

    def ended_trades(self) -> list[TradeChange]:
        """How those positions ended whose results are still remembered."""
        return [
            result.trade
            for (_, key), result in self._results.items()
            if result.trade is not None and key.startswith("cfd-end/")
        ]

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
        """Trade until the taker is filled, prices no longer meet, or a market buyer's money ends."""
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

    def _remember(self, key: tuple[str, str], result: Result) -> None:
        self._results[key] = result
        if len(self._results) > MAX_REMEMBERED_ORDERS:
            self._results.popitem(last=False)
