from __future__ import annotations

import pytest

from exchange_ref.engine.engine import Engine
from exchange_ref.engine.instruments import PAIRS
from exchange_ref.engine.orders import Cancel, Deposit, OrderType, Result, Side, Status, TimeInForce
from exchange_ref.engine.stops import Stops
from exchange_ref.engine.tape import Tape

BTC = PAIRS["BTC/USD"]
PRICE = 4_200_000  # the opening price, which counts as the last one before the first trade


@pytest.fixture
def engine() -> Engine:
    engine = Engine()
    for user in ("ann", "bob"):
        engine.deposit(Deposit(user, "USD", 10**17))
        engine.deposit(Deposit(user, "BTC", 10**14))
    return engine


def trade_at(engine: Engine, new_order, price: int) -> Result:
    """One lot changes hands between cat and dan, outside everybody else's way."""
    for user in ("cat", "dan"):
        engine.deposit(Deposit(user, "USD", 10**15))
        engine.deposit(Deposit(user, "BTC", 10**12))
    engine.submit(new_order(Side.SELL, price, 1, "cat"))
    return engine.submit(new_order(Side.BUY, price, 1, "dan"))


KINDS = [
    (OrderType.STOP_LOSS, Side.SELL, -1),
    (OrderType.STOP_LOSS, Side.BUY, 1),
    (OrderType.TAKE_PROFIT, Side.SELL, 1),
    (OrderType.TAKE_PROFIT, Side.BUY, -1),
]


@pytest.mark.parametrize(("kind", "side", "sign"), KINDS)
def test_a_stop_waits_for_its_price(
    engine: Engine, new_order, kind: OrderType, side: Side, sign: int
) -> None:
    """It is NEW with its money locked until its price is traded, one tick before is not enough, and then
    trades as a market order."""
    stop = PRICE + sign * 100
    waiting = engine.submit(new_order(side, 0, 7, "ann", kind=kind, stop_ticks=stop))
    assert (waiting.status, waiting.fills) == (Status.NEW, ())
    asset, locked = ("BTC", BTC.base_units(7)) if side is Side.SELL else ("USD", BTC.notional_units(stop, 7))
    assert engine.ledger.balance("ann", asset).locked_units == locked
    met = PRICE + (105 if side is Side.BUY else -105)  # what the market order then meets
    engine.submit(new_order(side.opposite, met, 7, "bob"))
    assert not any(change.triggered for change in trade_at(engine, new_order, stop - sign).orders)
    result = trade_at(engine, new_order, stop)
    changes = {change.order_id: change for change in result.orders}
    own = changes[waiting.order_id]
    assert (own.status, own.filled_lots, own.triggered) == (Status.FILLED, 7, True)
    assert own.quote_units == BTC.notional_units(met, 7)
    assert engine.ledger.balance("ann", asset).locked_units == 0
    assert len(engine.stops["BTC/USD"]) == 0


@pytest.mark.parametrize(("kind", "side", "sign"), KINDS)
def test_a_stop_on_the_wrong_side_is_refused(
    engine: Engine, new_order, kind: OrderType, side: Side, sign: int
) -> None:
    """One that would trigger at once is rejected, at the last price itself too, and names that price."""
    before = engine.ledger.all_balances()
    for stop in (PRICE, PRICE - sign):
        result = engine.submit(new_order(side, 0, 7, "ann", kind=kind, stop_ticks=stop))
        assert (result.status, result.code, result.balances) == (Status.REJECTED, "would_trigger", ())
        assert "the last traded price 42000.00" in result.reason
    assert engine.ledger.all_balances() == before


def test_a_triggered_limit_rests_with_its_terms(engine: Engine, new_order) -> None:
    """A STOP_LOSS_LIMIT that meets nobody rests at its limit, can be cancelled, and gives all back."""
    order = new_order(Side.SELL, PRICE + 50, 7, "ann", kind=OrderType.STOP_LOSS_LIMIT, stop_ticks=PRICE - 100)
    engine.submit(order)
    trade_at(engine, new_order, PRICE - 100)
    assert engine.books["BTC/USD"].depth(Side.SELL) == [(PRICE + 50, 7)]
    assert engine.cancel(Cancel(order.order_id, "ann", "BTC/USD")).status is Status.CANCELED
    balance = engine.ledger.balance("ann", "BTC")
    assert (balance.available_units, balance.locked_units) == (10**14, 0)


