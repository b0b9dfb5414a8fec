"""Matches orders with the orders that filled them, by price, size and time."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from math import floor, log

CROSS_WITHIN_NS = 10_000_000_000
_SAME_QUANTITY = 0.01
_ORDERS_MAX = 200_000  # of ten seconds; the oldest are dropped first
_ALIKE_MAX = 100  # of one price, side and size
_SIZE_STEP = 0.0101  # of the logarithm: orders of the same quantity lie in one step or in two neighbours
_OTHER = {"BUY": "SELL", "SELL": "BUY"}
_Place = tuple[str, float, str, int]  # pair, price, side, step of size


@dataclass(slots=True, eq=False)  # compared by identity: comparing fields took most of the time of forgetting
class Order:
    """One order, from those of its spans that have landed; `price`: of its fill, or its limit until it is
    filled.
    """

    trace_id: str
    at: int
    pair: str
    account: str
    side: str
    quantity: float
    price: float
    filled: bool
    crossed: bool = False
    number: int = 0  # the order in which a book received them


class Book:
    """The orders of the last seconds by price, side and size.

    4 µs an order, however many orders have one price. Searching by price alone took 14 µs where fills
    concentrate at a few prices.
    """

    def __init__(self) -> None:
        self._orders: OrderedDict[str, Order] = OrderedDict()
        self.alike: dict[_Place, deque[Order]] = {}
        self._count = 0

    def is_new(self, trace_id: str) -> bool:
        return trace_id not in self._orders

    def take(self, order: Order) -> Order | None:
        """Add an order, or the fill of a known one; returns the order that it crossed."""
        known = self._orders.get(order.trace_id)
        if known is not None:
            if known.filled or not order.filled:
                return None
            self._drop(known)
            known.price, known.filled = order.price, True
            order = known
        self._orders[order.trace_id] = order
        self._count += 1
        order.number = self._count
        place = _place(order)
        partner = self._partner(order, place)
        self.alike.setdefault(place, deque(maxlen=_ALIKE_MAX)).append(order)
        if partner is not None:
            partner.crossed = order.crossed = True
        return partner

    def _partner(self, order: Order, place: _Place) -> Order | None:
        """The order that this one crosses; the first of several."""
        pair, price, side, size = place
        other_side = _OTHER.get(side)
        if other_side is None:
            return None
        found: Order | None = None
        for step in (size - 1, size, size + 1):
            for other in self.alike.get((pair, price, other_side, step), ()):
                if crosses(other, order):
                    found = other if found is None or other.number < found.number else found
                    break
        return found

    def forget(self, before: int) -> None:
        while self._orders:
            oldest = next(iter(self._orders.values()))
            if oldest.at >= before and len(self._orders) <= _ORDERS_MAX:
                return
            del self._orders[oldest.trace_id]
            self._drop(oldest)

    def _drop(self, order: Order) -> None:
        place = _place(order)
        here = self.alike.get(place)
        if here is not None:
            if order in here:
                here.remove(order)
            if not here:
                del self.alike[place]


def _place(order: Order) -> _Place:
    return (order.pair, order.price, order.side, floor(log(order.quantity) / _SIZE_STEP))


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
