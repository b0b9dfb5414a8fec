"""Fitted models, one for each cell in use, refitted when the cell has grown."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from threading import RLock

import pyarrow as pa

from detectors.baseline.forms import FormBook
from detectors.baseline.pools import Pools
from detectors.baseline.sketch_index import (
    AMOUNT,
    DURATION,
    EDGE,
    MESSAGE_WAIT,
    SELF_TIME,
    SeriesKey,
    SketchBook,
)
from detectors.model.amounts import ORDER_KINDS
from detectors.model.operation import Operation
from detectors.settings import Settings
from detectors.stats.seasonality import OPERATION_CELL, cell_names
from detectors.stats.sketch import Sketch
from detectors.stats.tail import Tail, fit_tail

# A pause of the scheduler or a collector on a shared machine lasts about this long.
_UNSEEN_PAUSE_NS = 20e6
# Amounts have no natural scale: an unseen regime counts as large as the median.
_UNSEEN_AMOUNT = 0.0
_REFIT_GROWTH = 1.05
# The measures of an operation's time that are learned.
TIMES = (DURATION, SELF_TIME, EDGE)
# For these measures, an operation with few samples borrows from the others of its service and kind.
# The wait of messages depends on how busy their consumer is: other consumers of its service say nothing about
# it, and with them a fault that came again was not found.
_POOLED = (DURATION, SELF_TIME, EDGE)
# Clocks tick in µs: shorter times differ by their rounding alone, and zero has no logarithm.
_LEAST_TIME_NS = 1_000.0
_SHIFT_SIGMA = 1.645  # of `SHIFT_QUANTILE`
# Spans above it are exceedances of a shift. A noisy start may spoil 1% of a baseline, hardly 5%.
SHIFT_QUANTILE = 0.95


@dataclass(frozen=True, slots=True)
class Model:
    """A cell's fitted distribution.

    A value of at least `flag_above` is an anomaly by itself. A value above `shift_above` is one when most
    others are too (`detectors.spans.latency_shift`). The same holds for values below `fast_below`, which is 0
    where no value can be too fast (`detectors.spans.speedup`). The last two have no meaning for amounts.
    """

    key: SeriesKey
    cell: str
    tail: Tail
    flag_above: float
    shift_above: float
    fast_below: float = 0.0


class Baselines:
    """The sketches and the models fitted to them. Thread-safe: the API reads while the pipeline learns."""

    def __init__(
        self, settings: Settings, book: SketchBook | None = None, forms: FormBook | None = None
    ) -> None:
        self._settings = settings
        self.forms = forms or FormBook()  # of spans; only the learning thread changes it
        self._book = book or SketchBook()
        self._models: dict[tuple[SeriesKey, str], Model] = {}
        self._found: dict[tuple[SeriesKey, int], Model | None] = {}  # by hour; cleared by learning
        self._carrying: set[tuple[Operation, str]] = set()  # with the kind of amount
        self._pools = Pools(self._book, _LEAST_TIME_NS)
        self._note_amounts(self._book.series())
        self._lock = RLock()

    def add(self, deltas: pa.Table) -> set[SeriesKey]:
        """Learn rows of `sketch_index.DELTA_SCHEMA`; returns the series that changed."""
        with self._lock:
            touched = self._book.add(deltas)
            self._note_amounts(touched)
            self._pools.note(touched)
            self._found.clear()
            return touched

    def rescale(self, operation: Operation, buckets: int) -> set[SeriesKey]:
        """Move the durations of an operation by so many buckets of the sketch; returns the changed series."""
        with self._lock:
            keys = self._book.of_operation(operation, (DURATION,))
            for key in keys:
                self._book.rescale(key, buckets)
            self._refit(keys)
        return set(keys)

    def relearn(self, operation: Operation, deltas: pa.Table) -> set[SeriesKey]:
        """Forget the times of an operation and learn these rows of `sketch_index.DELTA_SCHEMA` instead."""
        with self._lock:
            keys = self._book.of_operation(operation, TIMES)
            self._book.remove(keys)
            self._refit(keys)
            return self._book.add(deltas) | set(keys)

    def unlearn(self, deltas: pa.Table) -> None:
        """Add rows of negative counts: they remove samples that were learned by mistake."""
        with self._lock:
            self._refit(self._book.add(deltas))

    def _refit(self, keys: Iterable[SeriesKey]) -> None:
        gone = set(keys)
        self._models = {place: model for place, model in self._models.items() if place[0] not in gone}

    def replace(self, book: SketchBook, forms: FormBook | None = None) -> None:
        """Start again from another book, at once for all readers."""
        with self._lock:
            self._book = book
            self.forms = forms or FormBook()
            self._pools = Pools(book, _LEAST_TIME_NS)
            self._models.clear()
            self._found.clear()
            self._carrying.clear()
            self._note_amounts(book.series())

    def duration(self, service_name: str, operation: str, span_kind: str, hour: int) -> Model | None:
        """The model for a span that starts in this hour of week; None before the first sample."""
        return self._time_model(SeriesKey(DURATION, service_name, operation, span_kind), hour)

    def self_time(self, service_name: str, operation: str, span_kind: str, hour: int) -> Model | None:
        """The same for its self time."""
        return self._time_model(SeriesKey(SELF_TIME, service_name, operation, span_kind), hour)

    def edge_time(
        self, service_name: str, operation: str, span_kind: str, callee: str, hour: int
    ) -> Model | None:
        """The same for the time between the operation and the service that it calls or sends a message to."""
        return self._time_model(SeriesKey(EDGE, service_name, operation, span_kind, callee), hour)

    def message_wait(self, service_name: str, operation: str, span_kind: str, hour: int) -> Model | None:
        """The same for how long the messages of a consumer waited."""
        return self._time_model(SeriesKey(MESSAGE_WAIT, service_name, operation, span_kind), hour)

    def _time_model(self, key: SeriesKey, hour: int) -> Model | None:
        with self._lock:
            if (key, hour) not in self._found:
                self._found[key, hour] = self._choose(key, hour)
            return self._found[key, hour]

    def _choose(self, key: SeriesKey, hour: int) -> Model | None:
        least = self._settings.detect_min_cell_samples
        for cell in cell_names(hour)[:2]:
            if self._book.sample_count(key, cell) >= least:
                return self._model(key, cell)
        return self._model(key, OPERATION_CELL) if self._book.sample_count(key) > 0 else None

    def amount(self, service_name: str, operation: str, span_kind: str, facets: list[str]) -> Model | None:
        """The model of the first facet with enough samples; None when all are learning."""
        with self._lock:
            for facet in facets:
                key = SeriesKey(AMOUNT, service_name, operation, span_kind, facet)
                if self._book.sample_count(key) >= self._settings.detect_amount_min_samples:
                    return self._model(key, OPERATION_CELL)
        return None

    def names_with_amounts(self, kinds: Collection[str] = ORDER_KINDS) -> list[str]:
        """The sorted names of operations for which an amount of these kinds was ever learned; names alone."""
        with self._lock:
            return sorted({operation.operation for operation, kind in self._carrying if kind in kinds})

    def _note_amounts(self, keys: Iterable[SeriesKey]) -> None:
        self._carrying |= {
            (Operation(key[1], key[2], key[3]), key.facet.partition("|")[0])
            for key in keys
            if key.measure == AMOUNT
        }

    def self_time_p50_ns(self, service_name: str, operation: str, span_kind: str) -> float | None:
        """The median of an operation's self time; None before any trace with it has settled."""
        sketch = self.self_times(service_name, operation, span_kind)
        return sketch.quantile(0.5) if len(sketch.buckets) else None

    def self_times(self, service_name: str, operation: str, span_kind: str) -> Sketch:
        """Samples of an operation's self time in ns; empty before any trace with it has settled."""
        with self._lock:
            return self._book.sketch(SeriesKey(SELF_TIME, service_name, operation, span_kind))

    def edge(self, service_name: str, operation: str, span_kind: str, callee: str) -> Sketch:
        """Samples of the time in ns between a calling operation and the service that it calls."""
        with self._lock:
            return self._book.sketch(SeriesKey(EDGE, service_name, operation, span_kind, callee))

    def fitted(self, keys: set[SeriesKey] | None = None) -> list[tuple[Model, int, bool]]:
        """(model, flagged count, ready) of every cell in use of these series (all when None)."""
        found = []
        with self._lock:
            for key in self._book.series() if keys is None else keys:
                if key.measure in (SELF_TIME, EDGE, MESSAGE_WAIT) or not self._book.sample_count(key):
                    continue
                for cell, ready in self._cells_in_use(key):
                    found.append((self._model(key, cell), self._book.flagged_count(key, cell), ready))
        return found

    def counts(self) -> dict[str, int]:
        """(operations judged mainly by their own samples, operations judged mainly by those of others)."""
        with self._lock:
            sizes = [self._book.sample_count(k) for k in self._book.series() if k.measure == DURATION]
        ready = sum(size >= self._settings.detect_min_samples for size in sizes)
        return {"ready": ready, "learning": len(sizes) - ready}

    def _cells_in_use(self, key: SeriesKey) -> list[tuple[str, bool]]:
        count = self._book.sample_count(key)
        if key.measure == AMOUNT:
            return [(OPERATION_CELL, count >= self._settings.detect_amount_min_samples)]
        cells = {cell for hour in self._book.hours(key) for cell in cell_names(hour)[:2]}
        least = self._settings.detect_min_cell_samples
        fine = [(cell, True) for cell in sorted(cells) if self._book.sample_count(key, cell) >= least]
        return [(OPERATION_CELL, count >= self._settings.detect_min_samples), *fine]

    def _model(self, key: SeriesKey, cell: str) -> Model:
        known = self._models.get((key, cell))
        count = self._book.sample_count(key, cell)
        if known and count < known.tail.sample_count * _REFIT_GROWTH:
            return known
        amounts = key.measure == AMOUNT
        sketch = self._book.sketch(key, cell)
        if not amounts:
            sketch = sketch.at_least(_LEAST_TIME_NS)
        pooled, pooled_count = None, 0
        if cell == OPERATION_CELL and key.measure in _POOLED:
            pool = self._pools.of(key)
            pooled, pooled_count = pool.expected(sketch), pool.sample_count
        tail = fit_tail(
            sketch,
            regime_scale_min=_UNSEEN_AMOUNT if amounts else _UNSEEN_PAUSE_NS,
            left_out_count=self._book.flagged_count(key, cell),
            coarser=None if cell == OPERATION_CELL else self._model(key, OPERATION_CELL).tail,
            pooled=pooled,
            pooled_count=pooled_count,
        )
        if key.measure in (SELF_TIME, EDGE):  # judged by its chance alone
            model = Model(key, cell, tail, math.inf, math.inf)
        elif amounts:
            flag_above = max(
                tail.value_at(self._settings.detect_sigma_sev5),
                tail.quantile(0.99) * self._settings.detect_amount_min_ratio,
            )
            model = Model(key, cell, tail, flag_above, flag_above)
        else:
            model = Model(key, cell, tail, *_limits(tail, self._settings), _fast_below(tail, self._settings))
        self._models[key, cell] = model
        return model


