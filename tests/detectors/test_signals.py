"""Logs, metrics and the market: what lands beside spans."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from detectors.logs.template_rate import LogWatch
from detectors.metrics.metric import MetricWatch
from detectors.model.anomaly import Anomaly
from detectors.orders.market import MarketWatch
from detectors.settings import Settings
from detectors.stream.batch import Batch, Operations, batches
from detectors.stream.event_time import Ring

S = 1_000_000_000
NOW = 1_790_000_000
SPAN = {
    "trace_id": "f" * 32,
    "span_id": "a" * 16,
    "service_name": "shop",
    "operation": "checkout",
    "span_kind": "SERVER",
    "start_unix_nano": NOW * S,
    "duration_ns": 5_000_000,
}


class Logs:
    """A shop of 50 spans a second that writes; time goes on with each second."""

    def __init__(self) -> None:
        self.now = NOW
        self.operations, self.ring = Operations(), Ring()
        self.watch = LogWatch(Settings(), self.find, lambda _service: SPAN)
        self.asked: list[dict[str, Any]] = []

    def find(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.asked += rows
        return [{**SPAN, "trace_id": row["trace_id"], "span_id": row["span_id"]} for row in rows]

    def second(self, *lines: tuple[str, int, int], spans: int = 50) -> list[Anomaly]:
        """Live one second with lines of (body, severity number, how many)."""
        self.now += 1
        for batch in self.spans(spans):
            self.watch.advance(batch)
        rows = [
            {
                "service_name": "shop",
                "severity_number": severity,
                "masked": body,
                "tick": self.now,
                "line_count": count,
                "example": body,
                "unix_nano": self.now * S,
                "trace_id": f"{self.now:032x}",
                "span_id": f"{self.now:016x}",
            }
            for body, severity, count in lines
        ]
        return self.watch.judge(pa.Table.from_pylist(rows)) if rows else []

    def spans(self, count: int) -> list[Batch]:
        spans = pa.table(
            {
                **{name: [SPAN[name]] * count for name in ("trace_id", "span_id", "service_name")},
                "start_unix_nano": np.full(count, self.now * S),
                "duration_ns": np.zeros(count, dtype=np.int64),
                "callee": pa.nulls(count, pa.string()),
                "operation_key": ["shop\x1fcheckout\x1fSERVER"] * count,
            }
        )
        return list(batches(spans, self.operations, self.ring))


@pytest.fixture
def logs() -> Logs:
    made = Logs()
    for _ in range(60):
        assert made.second(("paid order 17", 9, 10), ("retrying card 9", 13, 1)) == []
    return made


def test_new_error_is_found_at_the_span_that_wrote_it(logs):
    """The second second of an unknown error is reported, once, as SEV3 or SEV4."""
    found = [logs.second(("paid order 17", 9, 10), ("ERROR no stock for 17", 17, 4)) for _ in range(10)]
    reported = [anomaly for second in found for anomaly in second]
    assert len([second for second in found if second]) == 1
    assert {(a.detector, a.severity, a.operation) for a in reported} <= {
        ("log", 3, "checkout"),
        ("log", 4, "checkout"),
    }
    assert reported[0].text.startswith("new error, 8 in 2 s: ERROR no stock")
    assert {a.trace_id for a in reported} <= {row["trace_id"] for row in logs.asked}


def test_known_warning_that_surges_is_found(logs):
    """From one in fifty spans to one in five."""
    found = [a for _ in range(8) for a in logs.second(("retrying card 9", 13, 12))]
    assert found[0].details["rule"] == "surging"
    assert found[0].shift_sigma == 0.0


def test_plain_lines_are_quiet(logs):
    """A new plain line here and there, and twice as many of a known one, are nothing."""
    assert [logs.second(("paid order 17", 9, 20), ("cache warmed", 9, 1)) for _ in range(30)] == [[]] * 30


def test_more_traffic_may_log_more(logs):
    """Ten times the spans with ten times the warnings."""
    for _ in range(20):
        assert logs.second(("retrying card 9", 13, 10), spans=500) == []


def test_lines_wait_for_the_spans_of_their_second():
    """Lines come at once, spans in batches of five seconds: each line is judged against the spans of its own
    second, so that a usual share of errors is quiet and a new error is found."""
    made = Logs()

    def live(seconds: int, body: str, count: int) -> list[Anomaly]:
        found: list[Anomaly] = []
        for _ in range(seconds):
            late = made.now % 5 == 4
            found += made.second((body, 17, count), spans=0)
            if late:
                for back in range(4, -1, -1):
                    made.now -= back
                    for batch in made.spans(50):
                        made.watch.advance(batch)
                    made.now += back
        return found

    assert live(120, "ERROR no stock for 17", 5) == []
    found = live(20, "ERROR card refused", 10)
    assert found
    assert found[0].text.startswith("new error")


def test_new_error_of_a_young_service_is_no_news():
    """Without a history, every line is new."""
    young = Logs()
    assert [young.second(("ERROR no stock", 17, 5)) for _ in range(5)] == [[]] * 5


class Metrics:
    def __init__(self) -> None:
        self.watch = MetricWatch(Settings(), lambda *_: SPAN)
        self.at = NOW

    def point(self, figure: float | None = None, kind: str = "gauge", **more: Any) -> list[Anomaly]:
        """One point of one series, ten seconds after the one before."""
        self.at += 10
        row = {
            "service_name": "shop",
            "metric_name": "shop.figure",
            "metric_unit": "By",
            "metric_kind": kind,
            "temporality": "CUMULATIVE",
            "is_monotonic": kind == "sum",
            "attributes": "",
            "series": "shop\x1fshop.figure",
            "unix_nano": self.at * S,
            "since_unix_nano": NOW * S,
            "figure": figure,
            "is_count": False,
            "sample_count": None,
            "sample_sum": None,
        }
        return self.watch.judge(pa.Table.from_pylist([{**row, **more}]))


def test_gauge_counter_and_histogram_are_followed():
    """A level, a rate and a mean that double are each found; SEV4 at most, with a stored span."""
    rng = np.random.default_rng(2)
    gauge, counter, histogram = Metrics(), Metrics(), Metrics()
    total, count, whole = 0.0, 0.0, 0.0
    found: dict[str, list[Anomaly]] = {"gauge": [], "sum": [], "histogram": []}
    for i in range(120):
        level = (100 + rng.standard_normal()) * (1 if i < 100 else 3)
        total, count, whole = total + level, count + 10, whole + 10 * level
        found["gauge"] += gauge.point(level)
        found["sum"] += counter.point(total, "sum")
        found["histogram"] += histogram.point(None, "histogram", sample_count=count, sample_sum=whole)
    for kind, anomalies in found.items():
        assert [(a.detector, a.severity) for a in anomalies] in ([("metric", 4)], [("metric", 5)]), kind
        assert anomalies[0].span_id == SPAN["span_id"]
    assert "went from" in found["gauge"][0].text


def test_reset_of_a_counter_is_no_change():
    """A restarted process counts from zero."""
    metrics, found = Metrics(), []
    for i in range(200):
        found += metrics.point(float(50 * (i % 97)), "sum")
    assert found == []


@pytest.mark.parametrize(
    "odd",
    [
        {"figure": None},
        {"figure": float("nan")},
        {"figure": float("inf")},
        {"kind": "sum", "figure": 3.0, "temporality": "DELTA", "since_unix_nano": 0},
        {"kind": "sum", "figure": -3.0, "temporality": "DELTA"},
        {"kind": "histogram", "sample_count": 0.0, "sample_sum": 0.0, "temporality": "DELTA"},
        {"kind": "summary"},
    ],
    ids=str,
)
def test_odd_points_say_nothing(odd):
    """Figures that cannot be compared are left out."""
    metrics = Metrics()
    for _ in range(60):
        assert metrics.point(**odd) == []


class Market:
    """BTC/USD around 42,000, twenty orders of each side in two seconds, each in two spans."""

    def __init__(self) -> None:
        self.watch = MarketWatch(Settings())
        self.rng = np.random.default_rng(6)
        self.count, self.at = 0, NOW

    def stretch(
        self, price: float = 42_000.0, spread: float = 0.002, size: float = 1.0, orders: int = 20
    ) -> list[Anomaly]:
        self.at += 2
        rows: list[dict[str, object]] = []
        for side, sign in (("BUY", -1), ("SELL", 1)):
            for _ in range(orders):
                self.count += 1
                limit = price * (1 + sign * spread / 2 + 0.0003 * self.rng.standard_normal())
                filled = self.rng.random() < 0.5
                order = {
                    **SPAN,
                    "trace_id": f"{self.count:032x}",
                    "start_unix_nano": self.at * S,
                    "amount_kind": "order",
                    "order_pair": "BTC/USD",
                    "asset": "BTC",
                    "side": side,
                    "amount": size * float(np.exp(0.5 * self.rng.standard_normal())),
                    "limit_price": 0.0 if filled else limit,
                    "fill_price": price * (1 + 0.0003 * self.rng.standard_normal()) if filled else 0.0,
                }
                inner = {
                    "span_id": "b" * 16,
                    "operation": "orderbook.add",
                    "start_unix_nano": self.at * S + 1,
                }
                rows += [{**order, **inner}, order]  # the inner span ends first, so it comes first
        return self.watch.judge(pa.Table.from_pylist(rows), self.at)


@pytest.fixture
def market() -> Market:
    made = Market()
    for _ in range(80):
        assert made.stretch() == []
    return made


@pytest.mark.parametrize(
    ("what", "how"),
    [("price spike", {"price": 45_400.0}), ("spread", {"spread": 0.02}), ("volume", {"size": 40.0})],
)
def test_market_that_moves_is_found(market, what, how):
    """Each is found by its name, where an order of it entered, within five stretches."""
    found = [anomaly for _ in range(5) for anomaly in market.stretch(**how)]
    assert found[0].operation == SPAN["operation"]
    assert [a.details["rule"] for a in found] == [what]
    assert found[0].severity <= (5 if what == "volume" else 4)
    assert found[0].cell == "BTC/USD"


def test_price_that_jumps_is_found_at_once(market):
    """In the batch that holds its first fills, and not again when the stretch is over."""
    now = market.stretch(price=45_400.0)
    assert [(a.details["rule"], a.severity <= 4) for a in now] == [("price spike", True)]
    assert now[0].observed == pytest.approx(45_400, rel=0.01)
    assert [a for _ in range(8) for a in market.stretch(price=45_400.0)] == []


def test_a_few_odd_prints_are_no_price(market):
    """Up to four fills far off, among others at the market."""
    assert market.stretch() == []
    odd = market.stretch(price=50_000.0, orders=2) + [a for _ in range(6) for a in market.stretch()]
    assert odd == []


def test_several_at_once_are_stress(market):
    """Price and spread together: the later one says so, and is worse."""
    found = [a for _ in range(5) for a in market.stretch(price=45_400.0, spread=0.03)]
    assert {a.details["rule"] for a in found} == {"price spike", "spread"}
    assert any("market stress" in a.text for a in found)


def test_whale_is_worth_the_landed_price(market):
    """The newest fill counts, whatever it is; an asset without one has no value."""
    market.stretch(price=90_000.0)
    value, quote = market.watch.prices.value_of("BTC", 2.0) or (0.0, "")
    assert (value, quote) == (pytest.approx(180_000, rel=0.01), "USD")
    assert market.watch.prices.value_of("ETH", 2.0) is None


def test_drifting_market_is_quiet():
    """A random walk of half a percent in two seconds is how markets are."""
    drifting, price, found = Market(), 42_000.0, []
    for _ in range(400):
        price *= float(np.exp(0.005 * drifting.rng.standard_normal()))
        found += drifting.stretch(price=price)
    assert found == []
