from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange_ref.engine.engine import Engine
from exchange_ref.engine.instruments import ASSETS, PAIRS
from exchange_ref.engine.ledger import MAKER_FEE_PPM, TAKER_FEE_PPM, fee_units
from exchange_ref.engine.orders import (
    RESTING,
    Cancel,
    Deposit,
    Fill,
    Order,
    OrderRejected,
    OrderType,
    Result,
    SelfTrade,
    Side,
    Status,
    TimeInForce,
)

BTC = PAIRS["BTC/USD"]
PRICE = 4_200_000  # 42,000 USD in ticks


@pytest.fixture
def engine() -> Engine:
    """Ann has dollars and bob has bitcoin, a million times what an order of these tests needs."""
    engine = Engine()
    engine.deposit(Deposit("ann", "USD", 10**17))
    engine.deposit(Deposit("bob", "BTC", 10**14))
    return engine


def available(engine: Engine, user: str, asset: str) -> int:
    return engine.ledger.balance(user, asset).available_units


def test_a_limit_order_that_meets_nobody_rests_and_locks(engine: Engine, new_order) -> None:
    """It is NEW and what it may cost is locked, not spent."""
    result = engine.submit(new_order(Side.BUY, PRICE, 100))
    assert (result.status, result.fills) == (Status.NEW, ())
    assert engine.ledger.balance("ann", "USD").locked_units == BTC.notional_units(PRICE, 100)


def test_a_trade_settles_at_the_makers_price_and_refunds_the_rest(engine: Engine, new_order) -> None:
    """A buyer with a higher limit pays the maker's price, and both pay their fee in what they receive."""
    maker = new_order(Side.SELL, PRICE, 100, "bob")
    engine.submit(maker)
    dollars = available(engine, "ann", "USD")
    result = engine.submit(new_order(Side.BUY, PRICE + 500, 100))
    paid, bought = BTC.notional_units(PRICE, 100), BTC.base_units(100)
    assert result.status is Status.FILLED
    assert result.fills == (Fill(maker.order_id, result.order_id, PRICE, 100),)
    assert result.quote_units == paid
    assert dollars - available(engine, "ann", "USD") == paid
    assert engine.ledger.balance("ann", "USD").locked_units == 0
    assert available(engine, "ann", "BTC") == bought - fee_units(bought, TAKER_FEE_PPM)
    assert available(engine, "bob", "USD") == paid - fee_units(paid, MAKER_FEE_PPM)


def test_price_comes_first_and_then_time(engine: Engine, new_order) -> None:
    """A taker meets the best price first and, within it, the oldest order first."""
    late_best = new_order(Side.SELL, PRICE - 1, 10, "bob")
    first, second = new_order(Side.SELL, PRICE, 10, "bob"), new_order(Side.SELL, PRICE, 10, "bob")
    for maker in (first, second, late_best):
        engine.submit(maker)
    fills = engine.submit(new_order(Side.BUY, PRICE, 25)).fills
    assert [(fill.maker_order_id, fill.lots) for fill in fills] == [
        (late_best.order_id, 10),
        (first.order_id, 10),
        (second.order_id, 5),
    ]


def test_a_partly_filled_limit_order_rests_with_what_is_left(engine: Engine, new_order) -> None:
    """It is PARTIALLY_FILLED and its rest can be met by the next."""
    engine.submit(new_order(Side.SELL, PRICE, 10, "bob"))
    result = engine.submit(new_order(Side.BUY, PRICE, 25))
    assert (result.status, result.filled_lots) == (Status.PARTIALLY_FILLED, 10)
    assert engine.books["BTC/USD"].depth(Side.BUY) == [(PRICE, 15)]


def test_what_a_market_order_cannot_get_is_given_up(engine: Engine, new_order) -> None:
    """A market sell beyond the book is EXPIRED with what it got, and nothing stays locked."""
    engine.submit(new_order(Side.BUY, PRICE, 10))
    result = engine.submit(new_order(Side.SELL, 0, 25, "bob"))
    assert (result.status, result.filled_lots) == (Status.EXPIRED, 10)
    assert engine.ledger.balance("bob", "BTC").locked_units == 0
    assert len(engine.books["BTC/USD"]) == 0


