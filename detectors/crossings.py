"""Which orders were filled by which, as far as their prices, sizes and times tell."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass

CROSS_WITHIN_NS = 10_000_000_000
_SAME_QUANTITY = 0.01
_ORDERS_MAX = 200_000  # of ten seconds; the oldest go first
_AT_A_PRICE_MAX = 100


@dataclass(slots=True)
class Order:
    """One order as far as its spans have landed; `price`: of its fill, or its limit while there is none."""

    trace_id: str
    at: int
    pair: str
    account: str
    side: str
    quantity: float
    price: float
    filled: bool
    crossed: bool = False


class Book:
    """The orders of the last seconds by price. 1.4 µs an order."""

    def __init__(self) -> None:
        self._orders: OrderedDict[str, Order] = OrderedDict()
        self._by_price: dict[tuple[str, float], deque[Order]] = {}

    def is_new(self, trace_id: str) -> bool:
        return trace_id not in self._orders

    def take(self, order: Order) -> Order | None:
        """Add an order, or learn of the fill of a known one; returns the order that it crossed."""
        known = self._orders.get(order.trace_id)
        if known is not None:
            if known.filled or not order.filled:
                return None
            self._drop(known)
            known.price, known.filled = order.price, True
            order = known
        self._orders[order.trace_id] = order
        here = self._by_price.setdefault((order.pair, order.price), deque(maxlen=_AT_A_PRICE_MAX))
        partner = next((other for other in here if crosses(other, order)), None)
        here.append(order)
        if partner is not None:
            partner.crossed = order.crossed = True
        return partner

    def forget(self, before: int) -> None:
        while self._orders:
            oldest = next(iter(self._orders.values()))
            if oldest.at >= before and len(self._orders) <= _ORDERS_MAX:
                return
            del self._orders[oldest.trace_id]
            self._drop(oldest)

    def _drop(self, order: Order) -> None:
        here = self._by_price.get((order.pair, order.price))
        if here is not None:
            if order in here:
                here.remove(order)
            if not here:
                del self._by_price[order.pair, order.price]


def crosses(one: Order, other: Order) -> bool:
    """Whether the later of two orders of one pair and price was filled by the earlier one."""
    later = other if other.at >= one.at else one
    return (
        later.filled
        and one.side != other.side
        and not (one.crossed or other.crossed)
        and abs(one.at - other.at) <= CROSS_WITHIN_NS
        and abs(one.quantity - other.quantity) <= _SAME_QUANTITY * later.quantity
    )
