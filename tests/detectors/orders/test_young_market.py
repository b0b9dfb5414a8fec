"""A market that has just opened, and spreads beyond doubt."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from detectors.model.anomaly import Anomaly
from detectors.orders.market import MarketWatch, quoted_spread
from detectors.settings import Settings
from detectors.stats.level_shift import Levels

S = 1_000_000_000
NOW = 1_790_000_000


class Market:
    """SOL/USD around 95, twenty orders of each side in two seconds; half of them are fills."""

    def __init__(self, seed: int = 6) -> None:
        self.watch = MarketWatch(Settings())
        self.rng = np.random.default_rng(seed)
        self.count, self.at = 0, NOW

    def stretch(self, spread: float = 0.002, wide_from_s: float = 0.0, price: float = 95.0) -> list[Anomaly]:
        """Two seconds; quotes lie so far apart from some moment on, before it as usual."""
        self.at += 2
        rows: list[dict[str, object]] = []
        for number in range(40):
            self.count += 1
            buying, filled = number % 2 == 0, number % 4 >= 2
            after_s = 2 * number / 40
            apart = spread if after_s >= wide_from_s else 0.002
            limit = price * (1 + (-1 if buying else 1) * apart / 2 + 0.0003 * self.rng.standard_normal())
            rows.append(
                {
                    "trace_id": f"{self.count:032x}",
                    "span_id": "a" * 16,
                    "service_name": "wallet",
                    "operation": "submit",
                    "span_kind": "CLIENT",
                    "start_unix_nano": self.at * S + int(after_s * S),
                    "duration_ns": 5_000_000,
                    "order_pair": "SOL/USD",
                    "side": "BUY" if buying else "SELL",
                    "amount": float(np.exp(self.rng.standard_normal())),
                    "limit_price": 0.0 if filled else limit,
                    "fill_price": price * (1 + 0.0003 * self.rng.standard_normal()) if filled else 0.0,
                }
            )
        return self.watch.judge(pa.Table.from_pylist(rows), self.at)

    def stretches(self, count: int, **how: float) -> list[Anomaly]:
        return [anomaly for _ in range(count) for anomaly in self.stretch(**how)]


@pytest.mark.parametrize("seed", range(3))
def test_spread_beyond_doubt_is_found_in_a_market_of_a_minute(seed):
    """Twenty times as wide after 50 s, and no earlier than after 48."""
    young = Market(seed)
    assert young.stretches(26) == []
    assert [a.details["rule"] for a in young.stretches(4, spread=0.04)] == ["spread"]
    newborn = Market(seed)
    assert newborn.stretches(12) + newborn.stretches(4, spread=0.04) == []


def test_young_market_that_is_only_lively_is_quiet():
    """Spreads that wander by half of themselves from the start."""
    lively = Market()
    found = []
    for number in range(80):
        found += lively.stretch(spread=0.002 * (1.5 + np.sin(number)))
    assert found == []


def test_spread_of_two_stretches_is_found():
    """Four seconds are enough where each half of a stretch shows it; it is reported once."""
    market = Market()
    assert market.stretches(60) == []
    found = market.stretches(2, spread=0.05) + market.stretches(10)
    assert [a.details["rule"] for a in found] == ["spread"]


def test_one_wide_half_is_no_spread():
    """A second of wide quotes, and usual ones again."""
    market = Market()
    assert market.stretches(60) == []
    assert market.stretch(spread=0.05, wide_from_s=1.0) + market.stretches(6) == []


def test_spread_is_shown_at_an_order_that_went_along():
    """A stretch may begin before the makers step back: none of its early orders stands for it."""
    market = Market()
    market.stretches(60)
    found = market.stretch(spread=0.05, wide_from_s=0.5) + market.stretches(4, spread=0.05)
    (anomaly,) = found
    begun = (anomaly.start_unix_nano - (NOW + 61 * 2) * S) / S
    assert begun >= 0.5


def test_spread_needs_quotes_of_both_sides():
    """Three buyers and two sellers say nothing."""
    rows = pa.table({"side": ["BUY"] * 3 + ["SELL"] * 2, "limit_price": [99.0] * 3 + [101.0] * 2})
    assert quoted_spread(rows) is None
    assert quoted_spread(pa.concat_tables([rows, rows])) == pytest.approx(0.02)


def test_weak_shift_does_not_silence_a_sure_one():
    """A shift below the first severity is not reported, so the larger shift that it becomes is."""
    rng = np.random.default_rng(4)
    points = np.r_[100 + 4 * rng.standard_normal(60), np.full(3, 130.0), np.full(6, 1_000.0)]
    told = {}
    for least in (0.0, 3.0):
        levels = Levels(0.25, least)
        levels.grow(1)
        found = [s for p in points for s in levels.add(np.array([0]), np.array([p]), np.array([12.0]))]
        told[least] = [round(shift.sigma, 1) >= 3 for shift in found]
    assert told[0.0][0] is False
    assert told[3.0] == [True]
