from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_ref.cfd.pricing import check_levels, ending, profit_units
from exchange_ref.cfd.words import CloseTrade, OpenTrade, TradeSide, TradeStatus
from exchange_ref.engine.engine import Engine
from exchange_ref.engine.journal import Journal, replay
from exchange_ref.engine.ledger import HOUSE_ACCOUNT, INSURANCE_ACCOUNT
from exchange_ref.engine.messages import (
    decode_command,
    decode_reply,
    encode_command,
    encode_result,
)
from exchange_ref.engine.orders import Deposit, OrderRejected, Status


def trade(
    side: TradeSide = TradeSide.LONG,
    leverage: int = 10,
    margin: int = 1_000,
    entry: int = 10_000,
    *,
    stop: int = 0,
    take: int = 0,
    name: str = "t1",
    user: str = "ann",
) -> OpenTrade:
    return OpenTrade(name, user, name, "BTC", side, leverage, margin, entry, stop, take)


def desk_of(ann: int = 5_000, house: int = 50_000, insurance: int = 3_000) -> Engine:
    engine = Engine()
    for user, units in (("ann", ann), (HOUSE_ACCOUNT, house), (INSURANCE_ACCOUNT, insurance)):
        if units:
            engine.deposit(Deposit(user, "USD", units))
    return engine


def usd(engine: Engine, user: str) -> tuple[int, int]:
    held = engine.ledger.balance(user, "USD")
    return held.available_units, held.locked_units


@pytest.mark.parametrize(
    ("side", "price", "profit"),
    [
        (TradeSide.LONG, 10_100, 100),
        (TradeSide.LONG, 9_900, -100),
        (TradeSide.SHORT, 9_900, 100),
        (TradeSide.SHORT, 10_100, -100),
        (TradeSide.LONG, 10_000, 0),
    ],
)
def test_profit_is_the_move_times_leverage(side: TradeSide, price: int, profit: int) -> None:
    """One percent of the price is ten percent of a margin at tenfold leverage, for and against."""
    assert profit_units(trade(side), price) == profit


@pytest.mark.parametrize(
    ("position", "price", "status"),
    [
        (trade(stop=9_900, take=10_200), 10_000, None),
        (trade(stop=9_900), 9_900, TradeStatus.STOPPED),
        (trade(stop=9_900), 9_901, None),
        (trade(take=10_200), 10_200, TradeStatus.TAKEN),
        (trade(take=10_200), 10_199, None),
        (trade(stop=9_900), 9_000, TradeStatus.LIQUIDATED),
        (trade(), 9_001, None),
        (trade(TradeSide.SHORT, stop=10_100), 10_100, TradeStatus.STOPPED),
        (trade(TradeSide.SHORT, take=9_800), 9_800, TradeStatus.TAKEN),
        (trade(TradeSide.SHORT), 11_000, TradeStatus.LIQUIDATED),
        (trade(leverage=1), 11, None),
    ],
)
def test_a_trade_ends_at_its_levels(position: OpenTrade, price: int, status: TradeStatus | None) -> None:
    """Levels fire when the price is there, and what has lost its margin is liquidated first."""
    assert ending(position, price) is status


@pytest.mark.parametrize(
    ("position", "field"),
    [
        (trade(stop=10_000), "stop_loss"),
        (trade(take=10_000), "take_profit"),
        (trade(take=9_999), "take_profit"),
        (trade(TradeSide.SHORT, stop=9_999), "stop_loss"),
        (trade(TradeSide.SHORT, take=10_001), "take_profit"),
    ],
)
def test_levels_that_would_fire_at_once_are_refused(position: OpenTrade, field: str) -> None:
    """The refusal names the level and the side of the price on which it belongs."""
    with pytest.raises(OrderRejected, match=f"the {field} .* must lie (above|below)") as refusal:
        check_levels(position)
    assert refusal.value.details == {"field": field}
    check_levels(trade(stop=9_999, take=10_001))


def test_a_gain_is_the_houses_loss() -> None:
    """The margin is locked while the trade is open and comes back with the profit, which the house pays."""
    engine = desk_of()
    assert engine.open_trade(trade()).status is Status.NEW
    assert usd(engine, "ann") == (4_000, 1_000)
    ended = engine.close_trade(CloseTrade("t1", "ann", 10_300))
    assert ended.trade is not None
    assert (ended.trade.status, ended.trade.profit_units) == (TradeStatus.CLOSED, 300)
    assert usd(engine, "ann") == (5_300, 0)
    assert usd(engine, HOUSE_ACCOUNT) == (49_700, 0)