def test_a_market_buy_ends_where_the_money_ends(engine: Engine, new_order) -> None:
    """It takes as many lots as it can pay for and never more."""
    engine.deposit(Deposit("eve", "USD", BTC.notional_units(PRICE, 7) + 1))
    engine.submit(new_order(Side.SELL, PRICE, 100, "bob"))
    result = engine.submit(new_order(Side.BUY, 0, 50, "eve"))
    assert (result.status, result.filled_lots) == (Status.EXPIRED, 7)
    assert available(engine, "eve", "USD") == 1


def test_an_order_beyond_the_funds_is_rejected_without_a_trace(engine: Engine, new_order) -> None:
    """It is REJECTED with its reason; no balance and no book changes."""
    result = engine.submit(new_order(Side.SELL, PRICE, 1, "eve"))
    assert (result.status, result.balances) == (Status.REJECTED, ())
    assert "BTC" in result.reason
    assert len(engine.books["BTC/USD"]) == 0


def test_a_repeated_client_order_id_returns_the_first_result(engine: Engine, new_order) -> None:
    """The second submission executes nothing and answers with the first order."""
    first = engine.submit(new_order(Side.BUY, PRICE, 10, client_id="same"))
    locked = engine.ledger.balance("ann", "USD")
    again = engine.submit(new_order(Side.BUY, PRICE, 10, client_id="same"))
    assert (again.order_id, again.status, again.repeated) == (first.order_id, first.status, True)
    assert again.orders == ()
    assert [(row.available_units, row.locked_units) for row in again.balances] == [
        (locked.available_units, locked.locked_units)
    ]
    assert engine.ledger.balance("ann", "USD") == locked


def test_cancel_unlocks_what_was_left(engine: Engine, new_order) -> None:
    """A cancelled order leaves the book and gives back what it still held."""
    engine.submit(new_order(Side.SELL, PRICE, 10, "bob"))
    before = available(engine, "ann", "USD")
    order = new_order(Side.BUY, PRICE, 25)
    engine.submit(order)
    result = engine.cancel(Cancel(order.order_id, "ann", "BTC/USD"))
    assert (result.status, result.filled_lots) == (Status.CANCELED, 10)
    assert before - available(engine, "ann", "USD") == BTC.notional_units(PRICE, 10)
    with pytest.raises(OrderRejected, match="no order"):
        engine.cancel(Cancel(order.order_id, "ann", "BTC/USD"))


def test_nobody_cancels_for_another_or_moves_his_place(engine: Engine, new_order) -> None:
    """A stranger's cancel is refused and the order keeps its place in the queue."""
    first, second = new_order(Side.SELL, PRICE, 10, "bob"), new_order(Side.SELL, PRICE, 10, "bob")
    engine.submit(first)
    engine.submit(second)
    with pytest.raises(OrderRejected, match="no order"):
        engine.cancel(Cancel(first.order_id, "ann", "BTC/USD"))
    assert engine.books["BTC/USD"].best(Side.SELL) is first


def test_resting_orders_expire(engine: Engine, new_order) -> None:
    """A GTD order is EXPIRED by the next order after its time and gets its funds back; GTC orders stay."""
    old = new_order(Side.BUY, PRICE, 10, until_s=30)
    engine.submit(old)
    engine.submit(new_order(Side.SELL, PRICE + 9, 10, "bob"))
    result = engine.submit(new_order(Side.SELL, PRICE, 10, "bob", created_s=31))
    assert (result.status, result.fills) == (Status.NEW, ())
    assert (result.orders[0].order_id, result.orders[0].status) == (old.order_id, Status.EXPIRED)
    assert engine.ledger.balance("ann", "USD").locked_units == 0
    assert len(engine.books["BTC/USD"]) == 2


def test_ends_come_in_their_own_order(engine: Engine, new_order) -> None:
    """Orders expire by their ends, however they came; one that was cancelled before is no matter."""
    late, soon, gone = (new_order(Side.BUY, PRICE, 10, until_s=until_s) for until_s in (900, 20, 10))
    for order in (late, soon, gone):
        engine.submit(order)
    engine.cancel(Cancel(gone.order_id, "ann", "BTC/USD"))
    ended = engine.submit(new_order(Side.BUY, PRICE, 1, created_s=100)).orders
    assert [(change.order_id, change.status) for change in ended[:-1]] == [(soon.order_id, Status.EXPIRED)]
    assert late.order_id in engine.books["BTC/USD"]


