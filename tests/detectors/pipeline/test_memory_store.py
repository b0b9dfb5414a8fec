"""What is learned of logs, metrics, the market and orders outlives a restart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from collector.store.store import Store
from detectors.logs.template_rate import LogWatch
from detectors.metrics.metric import MetricWatch
from detectors.orders.limit_price import PriceWatch
from detectors.orders.market import MarketWatch
from detectors.orders.wash_trade import WashWatch
from detectors.pipeline import checkpoint
from detectors.settings import Settings
from detectors.stream.batch import Operations, batches
from detectors.stream.event_time import Ring

S = 1_000_000_000
NOW = 1_790_000_000
SPAN = {"trace_id": "f" * 32, "span_id": "a" * 16, "start_unix_nano": NOW * S, "duration_ns": 5_000_000}
PLACE = {"service_name": "shop", "operation": "submit", "span_kind": "SERVER"}


class Life:
    """A process between two restarts: one second after the other of spans, lines, points and orders."""

    def __init__(self, now: int = NOW) -> None:
        self.now, self.rng = now, np.random.default_rng(now)
        self.operations, self.ring = Operations(), Ring()
        self.memory = (
            LogWatch(Settings(), lambda rows: [{**SPAN, **PLACE} for _ in rows], lambda _: SPAN),
            MetricWatch(Settings(), lambda *_: SPAN),
            MarketWatch(Settings()),
            PriceWatch(Settings()),
            WashWatch(Settings()),
        )

    def second(
        self, line: str = "WARN retrying card 9", memory: float = 100.0, factor: float = 1.0
    ) -> list[str]:
        self.now += 1
        spans = pa.table(
            {
                **{name: [SPAN[name]] * 50 for name in ("trace_id", "span_id")},
                "start_unix_nano": np.full(50, self.now * S),
                "duration_ns": np.zeros(50, dtype=np.int64),
                "callee": pa.nulls(50, pa.string()),
                "operation_key": ["shop\x1fsubmit\x1fSERVER"] * 50,
            }
        )
        for batch in batches(spans, self.operations, self.ring):
            self.memory[0].advance(batch)
        orders = self._orders(factor)
        logs, metrics, market, prices, wash = self.memory
        found = logs.judge(self._line(line))
        found += metrics.judge(self._point(memory))
        found += market.judge(orders, self.now)
        found += prices.judge(orders)
        found += wash.judge(orders, self.now)
        return [f"{a.detector} {a.details.get('rule', '')}".strip() for a in found]

    def _line(self, line: str) -> pa.Table:
        row = {
            **{"service_name": "shop", "severity_number": 0, "masked": line, "tick": self.now},
            **{"line_count": 5, "example": line, "unix_nano": self.now * S},
            **{"trace_id": "f" * 32, "span_id": "a" * 16},
        }
        return pa.Table.from_pylist([row])

    def _point(self, figure: float) -> pa.Table:
        row = {
            **{"service_name": "shop", "metric_name": "process.memory.usage", "metric_unit": "By"},
            **{"metric_kind": "gauge", "temporality": "", "is_monotonic": False, "attributes": ""},
            **{"series": "shop\x1fmemory", "unix_nano": self.now * S, "since_unix_nano": 0},
            **{"figure": figure + float(self.rng.standard_normal()), "is_count": False},
            **{"sample_count": 0.0, "sample_sum": 0.0},
        }
        return pa.Table.from_pylist([row])

    def _orders(self, factor: float) -> pa.Table:
        rows = []
        for number in range(30):
            price = 42_000.0 * float(np.exp(0.0005 * self.rng.standard_normal()))
            taking = number % 2 == 0
            rows.append(
                {
                    **{**SPAN, **PLACE, "trace_id": f"{self.now}{number:022d}", "asset": "BTC"},
                    **{"start_unix_nano": self.now * S + number, "order_pair": "BTC/USD"},
                    **{"side": "BUY" if number % 4 < 2 else "SELL", "account": f"user-{number % 7}"},
                    "amount": 1.0 + number / 100,
                    "limit_price": 0.0 if taking else price,
                    "fill_price": price if taking else 0.0,
                }
            )
        rows[1]["limit_price"] *= factor
        return pa.Table.from_pylist(rows)


@pytest.fixture
def stored(tmp_path: Path) -> Store:
    """A store after a life of 200 quiet seconds that was saved twice."""
    store = Store.open(tmp_path)
    life = Life()
    for seconds in (150, 50):
        for _ in range(seconds):
            assert life.second() == []
        with store.transaction() as con:
            states = [state for detector in life.memory for state in detector.changed()]
            assert {state.table for state in states} == {
                table for detector in life.memory for table in detector.tables
            }
            checkpoint.write(con, states, life.now * S)
        for detector in life.memory:
            detector.committed()
    return store


def reborn(store: Store, now: int) -> Life:
    life = Life(now)
    checkpoint.restore(store, life.memory)
    return life


def test_nothing_is_learned_anew_after_a_restart(stored):
    """Within seconds a new error, a level and an order far off are found; known lines are no news."""
    life = reborn(stored, NOW + 203)
    try:
        quiet = [life.second() for _ in range(8)]
        assert quiet == [[]] * 8
        found = {
            what for _ in range(8) for what in life.second("ERROR no stock left", memory=300.0, factor=5.0)
        }
        assert found == {"log new", "metric", "market price deviation"}
    finally:
        stored.close()


def test_levels_of_yesterday_are_begun_anew(stored):
    """After a night another level of memory is no news, but a line that was never there still is."""
    life = reborn(stored, NOW + 86_400)
    try:
        found = {what for _ in range(10) for what in life.second("ERROR no stock left", memory=300.0)}
        assert found == {"log new"}
    finally:
        stored.close()


def test_what_was_learned_can_be_read_by_sql(stored):
    """Counts of orders, templates with their words, points of each series."""
    try:
        read = {
            name: stored.read(f"SELECT count(*) AS n FROM {name}")["n"][0].as_py()
            for name in ("level_points", "price_distances", "crossing_rates")
        }
        assert read == {"level_points": 4, "price_distances": 2, "crossing_rates": 1}
        lines = stored.read("SELECT operation, callee_operation FROM window_rates WHERE measure = 'log'")
        assert lines.to_pylist() == [{"operation": "WARN", "callee_operation": "WARN retrying card *"}]
        orders = stored.read("SELECT order_count FROM crossing_rates WHERE party = 'BTC/USD'")
        assert orders["order_count"][0].as_py() > 3_000
    finally:
        stored.close()