def _limits(tail: Tail, settings: Settings) -> tuple[float, float]:
    """(improbable, unusual): a span above the first is an anomaly; a span above the second is one if most
    others are too. Both are large enough to matter."""
    improbable, predicted = tail.values_at([settings.detect_sigma_sev5, _SHIFT_SIGMA])
    # Two standard errors up: the quantile of a hundred samples is uncertain, and a low one flags everything.
    error = 2.0 * math.sqrt(SHIFT_QUANTILE * (1 - SHIFT_QUANTILE) / tail.sample_count)
    unusual = max(tail.quantile(min(SHIFT_QUANTILE + error, 1.0)), predicted)
    matters = max(tail.p50 * settings.detect_min_ratio, tail.p50 + settings.detect_min_excess_ms * 1e6)
    flag_above = max(improbable, matters)
    return flag_above, min(max(unusual, matters), flag_above)


def _fast_below(tail: Tail, settings: Settings) -> float:
    """The duration below which a span is unusually short, by enough to matter; 0 without one."""
    if tail.sample_count < settings.detect_min_samples:
        return 0.0
    error = 2.0 * math.sqrt(SHIFT_QUANTILE * (1 - SHIFT_QUANTILE) / tail.sample_count)
    unusual = tail.quantile(max(1 - SHIFT_QUANTILE - error, 0.0))
    excess = settings.detect_min_excess_ms * 1e6
    return max(min(unusual, tail.p50 / settings.detect_faster_ratio, tail.p50 - excess), 0.0)
