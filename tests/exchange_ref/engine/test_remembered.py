"""Results that are remembered by what their clients call them."""

from __future__ import annotations

import gc

from exchange_ref.cfd.words import TradeChange, TradeStatus
from exchange_ref.engine.engine import Engine
from exchange_ref.engine.orders import BalanceChange, Deposit, Fill, Order, OrderType, Result, Side, Status
from exchange_ref.engine.remembered import Remembered

BTC, USD = 10**12, 10**15


def trade(engine: Engine, first: int, count: int) -> None:
    """Pairs of orders that fill each other, so that only what is remembered stays."""
    for number in range(first, first + count):
        for user, side in (("ann", Side.BUY), ("bob", Side.SELL)):
            name = f"{user}-{number}"
            at = number * 10**9  # so that nothing is kept for its expiry
            engine.submit(Order(name, user, name, "BTC/USD", side, OrderType.LIMIT, 4_200_000, 1, at))


def test_a_collection_walks_nothing_of_what_is_remembered() -> None:
    """Ten thousand more remembered results leave no more objects to Python's collector."""
    engine = Engine()
    engine.deposit(Deposit("ann", "USD", USD))
    engine.deposit(Deposit("bob", "BTC", BTC))
    walked = []
    for first in (0, 5_000):
        trade(engine, first, 5_000)
        for _ in range(3):  # a tuple is let go of once what it holds was
            gc.collect()
        walked.append(len(gc.get_objects()))
    assert walked[1] - walked[0] < 500


def test_what_is_kept_comes_back() -> None:
    """All of a result that its client sees comes back, and whose wallets it has changed."""
    remembered = Remembered(2)
    result = Result(
        "o1",
        Status.FILLED,
        filled_lots=7,
        quote_units=8,
        fills=(Fill("m1", "o1", 3, 7),),
        balances=(BalanceChange("ann", "BTC", 1, 2, 3),),
        reason="why",
        trade=TradeChange("t1", TradeStatus.CLOSED, 5, -6, 1),
    )
    remembered.put(("ann", "c1"), ("BTC/USD", 7), result)
    asked, again = remembered.get(("ann", "c1")) or ((), None)
    assert asked == ("BTC/USD", 7)
    assert again == Result(
        "o1",
        Status.FILLED,
        filled_lots=7,
        quote_units=8,
        fills=result.fills,
        balances=result.balances,
        reason="why",
        trade=result.trade,
    )


def test_the_oldest_goes() -> None:
    """With one more than may be kept the oldest is forgotten."""
    remembered = Remembered(2)
    for number in range(3):
        remembered.put(("ann", f"cfd-end/{number}"), (), Result(f"o{number}", Status.NEW))
    assert remembered.get(("ann", "cfd-end/0")) is None
    assert [result.order_id for result in remembered.with_prefix("cfd-end/")] == ["o1", "o2"]
    assert len(remembered) == 2