def test_a_loss_beyond_the_margin_is_the_insurances() -> None:
    """The trader loses the margin and no more; the insurance makes good the rest to the house."""
    engine = desk_of()
    engine.open_trade(trade())
    ended = engine.close_trade(CloseTrade("t1", "ann", 8_000))
    assert ended.trade is not None
    assert (ended.trade.status, ended.trade.profit_units) == (TradeStatus.LIQUIDATED, -1_000)
    assert ended.trade.shortfall_units == 1_000
    assert usd(engine, "ann") == (4_000, 0)
    assert usd(engine, HOUSE_ACCOUNT) == (52_000, 0)
    assert usd(engine, INSURANCE_ACCOUNT) == (2_000, 0)


def test_a_gain_that_cannot_be_paid_is_cut() -> None:
    """House and insurance pay what they have; the trader has the margin back in any case."""
    engine = desk_of(house=200, insurance=50)
    engine.open_trade(trade())
    ended = engine.close_trade(CloseTrade("t1", "ann", 11_000))
    assert ended.trade is not None
    assert ended.trade.profit_units == 250
    assert usd(engine, "ann") == (5_250, 0)


def test_repeats_and_strangers_change_nothing() -> None:
    """A repeated command gives its first result; nobody else can end a trade; too little money opens none."""
    engine = desk_of()
    first = engine.open_trade(trade())
    again = engine.open_trade(trade(name="t1"))
    assert again.repeated
    assert again.trade == first.trade
    assert usd(engine, "ann") == (4_000, 1_000)
    with pytest.raises(OrderRejected, match="no trade t1 of this user"):
        engine.close_trade(CloseTrade("t1", "bob", 10_000))
    ended = engine.close_trade(CloseTrade("t1", "ann", 10_000))
    later = engine.close_trade(CloseTrade("t1", "ann", 12_000))
    assert (later.repeated, later.trade) == (True, ended.trade)
    refused = engine.open_trade(trade(name="t2", margin=5_001))
    assert (refused.status, refused.trade) == (Status.REJECTED, None)
    assert usd(engine, "ann") == (5_000, 0)


def test_commands_and_results_survive_the_wire() -> None:
    """Trades are equal after encoding and decoding, and so is what became of them."""
    for command in (trade(stop=5), CloseTrade("t1", "ann", 9, TradeStatus.STOPPED)):
        assert decode_command(encode_command(command)) == command
    result = desk_of().open_trade(trade())
    assert decode_reply(encode_result(result)) == result


moves = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob"]),
        st.sampled_from(TradeSide),
        st.integers(1, 100),
        st.integers(1, 3_000),
        st.integers(1, 20_000),
        st.integers(1, 20_000),
        st.booleans(),
    ),
    max_size=25,
)


@given(moves, st.integers(0, 2_000), st.integers(0, 500))
def test_money_is_conserved_and_never_negative(
    steps: list[tuple[str, TradeSide, int, int, int, int, bool]], house: int, insurance: int
) -> None:
    """Whatever is opened and closed at whatever prices: all balances add up to the deposits, none is below
    zero, and nobody loses more than the margin."""
    engine = desk_of(house=house, insurance=insurance)
    engine.deposit(Deposit("bob", "USD", 2_000))
    opened: list[tuple[OpenTrade, int]] = []

    def check() -> None:
        rows = engine.ledger.all_balances()
        assert sum(row.available_units + row.locked_units for row in rows) == engine.ledger.deposited_units(
            "USD"
        )
        assert all(row.available_units >= 0 and row.locked_units >= 0 for row in rows)
        locked = sum(row.locked_units for row in rows)
        assert locked == sum(one.margin_units for one in engine.desk.trades())

    for number, (user, side, leverage, margin, entry, price, ends) in enumerate(steps):
        position = trade(side, leverage, margin, entry, name=str(number), user=user)
        if engine.open_trade(position).status is Status.NEW:
            opened.append((position, price))
        check()
        if ends and opened:
            position, end_ticks = opened.pop(0)
            ended = engine.close_trade(CloseTrade(position.trade_id, position.user_id, end_ticks))
            assert ended.trade is not None
            assert ended.trade.profit_units >= -position.margin_units
            check()


def test_a_journal_rebuilds_positions_and_balances(tmp_path) -> None:
    """Replaying the commands gives the same balances and the same open positions, levels included."""
    engine, log = Engine(), Journal(tmp_path / "journal.jsonl")
    engine.deposit(Deposit("ann", "USD", 5_000))
    log.append(Deposit("ann", "USD", 5_000))
    for position in (trade(stop=9_500), trade(TradeSide.SHORT, name="t2", take=9_000)):
        log.append(position)
        engine.open_trade(position)
    close = CloseTrade("t1", "ann", 9_400, TradeStatus.STOPPED)
    log.append(close)
    engine.close_trade(close)
    log.close()
    again = Engine()
    assert replay(tmp_path / "journal.jsonl", again) == 4
    assert again.ledger.all_balances() == engine.ledger.all_balances()
    assert again.desk.trades() == engine.desk.trades() == [trade(TradeSide.SHORT, name="t2", take=9_000)]
    assert again.ended_trades() == engine.ended_trades()