def test_what_left_the_book_is_not_kept_until_its_end(engine: Engine, new_order) -> None:
    """Of many cancelled orders that are good for a day few are still held."""
    for _ in range(2_500):
        order = new_order(Side.BUY, PRICE, 10, until_s=86_400)
        engine.submit(order)
        engine.cancel(Cancel(order.order_id, "ann", "BTC/USD"))
    assert len(engine.expiries) <= 1_001


@pytest.mark.parametrize("time_in_force", [TimeInForce.IOC, TimeInForce.FOK])
def test_orders_that_must_not_rest(engine: Engine, new_order, time_in_force: TimeInForce) -> None:
    """Of 25 lots where 10 are offered IOC trades 10 and FOK none; neither rests or holds anything. Where all
    is offered both are filled."""
    engine.submit(new_order(Side.SELL, PRICE, 10, "bob"))
    before = engine.ledger.all_balances()
    result = engine.submit(new_order(Side.BUY, PRICE + 5, 25, time_in_force=time_in_force))
    assert result.status is Status.EXPIRED
    assert result.filled_lots == (10 if time_in_force is TimeInForce.IOC else 0)
    if time_in_force is TimeInForce.FOK:
        assert (engine.ledger.all_balances(), result.balances) == (before, ())
    assert engine.ledger.balance("ann", "USD").locked_units == 0
    assert engine.books["BTC/USD"].depth(Side.BUY) == []
    engine.submit(new_order(Side.SELL, PRICE + 6, 90, "bob"))  # beyond the limit
    engine.submit(new_order(Side.SELL, PRICE, 15, "bob"))
    engine.submit(new_order(Side.SELL, PRICE + 1, 15, "bob"))
    assert (
        engine.submit(new_order(Side.BUY, PRICE + 5, 25, time_in_force=time_in_force)).status is Status.FILLED
    )


def test_a_maker_only_makes(engine: Engine, new_order) -> None:
    """A LIMIT_MAKER order that would trade is rejected with the price that is offered; else it rests."""
    engine.submit(new_order(Side.SELL, PRICE, 10, "bob"))
    crossing = engine.submit(new_order(Side.BUY, PRICE, 10, kind=OrderType.LIMIT_MAKER))
    assert (crossing.status, crossing.code, crossing.balances) == (Status.REJECTED, "would_trade", ())
    assert "42000.00 is offered" in crossing.reason
    below = engine.submit(new_order(Side.BUY, PRICE - 1, 10, kind=OrderType.LIMIT_MAKER))
    assert below.status is Status.NEW


@pytest.mark.parametrize(
    ("self_trade", "ends"),
    [
        (SelfTrade.NONE, (Status.FILLED, 20, 10)),
        (SelfTrade.EXPIRE_MAKER, (Status.FILLED, 20, 0)),
        (SelfTrade.EXPIRE_TAKER, (Status.EXPIRED, 5, 25)),
        (SelfTrade.EXPIRE_BOTH, (Status.EXPIRED, 5, 15)),
    ],
)
def test_who_meets_himself(
    engine: Engine, new_order, self_trade: SelfTrade, ends: tuple[Status, int, int]
) -> None:
    """Behind 5 lots of bob's ann's own 10 are next, then 15 of bob's: `ends` is status, filled, resting."""
    engine.deposit(Deposit("ann", "BTC", 10**12))
    for user, lots in (("bob", 5), ("ann", 10), ("bob", 15)):
        engine.submit(new_order(Side.SELL, PRICE, lots, user))
    result = engine.submit(new_order(Side.BUY, PRICE, 20, self_trade=self_trade))
    resting = sum(lots for _, lots in engine.books["BTC/USD"].depth(Side.SELL))
    assert (result.status, result.filled_lots, resting) == ends
    assert engine.ledger.balance("ann", "USD").locked_units == 0
    check_conservation(engine)


def test_both_sides_know_what_was_paid(engine: Engine, new_order) -> None:
    """Each change of an order tells what all of its fills cost, over several takers."""
    maker = new_order(Side.SELL, PRICE, 10, "bob")
    engine.submit(maker)
    engine.submit(new_order(Side.BUY, PRICE, 4))
    change, own = engine.submit(new_order(Side.BUY, PRICE + 7, 6)).orders
    assert (change.order_id, change.quote_units) == (maker.order_id, BTC.notional_units(PRICE, 10))
    assert own.quote_units == BTC.notional_units(PRICE, 6)


