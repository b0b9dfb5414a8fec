"""The markets of an engine: books, stops and tapes over one ledger. Deterministic."""

from __future__ import annotations

from collections.abc import Mapping

from exchange_ref.engine.book import Book
from exchange_ref.engine.expiry import Expiries
from exchange_ref.engine.instruments import PAIRS, Pair
from exchange_ref.engine.ledger import MAKER_FEE_PPM, TAKER_FEE_PPM, Ledger, insufficient_funds
from exchange_ref.engine.orders import (
    RESTING,
    Fill,
    Order,
    OrderChange,
    OrderRejected,
    OrderType,
    SelfTrade,
    Side,
    Status,
    TimeInForce,
)
from exchange_ref.engine.stops import Stops
from exchange_ref.engine.tape import Tape


class Markets:
    """Executes orders: they lock what they may cost, trade, rest, wait for a stop, and end."""

    def __init__(self, pairs: Mapping[str, Pair] = PAIRS) -> None:
        self.ledger = Ledger()
        self.books = {symbol: Book() for symbol in pairs}
        self.stops = {symbol: Stops() for symbol in pairs}
        self.tapes = {symbol: Tape(pair.ticks(pair.opening_price)) for symbol, pair in pairs.items()}
        self._pairs = pairs
        self.expiries = Expiries(lambda order: self.open_order(order.symbol, order.order_id) is not None)

    def open_order(self, symbol: str, order_id: str) -> Order | None:
        """The order of this id, if it rests in the book or waits for its stop."""
        return self.books[symbol].get(order_id) or self.stops[symbol].get(order_id)

    def execute(self, order: Order, changes: list[OrderChange]) -> tuple[list[Fill], Status]:
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

    def wait(self, order: Order) -> tuple[list[Fill], Status]:
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

    def trigger(self, symbol: str, unix_nano: int, changes: list[OrderChange]) -> None:
        """Execute the orders whose stop was traded, one after another: each may trade what triggers more."""
        pair, book, tape = self._pairs[symbol], self.books[symbol], self.tapes[symbol]
        while (order := self.stops[symbol].take_triggered(tape.last_ticks)) is not None:
            if not order.price_ticks and order.side is Side.BUY:  # a market order pays what is available
                self.release(order)
            order.triggered = True
            if order.time_in_force is TimeInForce.FOK and not _can_be_filled(order, book):
                self.release(order)
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
            self.release(order)
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

    def expire(self, now_unix_nano: int, changes: list[OrderChange]) -> None:
        for order in self.expiries.ended(now_unix_nano):
            self._end(order, changes)

    def _end(self, order: Order, changes: list[OrderChange]) -> None:
        """Let an order expire, if it rests or waits."""
        if self.take_out(order):
            self.release(order)
            changes.append(order_change(order, Status.EXPIRED))

    def take_out(self, order: Order) -> bool:
        removed = self.books[order.symbol].remove(order.order_id)
        return removed is not None or self.stops[order.symbol].remove(order.order_id) is not None

    def release(self, order: Order) -> None:
        """Unlock what an order holds for its rest; a market order to buy holds nothing."""
        pair = self._pairs[order.symbol]
        if order.side is Side.SELL:
            self.ledger.unlock(order.user_id, pair.base, pair.base_units(order.remaining_lots))
        elif order.hold_ticks:
            units = pair.notional_units(order.hold_ticks, order.remaining_lots)
            self.ledger.unlock(order.user_id, pair.quote, units)


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
