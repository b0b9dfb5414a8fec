"""The market itself: price, volume and spread of each pair, sigma = Phi^-1(1 - P(|T| > |D| / s)).

From orders as spans carry them, in stretches of two seconds, longer where orders are rare: the median fill
price, on the log scale; the value traded, on the log scale; and the quoted spread, which is the median of the
sell limits less that of the buy limits, as a share of the price. Each is a series of
`detectors.stats.level_shift`: its change is compared with the usual changes of the same series. The least
changes are: a price that moves by 2%, a spread that widens by half a point and twofold, five times the value.
A price is reported as soon as five fills in a row show a certain change, a spread as soon as both halves of a
stretch do. Where two of the three change within half a minute, the market is under stress, one severity
worse. The anomaly refers to an order that took part in the change.

A whale is valued at the newest fill price of its asset, never at a constant.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detectors.model.anomaly import MARKET, Anomaly
from detectors.model.operation import Operation
from detectors.orders.amount_columns import priced_orders
from detectors.orders.prices import PAIR, Prices
from detectors.settings import Settings
from detectors.stats.level_shift import BEFORE, Levels, Shift
from detectors.stream.detector import Detector, Input, Rows, State, Step, Verdict
from detectors.stream.exemplars import window_anomaly
from detectors.stream.level_rows import TABLE, SeriesPoints, level_state, levels_of

PRICE, VOLUME, SPREAD = "price spike", "volume", "spread"
# The least change: of a log price, of a log value, of a spread as a share of the price.
_LEAST = {PRICE: 0.02, VOLUME: np.log(5.0), SPREAD: 0.005}
_STRETCH_S = 2
_YOUNG_STRETCHES = 24
_STALE_NS = 600_000_000_000
_OPEN_STRETCHES = 2  # the newest stretches, which may still fill
_ORDERS_MIN = 3  # orders of a stretch, for a median; a stretch with fewer is joined to the next
_STRETCHES_MAX = 150
_STRESS_WITHIN_S = 30
_OPEN_MAX = 200_000  # orders
_HALFWAY = 0.5
_EARLY_FILLS = 5  # of different traces
_COLUMNS = [
    *("trace_id", "span_id", "service_name", "operation", "span_kind", "start_unix_nano", "duration_ns"),
    *("order_pair", "side", "amount", "limit_price", "fill_price"),
]


class MarketWatch(Detector):
    """Follows all pairs. Not thread-safe."""

    name = "market"
    detector = MARKET
    input = Input.ORDERS
    tables = (TABLE,)
    saved_every_s = 60.0

    def __init__(self, settings: Settings, prices: Prices | None = None) -> None:
        self._settings = settings
        self.prices = prices or Prices()
        self._open: pa.Table | None = None  # orders of stretches that still fill
        self._carried: dict[str, pa.Table] = {}
        self._restored: dict[str, int] = {}  # time of the newest point of a former run, by pair
        self._closed: dict[str, int] = {}  # the newest judged stretch of each pair
        self._codes: dict[tuple[str, str], int] = {}
        least_sigma = settings.severity_sigmas()[0]
        self._levels = {what: Levels(0.0, least_sigma, _YOUNG_STRETCHES) for what in _LEAST}
        self._newest: dict[str, OrderedDict[str, float]] = {}  # fills of each pair, trace → price
        self._moved: dict[str, dict[str, int]] = {}  # pair → the figure that moved, and the stretch

    def judge(self, orders: pa.Table, now_s: int) -> list[Anomaly]:
        """Judge the orders of a batch; columns of `queries/new_amounts.sql`, a price in each row.

        Args:
            now_s: the newest second of span time, which closes stretches.
        """
        orders = orders.select(_COLUMNS)
        found = self._note_prices(orders, now_s // _STRETCH_S)
        waiting = orders if self._open is None else pa.concat_tables([self._open, orders])
        stretch = waiting["start_unix_nano"].to_numpy() // (_STRETCH_S * 10**9)
        closing = stretch <= now_s // _STRETCH_S - _OPEN_STRETCHES
        if not closing.any():  # true in four passes of five: nothing is copied then
            self._open = waiting.slice(0, _OPEN_MAX)
            return found
        self._open = waiting.filter(pa.array(~closing)).slice(0, _OPEN_MAX)
        over = waiting.filter(pa.array(closing))
        for number in np.unique(stretch[closing]).tolist():
            part = over.filter(pa.array(stretch[closing] == number))
            for pair in sorted(part["order_pair"].unique().to_pylist()):
                rows = part.filter(pc.equal(part["order_pair"], pair))
                found += self._close(pair, number, rows)
        return found

    def observe(self, step: Step) -> Verdict:
        return Verdict(self.judge(priced_orders(step.amounts), step.head_s))

    def changed(self) -> list[State]:
        return level_state(
            MARKET,
            (
                SeriesPoints(
                    f"{pair}|{what}",
                    self._levels[what].newest_points(code),
                    self._levels[what].quiet_count(code),
                    self._closed.get(pair, 0) * _STRETCH_S * 10**9,
                )
                for (pair, what), code in self._codes.items()
                if code < self._levels[what].count and self._levels[what].changed[code]
            ),
        )

    def committed(self) -> None:
        for levels in self._levels.values():
            levels.changed[:] = False

    def restore(self, rows: Rows) -> None:
        for series, points, quiet_count, newest_unix_nano in levels_of(rows, MARKET):
            pair, _, what = series.rpartition("|")
            if what in self._levels:
                code = self._codes.setdefault((pair, what), len(self._codes))
                self._levels[what].grow(len(self._codes))
                self._levels[what].restore(code, points, quiet_count)
                self._restored[pair] = newest_unix_nano

    def _follow(self, pair: str, unix_nano: int) -> None:
        """Drop restored points that are too old: the market has moved since."""
        before = self._restored.pop(pair, None)
        if before is not None and abs(unix_nano - before) > _STALE_NS:
            for what, levels in self._levels.items():
                if (pair, what) in self._codes:
                    levels.restore(self._codes[pair, what], np.empty(0), 0)

    def _close(self, pair: str, stretch: int, rows: pa.Table) -> list[Anomaly]:
        """Judge a stretch, or join it to the next while it has too few orders."""
        before = self._closed.get(pair)
        if before is not None and stretch <= before:
            return []  # too late
        carried = self._carried.pop(pair, None)
        rows = rows if carried is None else pa.concat_tables([carried, rows])
        fills = _one_a_trace(rows.filter(pc.greater(rows["fill_price"], 0)))
        length = stretch - before if before is not None else 1
        if fills.num_rows < _ORDERS_MIN and length < _STRETCHES_MAX:
            self._carried[pair] = rows.slice(0, _OPEN_MAX)
            self._closed.setdefault(pair, stretch - 1)
            return []
        self._closed[pair] = stretch
        return self._judge_stretch(pair, stretch, rows, min(length, _STRETCHES_MAX) * _STRETCH_S)

    def _note_prices(self, orders: pa.Table, stretch: int) -> list[Anomaly]:
        """Keep the newest prices; returns the change of spread that they show for certain."""
        found: list[Anomaly] = []
        rows = np.flatnonzero(orders["fill_price"].to_numpy() > 0)
        begun = orders["start_unix_nano"].to_numpy()[rows]
        filled = orders.take(pa.array(rows[np.argsort(begun, kind="stable")]))
        for pair in filled["order_pair"].unique().to_pylist():
            fills = filled.filter(pc.equal(filled["order_pair"], pair))
            newest = self._newest.setdefault(pair, OrderedDict())
            for row in fills.slice(max(fills.num_rows - 4 * _EARLY_FILLS, 0)).to_pylist():
                newest[row["trace_id"]] = row["fill_price"]
                self.prices.take(pair, row["fill_price"])
            while len(newest) > _EARLY_FILLS:
                newest.popitem(last=False)
            self._follow(pair, fills["start_unix_nano"][0].as_py())
            code = self._codes.get((pair, PRICE))
            if code is None or len(newest) < _EARLY_FILLS:
                continue
            shift = self._levels[PRICE].early(code, np.log(list(newest.values())), _LEAST[PRICE])
            if shift is not None:
                found += self._found(pair, stretch, PRICE, shift, _one_a_trace(fills))
        return found

    def _judge_stretch(self, pair: str, stretch: int, rows: pa.Table, length_s: float) -> list[Anomaly]:
        fills = _one_a_trace(rows.filter(pc.greater(rows["fill_price"], 0)))
        found = []
        if fills.num_rows >= _ORDERS_MIN:
            price, amount = fills["fill_price"].to_numpy(), fills["amount"].to_numpy()
            found += self._look(pair, stretch, PRICE, float(np.log(np.median(price))), fills)
            found += self._look(pair, stretch, VOLUME, float(np.log(price @ amount / length_s)), fills)
        quoted = _one_a_trace(rows.filter(pc.greater(rows["limit_price"], 0)))
        spread = quoted_spread(quoted)
        if spread is not None:
            found += self._early_spread(pair, stretch, quoted)
            found += self._look(pair, stretch, SPREAD, spread, quoted)
        return found

    def _early_spread(self, pair: str, stretch: int, quoted: pa.Table) -> list[Anomaly]:
        """The change of spread that both halves of a stretch, each by itself, show for certain."""
        code = self._codes.get((pair, SPREAD))
        middle = np.median(quoted["start_unix_nano"].to_numpy())
        early = quoted["start_unix_nano"].to_numpy() < middle
        halves = [quoted_spread(quoted.filter(pa.array(half))) for half in (early, ~early)]
        figures = np.array([figure for figure in halves if figure is not None])
        if code is None or len(figures) < len(halves):
            return []
        level = float(np.median(self._levels[SPREAD].newest_points(code)[-BEFORE:]))
        least = max(_LEAST[SPREAD], level)
        shift = self._levels[SPREAD].early(code, figures, least)
        if shift is None or shift.observed < shift.expected:
            return []
        return self._found(pair, stretch, SPREAD, shift, quoted)

    def _look(self, pair: str, stretch: int, what: str, figure: float, rows: pa.Table) -> list[Anomaly]:
        code = self._codes.setdefault((pair, what), len(self._codes))
        levels = self._levels[what]
        levels.grow(len(self._codes))
        (shift,) = levels.add(np.array([code]), np.array([figure]), np.array([_LEAST[what] / 8])) or (None,)
        if shift is None or abs(shift.observed - shift.expected) < _LEAST[what]:
            return []
        if what != PRICE and shift.observed < shift.expected:
            return []  # a quieter or a tighter market is no anomaly
        if what == SPREAD and shift.observed < 2 * shift.expected:
            return []
        return self._found(pair, stretch, what, shift, rows)

    def _found(self, pair: str, stretch: int, what: str, shift: Shift, rows: pa.Table) -> list[Anomaly]:
        self._moved.setdefault(pair, {})[what] = stretch
        anomaly = self._report(pair, stretch, what, shift, rows)
        return [anomaly] if anomaly else []

    def _report(self, pair: str, stretch: int, what: str, shift: Shift, rows: pa.Table) -> Anomaly | None:
        together = sorted(
            other
            for other, at in self._moved[pair].items()
            if (stretch - at) * _STRETCH_S <= _STRESS_WITHIN_S
        )
        stress = len(together) > 1
        observed, expected = shift.observed, shift.expected
        if what != SPREAD:
            observed, expected = float(np.exp(observed)), float(np.exp(expected))
        quote = (PAIR.split(pair, maxsplit=1)[1:] or [""])[0]
        unit = {SPREAD: "share", VOLUME: f"{quote}/s", PRICE: quote}[what]
        said = (
            f"{expected:.2%} to {observed:.2%}" if what == SPREAD
            else f"{expected:,.6g} to {observed:,.6g} {unit} ({observed / expected - 1:+.1%})"
        )  # fmt: skip
        telling = rows.slice(_most_telling(what, rows, observed, expected), 1).to_pylist()[0]
        text = f"{pair} {what}: {said}" + (f"; market stress, with {', '.join(together)}" if stress else "")
        return window_anomaly(
            MARKET,
            telling,
            Operation.of(telling),
            self._settings,
            sigma=shift.sigma + stress,
            observed=observed,
            expected=expected,
            unit=unit,
            sample_count=shift.point_count,
            details={"text": text, "pair": pair, "rule": what, "stress": stress},
            subject=f"{pair}|{what}|{stretch}",
            cell=pair,
        )


def quoted_spread(orders: pa.Table) -> float | None:
    """The median sell limit less the median buy limit, as a share of the price; None with too few orders."""
    limits = [
        orders.filter(pc.equal(orders["side"], side))["limit_price"].to_numpy() for side in ("BUY", "SELL")
    ]
    if min(map(len, limits)) < _ORDERS_MIN:
        return None
    buy, sell = (float(np.median(prices)) for prices in limits)
    return 2 * (sell - buy) / (sell + buy)


def _most_telling(what: str, rows: pa.Table, observed: float, expected: float) -> int:
    """The largest order for a volume. Otherwise, of the orders that made at least half of the change, the
    middle one by time: a stretch may begin before the market moves, and end after."""
    if what == VOLUME:
        return int(np.argmax(rows["amount"].to_numpy()))
    if what == PRICE:
        went = (rows["fill_price"].to_numpy() - expected) / (observed - expected)
    else:
        limits = rows["limit_price"].to_numpy()
        went = np.abs(limits / np.median(limits) - 1) / (observed / 2)
    along = np.flatnonzero(went >= min(_HALFWAY, went.max()))
    by_time = along[np.argsort(rows["start_unix_nano"].to_numpy()[along], kind="stable")]
    return int(by_time[len(by_time) // 2])


def _one_a_trace(rows: pa.Table) -> pa.Table:
    """One order a trace, since spans repeat it: the outermost span counts, where the order entered."""
    if not rows.num_rows:
        return rows
    rows = rows.sort_by([("start_unix_nano", "ascending"), ("duration_ns", "descending")])
    encoded = rows["trace_id"].combine_chunks().dictionary_encode()
    _, first = np.unique(encoded.indices.to_numpy(), return_index=True)
    return rows.take(pa.array(first))
