"""Orders that are wrong in what they say: far from the market, or with oneself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from detectors.model.anomaly import Anomaly
from detectors.orders.limit_price import PriceWatch
from detectors.orders.wash_trade import WashWatch
from detectors.settings import Settings

S = 1_000_000_000
NOW = 1_790_000_000
ACCOUNTS = [f"user-{number}" for number in range(24)]


class Orders:
    """Thirty orders a second in BTC/USD at about 42,000 by 24 users; each in two spans of its trace."""

    def __init__(self) -> None:
        self.prices, self.wash = PriceWatch(Settings()), WashWatch(Settings())
        self.rng = np.random.default_rng(4)
        self.now, self.count, self.price = NOW, 0, 42_000.0

    def order(self, *, account: str = "", side: str = "BUY", **more: Any) -> list[dict[str, Any]]:
        self.count += 1
        row = {
            "trace_id": f"{self.count:032x}",
            "span_id": "a" * 16,
            "service_name": "shop",
            "operation": "submit",
            "span_kind": "INTERNAL",
            "start_unix_nano": self.now * S + self.count % 1_000 * 1_000_000,
            "duration_ns": 5_000_000,
            "order_pair": "BTC/USD",
            "asset": "BTC",
            "side": side,
            "amount": round(float(np.exp(0.7 * self.rng.standard_normal())), 5),
            "limit_price": 0.0,
            "fill_price": 0.0,
            "account": account or str(self.rng.choice(ACCOUNTS)),
            **more,
        }
        return [row, {**row, "span_id": "b" * 16, "duration_ns": 2_000_000}]

    def usual(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for _ in range(30):
            side = str(self.rng.choice(["BUY", "SELL"]))
            near = round(self.price * (1 + 0.001 * float(self.rng.standard_normal())), 2)
            taking = self.rng.random() < 0.5
            rows += self.order(side=side, **{"fill_price" if taking else "limit_price": near})
        return rows

    def judge(self, rows: list[dict[str, Any]]) -> list[Anomaly]:
        table = pa.Table.from_pylist(rows)
        return self.prices.judge(table) + self.wash.judge(table, self.now)

    def second(self, *odd: dict[str, Any]) -> list[Anomaly]:
        self.now += 1
        return self.judge([*self.usual(), *odd])

    def washed(self, sellers: list[str], buyers: list[str]) -> list[dict[str, Any]]:
        """Orders of one size that meet at one price each; seller and buyer by turns."""
        rows: list[dict[str, Any]] = []
        for seller, buyer in zip(sellers, buyers, strict=True):
            self.count += 19
            price = round(self.price + self.count / 100, 2)
            rows += self.order(account=seller, side="SELL", amount=1.0, limit_price=price)
            rows += self.order(account=buyer, amount=1.0, limit_price=price, fill_price=price)
        return rows


@pytest.fixture
def orders() -> Orders:
    """After 100 quiet seconds."""
    made = Orders()
    for _ in range(100):
        assert made.second() == []
    return made


@pytest.mark.parametrize(("side", "factor"), [("BUY", 10.0), ("BUY", 2.0), ("SELL", 0.1)])
def test_offer_with_a_digit_too_many_is_found_once(orders, side, factor):
    """It is filled at the makers' price, which hides it from every look at fills."""
    orders.now += 1
    odd = orders.order(side=side, limit_price=42_000.0 * factor, fill_price=42_001.0)
    (found,) = orders.judge([*orders.usual(), *odd])
    assert found.severity <= 2
    assert (found.details["rule"], found.details["direction"]) == ("price deviation", "aggressive")
    assert (found.span_id, found.observed) == ("a" * 16, 42_000.0 * factor)
    assert orders.second(*odd[:1]) == []  # the same order in a span that lands later


def test_who_waits_far_away_is_noted_mildly(orders):
    """A bid at half the price harms nobody, and a whale's at 2% below is nothing at all."""
    (found,) = orders.second(*orders.order(limit_price=21_000.0))
    assert (found.severity, found.details["direction"]) == (5, "passive")
    assert orders.second(*orders.order(limit_price=42_000.0 * 0.98)) == []


def test_market_that_moves_carries_its_orders_with_it(orders):
    """A tenth in five seconds: orders at the new price are no typing errors."""
    found = []
    for _ in range(5):
        orders.price *= 1.02
        found += orders.second()
    assert found == []


