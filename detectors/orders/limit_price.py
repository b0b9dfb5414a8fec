"""Orders far from the market: sigma = Phi^-1(1 - S(x)), x how far a limit lies outside the newest fills.

    x = max(ln(limit / highest), ln(lowest / limit), 1e-4)

of the newest fills of the pair, without the two highest and the two lowest: an order's own fill, or one odd
price, does not move the market. An order that offers to pay more than everybody paid (or asks for less) is
*aggressive*; one that waits far away is *passive*. Each kind has its own history for every operation that
carries orders, learned from orders that were not flagged. An order counts when it is also 5% outside and
three times the distance that 99 of 100 stay below. A passive order harms nobody: SEV5 at most. The third
order in five seconds on one side of the market is SEV5 at most as well if it is outside by less than a third,
since then the market itself is moving. Source of S: `detectors.stats.tail`.

>>> import numpy as np
>>> fills = np.array([100.0, 100.1, 99.9, 100.2, 99.8, 100.0])
>>> beyond(np.array([100.1, 1001.0, 50.0]), np.array([True, True, True]), fills)[0].round(2)
array([0. , 2.3, 0. ])
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from detectors.model.anomaly import MARKET, Anomaly
from detectors.model.operation import Operation
from detectors.model.severity import severity_of
from detectors.orders.amount_columns import priced_orders
from detectors.settings import Settings
from detectors.stats.arrays import FloatArray, IntArray
from detectors.stats.sketch import EMPTY, Sketch, merge
from detectors.stats.tail import fit_tail
from detectors.stream.detector import Detector, Input, Rows, State, Step, Verdict
from detectors.stream.exemplars import window_anomaly

RULE = "price deviation"
AGGRESSIVE, PASSIVE = "aggressive", "passive"
_LEAST_BEYOND = float(np.log(1.05))
_LEAST_RATIO = 3.0
_NEAR = 1e-4  # a hundredth of a percent: a nearer order counts as at the market
_FILLS_KEPT = 60
_FILLS_MIN = 10
_LEFT_OUT = 2
_REGIME_SCALE = 0.01
_CELLS_MAX = 10_000  # 2 kB each
_WAITING_MAX = 20_000
_REPORTED_MAX = 10_000
_BELOW = 0.01
_CROWD, _CROWD_S, _CROWD_BEYOND = 3, 5, float(np.log(4 / 3))
_PLACE = ("service_name", "operation", "span_kind", "order_pair")
_CELL = (*_PLACE, "direction")
_TABLE = "price_distances"
Cell = tuple[str, str, str, str, str]  # service, operation, span kind, pair, direction


class _Columns(NamedTuple):
    """Columns of a batch, aligned."""

    start: IntArray
    limit: FloatArray
    fill: FloatArray
    buying: npt.NDArray[np.bool_]
    trace_id: pa.Array


class PriceWatch(Detector):
    """Follows the limits of all pairs. Not thread-safe."""

    name = "limit_price"
    detector = MARKET
    input = Input.ORDERS
    tables = (_TABLE,)
    saved_every_s = 60.0

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._fills: dict[str, OrderedDict[str, float]] = {}  # trace → price, oldest first
        self._learned: dict[Cell, Sketch] = {}
        self._waiting: list[pa.Table] = []  # rows to be learned together: one by one they cost 9 µs each
        self._waiting_count = 0
        self._reported: OrderedDict[str, None] = OrderedDict()
        self._recent: deque[tuple[str, bool, int]] = deque(maxlen=1_000)  # pair, above the market, second
        self._changed: set[Cell] = set()  # cells that changed since they were stored

    def judge(self, orders: pa.Table) -> list[Anomaly]:
        """Judge the orders of a batch; columns of `queries/new_amounts.sql`, a price in each row."""
        if not orders.num_rows:
            return []
        pairs = orders["order_pair"].combine_chunks().dictionary_encode()
        columns = _Columns(
            orders["start_unix_nano"].to_numpy(),
            orders["limit_price"].to_numpy(),
            orders["fill_price"].to_numpy(),
            pc.equal(orders["side"], "BUY").to_numpy(zero_copy_only=False),
            orders["trace_id"].combine_chunks(),
        )
        # Second by second, so that each order of a batch is compared with the prices of its own second.
        place = columns.start // 1_000_000_000 * len(pairs.dictionary) + pairs.indices.to_numpy()
        order = np.lexsort((columns.start, place))
        edges = np.flatnonzero(np.r_[True, place[order][1:] != place[order][:-1], True])
        distances = {direction: np.full(orders.num_rows, np.nan) for direction in (AGGRESSIVE, PASSIVE)}
        found: list[Anomaly] = []
        names = pairs.dictionary.to_pylist()
        for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            rows = order[begin:end]
            pair = names[int(place[rows[0]]) % len(names)]
            found += self._judge_pair(orders, columns, pair, rows, distances)
        self._keep(orders, distances)
        return found

    def observe(self, step: Step) -> Verdict:
        return Verdict(self.judge(priced_orders(step.amounts)))

    def changed(self) -> list[State]:
        learned = self.learn()
        rows = [
            {
                **dict(zip(_CELL, cell, strict=True)),
                "buckets": learned[cell].buckets.tolist(),
                "counts": learned[cell].counts.tolist(),
            }
            for cell in sorted(self._changed)
        ]
        return [State(_TABLE, pa.Table.from_pylist(rows))] if rows else []

    def committed(self) -> None:
        self._changed.clear()

    def restore(self, rows: Rows) -> None:
        for row in rows[_TABLE]:
            service, operation, kind, pair, direction = (row[name] for name in _CELL)
            cell = (service, operation, kind, pair, direction)
            self._learned[cell] = Sketch.from_counts(row["buckets"], row["counts"])

    def learned(self, cell: Cell) -> Sketch:
        """How far orders of this cell lie outside the market, as natural logarithms."""
        return self.learn().get(cell, EMPTY)

    def learn(self) -> dict[Cell, Sketch]:
        """Learn the gathered rows; returns all learned sketches."""
        if not self._waiting:
            return self._learned
        rows = pa.concat_tables(self._waiting)
        self._waiting, self._waiting_count = [], 0
        keys = pc.binary_join_element_wise(*(rows[name] for name in _PLACE), "\x1f")
        encoded = keys.combine_chunks().dictionary_encode()
        codes = encoded.indices.to_numpy()
        for code, key in enumerate(encoded.dictionary.to_pylist()):
            chosen = codes == code
            service, operation, kind, pair = key.split("\x1f")[:4]
            for direction in (AGGRESSIVE, PASSIVE):
                cell = (service, operation, kind, pair, direction)
                if cell not in self._learned and len(self._learned) >= _CELLS_MAX:
                    continue
                sketch = Sketch.of(rows[direction].to_numpy()[chosen])
                self._learned[cell] = merge([self._learned.get(cell, EMPTY), sketch])
                self._changed.add(cell)
        return self._learned

    def _judge_pair(
        self,
        orders: pa.Table,
        columns: _Columns,
        pair: str,
        rows: IntArray,
        distances: dict[str, FloatArray],
    ) -> list[Anomaly]:
        """Judge orders of one pair and second, and learn the distances of the ordinary ones."""
        fills = self._note_fills(pair, columns, rows)
        rows = rows[columns.limit[rows] > 0]
        if len(fills) < _FILLS_MIN or not len(rows):
            return []
        aggressive, passive = beyond(columns.limit[rows], columns.buying[rows], fills)
        distances[AGGRESSIVE][rows], distances[PASSIVE][rows] = aggressive, passive
        worst: dict[str, Anomaly] = {}
        for row in rows[np.maximum(aggressive, passive) >= _LEAST_BEYOND].tolist():
            place = orders.slice(row, 1).to_pylist()[0]
            for direction, distance in distances.items():
                anomaly = self._report(place, direction, float(distance[row]), fills)
                if anomaly is None:
                    continue
                distance[row] = np.nan
                known = worst.get(anomaly.trace_id)
                if known is None or _outer(anomaly) < _outer(known):
                    worst[anomaly.trace_id] = anomaly
        second = int(columns.start[rows[0]]) // 1_000_000_000
        new = [anomaly for anomaly in worst.values() if self._is_new(anomaly.trace_id)]
        return [self._in_crowd(anomaly, pair, second) for anomaly in new]

    def _in_crowd(self, anomaly: Anomaly, pair: str, second: int) -> Anomaly:
        """The anomaly; SEV5 at most if others lie on its side of the market: it is no typing error."""
        above = anomaly.observed > anomaly.expected
        while self._recent and self._recent[0][2] < second - _CROWD_S:
            self._recent.popleft()
        others = sum(1 for other in self._recent if other[:2] == (pair, above))
        self._recent.append((pair, above, second))
        if others < _CROWD - 1 or abs(np.log(anomaly.observed / anomaly.expected)) > _CROWD_BEYOND:
            return anomaly
        sigma = min(anomaly.sigma, self._settings.severity_sigmas()[1] - _BELOW)
        return replace(anomaly, sigma=sigma, severity=severity_of(sigma, self._settings.severity_sigmas()))

    def _note_fills(self, pair: str, columns: _Columns, rows: IntArray) -> FloatArray:
        """The newest fills, one of each trace: a trace repeats its fill in several spans."""
        kept = self._fills.setdefault(pair, OrderedDict())
        filled = rows[columns.fill[rows] > 0][-4 * _FILLS_KEPT :]
        if len(filled):
            traces = columns.trace_id.take(pa.array(filled)).to_pylist()
            kept.update(zip(traces, columns.fill[filled].tolist(), strict=True))
        while len(kept) > _FILLS_KEPT:
            kept.popitem(last=False)
        return np.array(list(kept.values()), dtype=np.float64)

    def _keep(self, orders: pa.Table, distances: dict[str, FloatArray]) -> None:
        """Keep these rows to be learned later."""
        part = orders.select(list(_PLACE))
        for direction, distance in distances.items():
            part = part.append_column(direction, pa.array(distance))
        usual = np.isfinite(distances[AGGRESSIVE]) & np.isfinite(distances[PASSIVE])
        self._waiting.append(part.filter(pa.array(usual)))
        self._waiting_count += part.num_rows
        if self._waiting_count >= _WAITING_MAX:
            self.learn()

    def _report(
        self, row: dict[str, Any], direction: str, distance: float, fills: FloatArray
    ) -> Anomaly | None:
        if distance < _LEAST_BEYOND:
            return None
        operation = Operation.of(row)
        sketch = self.learned((*operation, row["order_pair"], direction))
        if sketch.sample_count < self._settings.detect_min_samples:
            return None
        # One digit too many is beyond any tail of limits: with the error of its shape, ten times the price
        # would be 4.2σ, as mild as a bid that waits a little far away.
        tail = fit_tail(sketch, regime_scale_min=_REGIME_SCALE, best_shape=True)
        if distance < _LEAST_RATIO * tail.quantile(0.99):
            return None
        market = float(np.median(fills))
        sigma = float(tail.sigma(distance))
        if direction == PASSIVE:
            sigma = min(sigma, self._settings.severity_sigmas()[1] - _BELOW)
        quote = row["order_pair"][len(row["asset"]) + 1 :]
        limit = row["limit_price"]
        text = (
            f"{row['side']} order of {row['amount']:,.6g} {row['asset']} at {limit:,.6g} {quote}, "
            f"{limit / market:.3g} times the market's {market:,.6g}"
        )
        return window_anomaly(
            MARKET,
            row,
            operation,
            self._settings,
            sigma=sigma,
            observed=limit,
            expected=market,
            unit=quote,
            sample_count=sketch.sample_count,
            details={
                "text": text,
                "pair": row["order_pair"],
                "rule": RULE,
                "side": row["side"],
                "direction": direction,
                "outside": round(float(np.expm1(distance)), 4),
            },
            subject=RULE,
            cell=f"{row['order_pair']} {direction}",
        )

    def _is_new(self, trace_id: str) -> bool:
        """Whether the trace was not reported yet: it repeats its order in spans that land later."""
        if trace_id in self._reported:
            return False
        self._reported[trace_id] = None
        while len(self._reported) > _REPORTED_MAX:
            self._reported.popitem(last=False)
        return True


def beyond(
    limits: FloatArray, buying: npt.NDArray[np.bool_], fills: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """How far limits lie outside the fills, as natural logarithms: (aggressive, passive), 1e-4 at least.

    Args:
        fills: at least five prices, in any order.
    """
    ordered = np.sort(fills)[_LEFT_OUT : len(fills) - _LEFT_OUT]
    above, below = np.log(limits / ordered[-1]), np.log(ordered[0] / limits)
    return (
        np.maximum(np.where(buying, above, below), _NEAR),
        np.maximum(np.where(buying, below, above), _NEAR),
    )


def _outer(anomaly: Anomaly) -> tuple[int, int]:
    return (anomaly.start_unix_nano, -anomaly.span_duration_ns)
