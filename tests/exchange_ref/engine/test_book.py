from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from exchange_ref.engine import book as book_module
from exchange_ref.engine.book import Book
from exchange_ref.engine.orders import Order, OrderType, Side


def order(number: int, side: Side, price: int, lots: int) -> Order:
    return Order(str(number), "ann", str(number), "BTC/USD", side, OrderType.LIMIT, price, lots, 0)


class NaiveBook:
    """The same rules as an unsorted list: slow, and plain enough to be trusted."""

    def __init__(self) -> None:
        self.orders: list[Order] = []

    def best(self, side: Side) -> Order | None:
        mine = [resting for resting in self.orders if resting.side is side]
        sign = -1 if side is Side.BUY else 1
        return min(mine, key=lambda resting: sign * resting.price_ticks, default=None)

    def depth(self, side: Side) -> list[tuple[int, int]]:
        lots: Counter[int] = Counter()
        for resting in self.orders:
            if resting.side is side:
                lots[resting.price_ticks] += resting.remaining_lots
        return sorted(lots.items(), reverse=side is Side.BUY)


# What to do: rest (a side, a price, lots), take from the best of a side, or remove the n-th order ever made.
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("rest"), st.sampled_from(Side), st.integers(1, 6), st.integers(1, 5)),
        st.tuples(st.just("take"), st.sampled_from(Side), st.integers(1, 5), st.just(0)),
        st.tuples(st.just("remove"), st.sampled_from(Side), st.integers(0, 60), st.just(0)),
    ),
    max_size=60,
)


@given(ACTIONS, st.sampled_from([0, 3, 1_000]))
@settings(max_examples=200, deadline=None)
def test_agrees_with_a_naive_book(actions: list[tuple[str, Side, int, int]], min_stale: int) -> None:
    """After any sequence of actions the best orders are those of a sorted list, price before time, and the
    depth is the sum of what rests at each price."""
    saved, book_module.MIN_STALE_ORDERS = book_module.MIN_STALE_ORDERS, min_stale
    try:
        book, naive = Book(), NaiveBook()
        for number, (action, side, first, second) in enumerate(actions):
            if action == "rest":
                new = order(number, side, first, second)
                book.rest(new)
                naive.orders.append(new)
            elif action == "take" and (best := book.best(side)) is not None:
                book.take(best, min(first, best.remaining_lots))
                naive.orders = [resting for resting in naive.orders if resting.remaining_lots]
            elif action == "remove":
                removed = book.remove(str(first))
                naive.orders = [resting for resting in naive.orders if resting is not removed]
            for each in Side:
                assert book.best(each) is naive.best(each)
                assert book.depth(each) == naive.depth(each)
            assert len(book) == len(naive.orders)
    finally:
        book_module.MIN_STALE_ORDERS = saved


def test_depth_sums_levels_best_first() -> None:
    """Depth adds the lots of each price, bids from the highest, asks from the lowest."""
    book = Book()
    for number, (side, price, lots) in enumerate(
        [(Side.BUY, 9, 1), (Side.BUY, 10, 2), (Side.BUY, 9, 3), (Side.SELL, 12, 4), (Side.SELL, 11, 5)]
    ):
        book.rest(order(number, side, price, lots))
    assert book.depth(Side.BUY) == [(10, 2), (9, 4)]
    assert book.depth(Side.SELL) == [(11, 5), (12, 4)]


def test_removed_orders_far_from_the_front_are_forgotten() -> None:
    """Orders that come and go behind a better price leave nothing behind."""
    book = Book()
    book.rest(order(0, Side.BUY, 100, 1))
    for number in range(1, 5_000):
        book.rest(order(number, Side.BUY, 50, 1))
        book.remove(str(number))
    kept = sum(len(level) for level in book.levels[Side.BUY].values())
    assert kept <= book_module.MIN_STALE_ORDERS + 2