def test_a_waiting_stop_can_be_cancelled_or_expires(engine: Engine, new_order) -> None:
    """Cancelled, or GTD and over: its money is free again and its price triggers nothing."""
    kept = [
        new_order(Side.BUY, 0, 7, kind=OrderType.STOP_LOSS, stop_ticks=PRICE + 100, until_s=until_s)
        for until_s in (0, 5)
    ]
    for order in kept:
        engine.submit(order)
    engine.cancel(Cancel(kept[0].order_id, "ann", "BTC/USD"))
    late = engine.submit(new_order(Side.BUY, 1, 1, "bob", created_s=6))
    assert [(change.order_id, change.status) for change in late.orders[:-1]] == [
        (kept[1].order_id, Status.EXPIRED)
    ]
    assert not any(change.triggered for change in trade_at(engine, new_order, PRICE + 100).orders)
    assert engine.ledger.balance("ann", "USD").locked_units == 0


def test_a_stop_triggers_the_next(engine: Engine, new_order) -> None:
    """Each triggered sale trades lower and triggers the next, as the price passes them; a FOK that cannot be
    filled expires."""
    for price, lots in ((PRICE - 20, 5), (PRICE - 40, 5), (PRICE - 60, 5)):
        engine.submit(new_order(Side.BUY, price, lots, "bob"))
    stops = [
        engine.submit(new_order(Side.SELL, 0, 5, kind=OrderType.STOP_LOSS, stop_ticks=stop)).order_id
        for stop in (PRICE - 20, PRICE - 10)
    ]
    kind = OrderType.STOP_LOSS_LIMIT
    fok = new_order(Side.SELL, PRICE - 60, 9, kind=kind, stop_ticks=PRICE - 40, time_in_force=TimeInForce.FOK)
    engine.submit(fok)
    result = trade_at(engine, new_order, PRICE - 10)
    ended = [(change.order_id, change.status) for change in result.orders if change.triggered]
    assert ended == [
        (stops[1], Status.FILLED),
        (stops[0], Status.FILLED),
        (fok.order_id, Status.EXPIRED),
    ]
    assert result.status is Status.FILLED
    assert engine.tapes["BTC/USD"].last_ticks == PRICE - 40


def test_the_answer_is_of_the_order_alone(engine: Engine, new_order) -> None:
    """A taker whose own trade triggers a stop that fills its rest is answered with its own fills; the row
    that follows tells the rest."""
    engine.submit(new_order(Side.SELL, 0, 3, "bob", kind=OrderType.TAKE_PROFIT, stop_ticks=PRICE + 9))
    engine.submit(new_order(Side.SELL, PRICE + 9, 4, "bob"))
    taker = new_order(Side.BUY, PRICE + 9, 10)
    result = engine.submit(taker)
    assert (result.status, result.filled_lots) == (Status.PARTIALLY_FILLED, 4)
    own = [change for change in result.orders if change.order_id == taker.order_id]
    assert [change.filled_lots for change in own] == [4, 7]


def test_of_one_price_the_older_stop_comes_first(new_order) -> None:
    """Both directions at once: by their time of placing."""
    stops = Stops()
    falling = new_order(Side.SELL, 0, 1, kind=OrderType.STOP_LOSS, stop_ticks=90)
    rising = new_order(Side.SELL, 0, 1, kind=OrderType.TAKE_PROFIT, stop_ticks=90)
    same = new_order(Side.SELL, 0, 1, kind=OrderType.STOP_LOSS, stop_ticks=90)
    for order in (falling, rising, same):
        stops.add(order)
    assert [stops.take_triggered(90) for _ in range(4)] == [falling, rising, same, None]


def test_cancelled_stops_are_not_kept(new_order) -> None:
    """Of many that were cancelled few are still held."""
    stops = Stops()
    for _ in range(2_500):
        order = new_order(Side.SELL, 0, 1, kind=OrderType.STOP_LOSS, stop_ticks=90)
        stops.add(order)
        stops.remove(order.order_id)
    assert len(stops) == 0
    assert stops.held <= 1_001


def test_candles_join_minutes_and_forget_the_oldest() -> None:
    """Open, high, low, close, volume and turnover of five minutes; no more than 25 hours are kept."""
    tape = Tape(100)
    for second, price in ((0, 10), (50, 30), (130, 5), (299, 20), (300, 40)):
        tape.note(second * 10**9, price, 2, Side.BUY)
    first, second_candle = tape.candles(5)
    assert (first.open, first.high, first.low, first.close) == (10, 30, 5, 20)
    assert (first.volume, first.turnover, first.trades) == (8, 130, 4)
    assert second_candle.open == 40
    for minute in range(3_000):
        tape.note(minute * 60 * 10**9, 10, 1, Side.SELL)
    assert len(tape.minutes) == 1_500
    assert [trade.trade_id for trade in tape.trades][-1] == 3_005
