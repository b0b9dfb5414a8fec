"""The engine under any commands, against a plain account of what was asked for."""

from __future__ import annotations

import pickle
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from exchange_ref.engine.engine import Engine
from exchange_ref.engine.instruments import ASSETS, PAIRS
from exchange_ref.engine.journal import Journal, replay
from exchange_ref.engine.orders import (
    MARKET_TYPES,
    RESTING,
    STOPS,
    Cancel,
    Deposit,
    Order,
    OrderRejected,
    OrderType,
    Result,
    SelfTrade,
    Side,
    Status,
    TimeInForce,
    Transfer,
    Withdrawal,
    WithdrawalStage,
)
from tests.exchange_ref.engine.state import state_of

USERS = ("ann", "bob", "eve")
SYMBOL = "SOL/USD"
SOL = PAIRS[SYMBOL]
PRICE = 9_500  # the opening price
PRICES = st.integers(PRICE - 8, PRICE + 8)
OVER = (Status.FILLED, Status.CANCELED, Status.REJECTED, Status.EXPIRED)


class EngineMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "journal.jsonl"
        self.journal = Journal(self.path)
        self.engine = Engine()
        self.now_s = 1
        self.count = 0
        self.orders: dict[str, Order] = {}
        self.status: dict[str, Status] = {}
        self.withdrawals: list[Withdrawal] = []
        self.net = dict.fromkeys(ASSETS, 0)
        self.trades = 0

    def teardown(self) -> None:
        """All of the journal gives the same engine; so does its first half, pickled and gone on with."""
        self.journal.close()
        lines = self.path.read_bytes().splitlines(keepends=True)
        half = Path(self.folder.name) / "half.jsonl"
        half.write_bytes(b"".join(lines[: len(lines) // 2]))
        whole, resumed = Engine(), Engine()
        replay(self.path, whole)
        first = Engine()
        after = replay(half, first)
        resumed.restore(pickle.loads(pickle.dumps(first.state())))
        resumed.remembered.restore(first.remembered.items(first.remembered.keys()))
        replay(self.path, resumed, after=after)
        assert state_of(whole) == state_of(resumed) == state_of(self.engine)
        self.folder.cleanup()

    @initialize()
    def fund(self) -> None:
        for user in USERS:
            for asset in ("SOL", "USD"):
                self.deposit(user, asset, 10**11, 0)

    def deposit(self, user: str, asset: str, units: int, fee: int) -> None:
        self.count += 1
        command = Deposit(user, asset, units, f"d{self.count}", fee)
        self.journal.append(command)
        self.engine.deposit(command)
        self.net[asset] += units

    @rule(user=st.sampled_from(USERS), units=st.integers(1, 10**9), asset=st.sampled_from(["SOL", "USD"]))
    def pay_in(self, user: str, units: int, asset: str) -> None:
        self.deposit(user, asset, units, units // 200)

    @rule(
        user=st.sampled_from(USERS),
        side=st.sampled_from(Side),
        kind=st.sampled_from(OrderType),
        price=PRICES,
        stop=PRICES,
        lots=st.integers(1, 400),
        time_in_force=st.sampled_from(TimeInForce),
        self_trade=st.sampled_from(SelfTrade),
        pause_s=st.integers(0, 6),
    )
    def order(
        self,
        *,
        user: str,
        side: Side,
        kind: OrderType,
        price: int,
        stop: int,
        lots: int,
        time_in_force: TimeInForce,
        self_trade: SelfTrade,
        pause_s: int,
    ) -> None:
        self.now_s += pause_s
        self.count += 1
        if kind in (*MARKET_TYPES, OrderType.LIMIT_MAKER) and time_in_force not in RESTING:
            time_in_force = TimeInForce.GTC
        order = Order(
            str(self.count),
            user,
            f"c{self.count}",
            SYMBOL,
            side,
            kind,
            0 if kind in MARKET_TYPES else price,
            lots,
            self.now_s * 10**9,
            time_in_force,
            (self.now_s + 9) * 10**9 if time_in_force is TimeInForce.GTD else 0,
            self_trade,
            stop_ticks=stop if kind in STOPS else 0,
        )
        self.journal.append(order)
        self.orders[order.order_id] = order
        best = self.engine.books[SYMBOL].best(side.opposite)
        result = self.engine.submit(order)
        self.took(result)
        if result.fills and order.price_ticks:
            sign = 1 if side is Side.BUY else -1
            assert all(sign * (fill.price_ticks - order.price_ticks) <= 0 for fill in result.fills)
        if result.fills and self_trade is SelfTrade.NONE:
            assert best is not None
            assert result.fills[0].maker_order_id == best.order_id
        if self_trade is not SelfTrade.NONE:
            assert all(self.orders[fill.maker_order_id].user_id != user for fill in result.fills)
        if time_in_force is TimeInForce.FOK and kind not in STOPS:
            assert result.filled_lots in (0, lots)

    def took(self, result: Result) -> None:
        for change in result.orders:
            assert self.status.get(change.order_id) not in OVER, "an order that was over has changed"
            self.status[change.order_id] = change.status
            assert change.filled_lots == self.orders[change.order_id].filled_lots or change.status not in OVER

    @rule(pick=st.randoms(use_true_random=False))
    def cancel(self, pick: Any) -> None:
        order = self.orders[pick.choice(sorted(self.orders))] if self.orders else None
        if order is None:
            return
        command = Cancel(order.order_id, order.user_id, SYMBOL)
        is_open = self.status[order.order_id] not in OVER
        try:
            self.engine.check_cancel(command)
        except OrderRejected:
            assert not is_open
            return
        assert is_open
        self.journal.append(command)
        self.took(self.engine.cancel(command))

    @rule(
        user=st.sampled_from(USERS), asset=st.sampled_from(["SOL", "USD"]), units=st.integers(1, 2 * 10**11)
    )
    def reserve(self, user: str, asset: str, units: int) -> None:
        self.count += 1
        name = f"w{self.count}"
        first = Withdrawal(name, user, name, asset, units, units // 1_000, WithdrawalStage.RESERVE)
        self.journal.append(first)
        if self.engine.withdraw(first).status is Status.NEW:
            self.withdrawals.append(first)

    @rule(paid=st.booleans(), pick=st.randoms(use_true_random=False))
    def end_withdrawal(self, paid: bool, pick: Any) -> None:
        if not self.withdrawals:
            return
        first = self.withdrawals.pop(pick.randrange(len(self.withdrawals)))
        stage = WithdrawalStage.PAY if paid else WithdrawalStage.REFUND
        command = Withdrawal(**{**asdict(first), "stage": stage})
        for _ in range(2):  # a repeated end does nothing again
            self.journal.append(command)
            self.engine.withdraw(command)
        self.net[first.asset] -= first.units if paid else 0

    @rule(user=st.sampled_from(USERS), to=st.sampled_from(USERS), units=st.integers(1, 2 * 10**11))
    def transfer(self, user: str, to: str, units: int) -> None:
        self.count += 1
        command = Transfer(f"t{self.count}", user, to, f"t{self.count}", "USD", units)
        self.journal.append(command)
        self.engine.transfer(command)

    @invariant()
    def no_unit_is_made_or_lost(self) -> None:
        sums = dict.fromkeys(ASSETS, 0)
        for row in self.engine.ledger.all_balances():
            assert min(row.available_units, row.locked_units) >= 0, row
            sums[row.asset] += row.available_units + row.locked_units
        assert sums == self.net

    @invariant()
    def what_is_locked_is_owed(self) -> None:
        owed = dict.fromkeys(((user, asset) for user in USERS for asset in ("SOL", "USD")), 0)
        book, stops = self.engine.books[SYMBOL], self.engine.stops[SYMBOL]
        for order in (*book.resting_orders(), *stops.waiting_orders()):
            if order.side is Side.SELL:
                owed[order.user_id, "SOL"] += SOL.base_units(order.remaining_lots)
            else:
                ticks = order.price_ticks or order.stop_ticks
                owed[order.user_id, "USD"] += SOL.notional_units(ticks, order.remaining_lots)
        for one in self.withdrawals:
            owed[one.user_id, one.asset] += one.units + one.fee_units
        for (user, asset), units in owed.items():
            assert self.engine.ledger.balance(user, asset).locked_units == units, (user, asset)

    @invariant()
    def the_book_is_in_order(self) -> None:
        book, stops = self.engine.books[SYMBOL], self.engine.stops[SYMBOL]
        bid, ask = book.best(Side.BUY), book.best(Side.SELL)
        assert bid is None or ask is None or bid.price_ticks < ask.price_ticks
        for side in Side:
            levels: dict[int, int] = {}
            for order in book.resting_orders():
                if order.side is side:
                    levels[order.price_ticks] = levels.get(order.price_ticks, 0) + order.remaining_lots
            assert book.levels_of(side) == levels
        assert all(order.time_in_force in RESTING for order in book.resting_orders())
        resting = {order.order_id for order in (*book.resting_orders(), *stops.waiting_orders())}
        assert resting == {one for one, status in self.status.items() if status not in OVER}

    @invariant()
    def no_stop_waits_behind_its_price(self) -> None:
        last = self.engine.tapes[SYMBOL].last_ticks
        for order in self.engine.stops[SYMBOL].waiting_orders():
            rising = order.triggers_rising
            assert last < order.stop_ticks if rising else last > order.stop_ticks

    @invariant()
    def trades_are_numbered(self) -> None:
        tape = self.engine.tapes[SYMBOL]
        assert [trade.trade_id for trade in tape.trades] == list(
            range(max(1, tape.count - 999), tape.count + 1)
        )
        assert tape.count >= self.trades
        self.trades = tape.count


EngineMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
test_the_engine_under_any_commands = EngineMachine.TestCase