ORDERS = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "eve"]),
        st.sampled_from(sorted(PAIRS)),
        st.sampled_from(Side),
        st.one_of(st.just(0), st.integers(4_199_990, 4_200_010)),
        st.integers(1, 40),
        st.integers(0, 20),
        st.sampled_from(TimeInForce),
        st.sampled_from(SelfTrade),
        st.sampled_from([OrderType.LIMIT, OrderType.LIMIT_MAKER]),
    ),
    max_size=60,
)


@given(ORDERS)
@settings(max_examples=150)
def test_no_unit_is_made_or_lost(orders: list[tuple[Any, ...]]) -> None:
    """After any orders each asset adds up to its deposits, no balance is negative, what is locked is exactly
    what resting orders hold, no book is crossed, and each order keeps its terms."""
    engine = Engine()
    for user in ("ann", "bob", "eve"):
        for asset in ASSETS:
            engine.deposit(Deposit(user, asset, 3 * 10**9 if asset != "USD" else 2 * 10**12))
    now_s = 0
    users: dict[str, str] = {}
    for number, (user, symbol, side, price, lots, pause_s, time_in_force, self_trade, kind) in enumerate(
        orders
    ):
        now_s += pause_s
        terms: tuple[Any, ...] = (time_in_force, (now_s + 30) * 10**9, self_trade)
        limit = kind
        if not price:
            limit, terms = OrderType.MARKET, (TimeInForce.GTC, 0, self_trade)
        order = Order(str(number), user, str(number), symbol, side, limit, price, lots, now_s * 10**9, *terms)
        users[order.order_id] = user
        result = engine.submit(order)
        check_result(order, result)
        check_terms(order, result, engine, users)
    check_conservation(engine)
    for symbol, book in engine.books.items():
        bid, ask = book.best(Side.BUY), book.best(Side.SELL)
        assert bid is None or ask is None or bid.price_ticks < ask.price_ticks, f"{symbol} is crossed"


def check_result(order: Order, result: Result) -> None:
    assert result.filled_lots == sum(fill.lots for fill in result.fills) == order.filled_lots
    if order.price_ticks:
        better = (
            (lambda p: p <= order.price_ticks)
            if order.side is Side.BUY
            else (lambda p: p >= order.price_ticks)
        )
        assert all(better(fill.price_ticks) for fill in result.fills)


def check_terms(order: Order, result: Result, engine: Engine, users: dict[str, str]) -> None:
    if order.time_in_force is TimeInForce.FOK:
        assert result.filled_lots in {0, order.quantity_lots}
    if order.time_in_force not in RESTING:
        assert order.order_id not in engine.books[order.symbol]
    if order.type is OrderType.LIMIT_MAKER:
        assert not result.fills
    if order.self_trade is not SelfTrade.NONE:
        assert all(users[fill.maker_order_id] != order.user_id for fill in result.fills)


def check_conservation(engine: Engine) -> None:
    rows = engine.ledger.all_balances()
    locked: dict[tuple[str, str], int] = {}
    for symbol, book in engine.books.items():
        pair = PAIRS[symbol]
        for order in book.resting_orders():
            buying = order.side is Side.BUY
            key = (order.user_id, pair.quote if buying else pair.base)
            held = pair.notional_units(order.price_ticks, order.remaining_lots)
            locked[key] = locked.get(key, 0) + (held if buying else pair.base_units(order.remaining_lots))
    for row in rows:
        assert row.available_units >= 0
        assert row.locked_units == locked.get((row.user_id, row.asset), 0)
    for asset in ASSETS:
        total = sum(row.available_units + row.locked_units for row in rows if row.asset == asset)
        assert total == engine.ledger.deposited_units(asset)


def test_a_repeated_deposit_credits_once(engine: Engine) -> None:
    """The second delivery of a deposit credits nothing and shows the wallet as it is by now; without an id
    each is a new one."""
    before = engine.ledger.balance("ann", "USD").available_units
    engine.deposit(Deposit("ann", "USD", 5, "d-1"))
    engine.deposit(Deposit("ann", "USD", 7))
    engine.deposit(Deposit("ann", "USD", 7))
    again = engine.deposit(Deposit("ann", "USD", 5, "d-1"))
    assert again.repeated
    assert [row.available_units for row in again.balances] == [before + 19]
    assert engine.ledger.balance("ann", "USD").available_units == before + 19
