"""Which order was filled by which: found by price, side and size, and the same as by looking through all."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from detectors.orders.order_match import Book, Order, crosses

S = 1_000_000_000


class Everything:
    """A book that compares an order with every other of its pair and price, oldest first."""

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}

    def take(self, order: Order) -> Order | None:
        known = self.orders.get(order.trace_id)
        if known is not None:
            if known.filled or not order.filled:
                return None  # what is only repeated keeps its place
            del self.orders[order.trace_id]
            known.price, known.filled = order.price, True
            order = known
        alike = (o for o in self.orders.values() if (o.pair, o.price) == (order.pair, order.price))
        partner = next((other for other in alike if crosses(other, order)), None)
        self.orders[order.trace_id] = order
        if partner is not None:
            partner.crossed = order.crossed = True
        return partner


@st.composite
def told(draw: st.DrawFn) -> tuple[str, int, str, float, float, bool]:
    """Orders of few traces, prices and sizes, so that many cross."""
    return (
        str(draw(st.integers(0, 15))),
        draw(st.integers(0, 12)) * S,
        draw(st.sampled_from(["BUY", "SELL"])),
        draw(st.sampled_from([0.999, 1.0, 1.005, 1.0099, 1.02, 50.0])),
        draw(st.sampled_from([100.0, 101.0])),
        draw(st.booleans()),
    )


REPEATED = [
    ("1", 0, "BUY", 0.999, 101.0, False),
    ("3", 0, "BUY", 0.999, 101.0, False),
    ("1", 0, "BUY", 0.999, 100.0, False),
    ("2", 0, "SELL", 0.999, 101.0, True),
]


@settings(deadline=None)  # a loaded machine
@example(REPEATED)
@given(st.lists(told(), max_size=40))
def test_a_book_finds_what_comparing_with_all_finds(said):
    """Every order meets the same partner, in whatever order spans come and whatever they repeat."""
    book, everything = Book(), Everything()
    for trace, at, side, quantity, price, filled in said:
        order = Order(trace, at, "BTC/USD", "ann", side, quantity, price, filled)
        twin = replace(order)
        found, expected = book.take(order), everything.take(twin)
        assert (found and found.trace_id) == (expected and expected.trace_id)


def test_many_orders_of_one_price_are_told_apart_by_size():
    """A hundred other sizes at the same price hide no partner."""
    book = Book()
    sold = Order("sold", 0, "BTC/USD", "ann", "SELL", 3.0, 100.0, filled=False)
    assert book.take(sold) is None
    for number in range(300):
        other = Order(f"other {number}", 1, "BTC/USD", "bob", "SELL", 10.0 + number, 100.0, filled=False)
        assert book.take(other) is None
    assert book.take(Order("bought", 2, "BTC/USD", "ann", "BUY", 3.0, 100.0, filled=True)) is sold


def test_what_is_forgotten_meets_nobody():
    """After ten seconds an order is gone, and leaves nothing behind."""
    book = Book()
    book.take(Order("sold", 0, "BTC/USD", "ann", "SELL", 3.0, 100.0, filled=False))
    book.forget(1)
    assert book.take(Order("bought", 2, "BTC/USD", "ann", "BUY", 3.0, 100.0, filled=True)) is None
    book.forget(3)
    assert book.alike == {}  # nothing else shows that memory is given back