def test_third_order_above_the_market_is_the_market(orders):
    """Six bids a tenth above: the first two may be errors; ten times the price is one in any case."""
    odd = [row for _ in range(6) for row in orders.order(limit_price=46_200.0)]
    found = orders.second(*odd)
    assert sorted(a.severity for a in found)[2:] == [5] * 4
    (typed,) = orders.second(*orders.order(limit_price=420_000.0))
    assert typed.severity <= 2


def test_where_far_limits_are_usual_they_are_quiet():
    """One order in fifty lies a third above the market, from the beginning."""
    ladder, found = Orders(), []
    for _ in range(150):
        found += ladder.second(*ladder.order(limit_price=56_000.0))
    assert [a for a in found if a.severity < 5] == []


def test_account_that_trades_with_itself_is_found(orders):
    """Six rounds in a second, each at the order that completes it; all of one incident."""
    found = orders.second(*orders.washed(["user-7"] * 6, ["user-7"] * 6))
    assert {a.details["rule"] for a in found} == {"self-trade"}
    assert len({a.trace_id for a in found}) == 6
    assert found[0].severity <= 3
    assert found[0].cell == "BTC/USD user-7"
    assert "user-7 traded with itself, 6 times in " in found[0].text
    assert orders.second() == []


def test_round_trips_of_two_accounts_are_found(orders):
    """Two accounts that buy back what they sold to each other, again and again, are found."""
    sellers = ["user-3", "user-9"] * 5
    found = orders.second(*orders.washed(sellers, sellers[1:] + sellers[:1]))
    assert {a.details["rule"] for a in found} == {"round trip"}
    assert found[0].details["accounts"] == ["user-3", "user-9"]


def test_trades_with_many_others_are_quiet(orders):
    """One account sells the same size to ten others: a market maker."""
    assert orders.second(*orders.washed(["user-1"] * 10, ACCOUNTS[2:12])) == []


def test_spans_in_batches_of_their_own_are_one_order(orders):
    """The fill lands after the limit, and the selling span last: still six crossings, counted once."""
    rows = orders.washed(["user-7"] * 6, ["user-7"] * 6)
    early = [{**row, "fill_price": 0.0} for row in rows if row["side"] == "BUY"]
    assert orders.judge(early) == []
    found = orders.judge([row for row in rows if row["side"] == "BUY"])
    found += orders.judge([row for row in rows if row["side"] == "SELL"])
    assert max(int(str(a.details["crossings"])) for a in found) == 6
    assert len(found) == 6


def test_fill_in_an_inner_span_completes_a_self_trade(orders):
    """The outermost spans know no fill, inner ones do and repeat it: found all the same."""
    rows = [
        {**row, "fill_price": 0.0, "limit_price": row["fill_price"] or row["limit_price"]}
        if row["span_id"] == "a" * 16
        else {**row, "start_unix_nano": row["start_unix_nano"] + 1}
        for row in orders.washed(["user-7"] * 6, ["user-7"] * 6)
    ]
    inner = [{**row, "span_id": "c" * 16} for row in rows if row["span_id"] == "b" * 16]
    found = orders.second(*rows, *inner)
    assert {a.details["rule"] for a in found} == {"self-trade"}
    assert {a.details["crossings"] for a in found} == {6}


def test_account_that_always_met_itself_is_quiet():
    """Three times in every five seconds, from the beginning: its own past says so."""
    maker, found = Orders(), []
    for number in range(300):
        odd = maker.washed(["user-7"] * 3, ["user-7"] * 3) if number % 5 == 0 else []
        found += maker.second(*odd)
    assert found == []


def test_orders_of_nobody_and_clocks_that_jump_raise_no_error(orders):
    """No account, no side, the end of time: detection goes on and sees what comes after."""
    odd = orders.order(limit_price=1.0)[0]
    orders.judge([{**odd, "account": "", "side": ""}, {**odd, "start_unix_nano": 2**62}])
    orders.judge([{**odd, "start_unix_nano": 0, "trace_id": "c" * 32}])
    orders.judge([odd])
    assert orders.prices.judge(pa.Table.from_pylist([odd]).slice(0, 0)) == []
    assert orders.second(*orders.washed(["user-7"] * 6, ["user-7"] * 6))
