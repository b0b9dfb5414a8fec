"""The level of each operation by quarters of an hour, by which a lasting change is recognised.

A level is taken from *all* spans, flagged or not, since a level that lasts is flagged at first. It is kept
against what was usual at that hour of week: r50 = ln(p50 / usual p50), and r90 likewise, so that the tides
of a day are no change. Operations with few spans gather their quarters until there are enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detectors.baseline.models import Baselines
from detectors.model.operation import Operation
from detectors.stats.arrays import FloatArray
from detectors.stats.seasonality import hour_of_week
from detectors.stats.sketch import Sketch, bucket_of, merge, upper_of

SLOT_NS = 900 * 10**9
SLOTS_PER_DAY = 96
SLOTS_KEPT = 104  # a day and two hours
# From a tenth a change may be a step. Below, it is followed as drift, some percent a day.
STEP_LOG = math.log(1.1)
_SAMPLES_MIN = 50  # a median of fewer is unreliable
_GATHERED_MAX = 24  # quarters; older parts of a level that never filled are dropped
_OPERATIONS_MAX = 20_000  # 4 kB each
_BUCKET_BITS, _BUCKET_OFFSET = 13, 2_048
_SLOT_BITS = 24
_PARTS_MAX = 64

# Columns of a history.
SLOT, COUNT, FAILED, R50, R90 = range(5)


class Level(NamedTuple):
    """One finished quarter of an hour; a row of `operation_levels`."""

    operation: Operation
    slot: int  # times SLOT_NS is its start
    sample_count: int
    failed_count: int
    p50_ns: float
    p90_ns: float
    usual_p50_ns: float
    usual_p90_ns: float

    def row(self) -> list[float]:
        r50, r90 = math.log(self.p50_ns / self.usual_p50_ns), math.log(self.p90_ns / self.usual_p90_ns)
        return [self.slot, self.sample_count, self.failed_count, r50, r90]


@dataclass(slots=True)
class _Filling:
    slot: int
    parts: list[Sketch] = field(default_factory=list)
    count: int = 0
    failed: int = 0

    def add(self, part: Sketch, count: int, failed: int) -> None:
        self.parts.append(part)
        self.count += count
        self.failed += failed
        if len(self.parts) > _PARTS_MAX:
            self.parts = [merge(self.parts)]


class LevelHistory:
    """The levels of all operations over the last day. Not thread-safe."""

    def __init__(self, baselines: Baselines) -> None:
        self._baselines = baselines
        self._filling: dict[Operation, _Filling] = {}
        self._levels: dict[Operation, FloatArray] = {}
        self._usual: dict[Operation, tuple[float, float]] = {}  # p50 and p90 that the newest was held against

    def of(self, operation: Operation) -> FloatArray:
        """Finished levels in order of time, one a row: SLOT, COUNT, FAILED, R50, R90."""
        return self._levels.get(operation, np.empty((0, 5)))

    def observe(self, spans: pa.Table) -> list[Level]:
        """Take settled spans; returns the levels that they have finished.

        Args:
            spans: columns of `queries/settled_spans.sql`; `is_new` rows count.
        """
        finished = []
        for operation, slot, part, failed in _parts(spans):
            filling = self._filling.get(operation)
            if filling is None:
                if len(self._filling) >= _OPERATIONS_MAX:
                    continue
                filling = self._filling[operation] = _Filling(slot)
            if filling.slot - slot > SLOTS_PER_DAY:  # a clock was ahead, or time has jumped back
                filling = self._filling[operation] = _Filling(slot)
            if slot > filling.slot:
                if level := self._finish(operation, filling):
                    finished.append(level)
                if level or slot - filling.slot > _GATHERED_MAX:
                    filling = self._filling[operation] = _Filling(slot)
                filling.slot = slot
            if slot == filling.slot:  # else it is too late to show the present
                filling.add(part, part.sample_count, failed)
        return finished

    def restore(self, level: Level) -> None:
        """Take a level of a former run, oldest first."""
        self._append(level)

    def rescale(self, operation: Operation, log_ratio: float) -> None:
        """The usual level has been rescaled; levels are measured against it."""
        if operation in self._levels:
            self._levels[operation][:, [R50, R90]] -= log_ratio
            usual_p50, usual_p90 = self._usual[operation]
            self._usual[operation] = usual_p50 * math.exp(log_ratio), usual_p90 * math.exp(log_ratio)

    def forget(self, operation: Operation) -> None:
        """The baseline is another one: its history begins anew."""
        self._levels.pop(operation, None)
        self._usual.pop(operation, None)
        self._filling.pop(operation, None)

    def _finish(self, operation: Operation, filling: _Filling) -> Level | None:
        if filling.count < _SAMPLES_MIN:
            return None
        model = self._baselines.duration(*operation, int(hour_of_week(filling.slot * SLOT_NS)))
        if model is None:
            return None
        sketch = merge(filling.parts)
        usual = _quantiles(model.tail.edges, 1.0 - model.tail.survivals)
        levels = self.of(operation)
        if len(levels) and abs(levels[-1, R50]) >= STEP_LOG:
            # What is not flagged is learned on the way: the old level must stay known until it is decided.
            usual = self._usual[operation]
        level = Level(
            operation,
            filling.slot,
            filling.count,
            filling.failed,
            *_quantiles(upper_of(sketch.buckets), np.cumsum(sketch.counts) / filling.count),
            *usual,
        )
        self._append(level)
        return level

    def _append(self, level: Level) -> None:
        row = np.array([level.row()])
        self._usual[level.operation] = level.usual_p50_ns, level.usual_p90_ns
        known = self._levels.get(level.operation)
        self._levels[level.operation] = row if known is None else np.vstack([known, row])[-SLOTS_KEPT:]


def _quantiles(edges: FloatArray, below: FloatArray) -> tuple[float, float]:
    """(p50, p90), interpolated within a bucket: a drift of 2% a day is no wider than one.

    Args:
        edges: upper edges of the occupied buckets; below: the share of samples up to each.
    """
    p50, p90 = np.exp(np.interp([0.5, 0.9], below, np.log(edges)))
    return float(p50), float(p90)


def _parts(spans: pa.Table) -> list[tuple[Operation, int, Sketch, int]]:
    """(operation, slot, its durations, how many failed) of the new spans, by operation and then time."""
    # Rows are chosen as numbers: filtering the table would copy its texts, and take longer than the rest.
    new = np.flatnonzero(spans["is_new"].to_numpy(zero_copy_only=False))
    if not len(new):
        return []
    names = pc.binary_join_element_wise(
        spans["span_kind"], spans["service_name"], spans["operation"], "\x1f"
    ).combine_chunks()
    if isinstance(names, pa.ChunkedArray):
        names = pa.concat_arrays(names.chunks)
    encoded = names.dictionary_encode()
    codes = encoded.indices.to_numpy()[new].astype(np.int64)
    slots = np.maximum(spans["start_unix_nano"].to_numpy()[new], 0) // SLOT_NS
    # A clock that is set to another year must not end the quarters of those that are right.
    near = np.abs(slots - int(np.median(slots))) <= SLOTS_PER_DAY
    new, codes, slots = new[near], codes[near], slots[near]
    series = (codes << _SLOT_BITS) | slots
    buckets = bucket_of(spans["duration_ns"].to_numpy()[new]) + _BUCKET_OFFSET
    keys, counts = np.unique((series << _BUCKET_BITS) | buckets, return_counts=True)
    failed_series, failed_counts = np.unique(
        series[spans["failed"].to_numpy(zero_copy_only=False)[new]], return_counts=True
    )
    failed = dict(zip(failed_series.tolist(), failed_counts.tolist(), strict=True))
    of_series = keys >> _BUCKET_BITS
    begins = np.flatnonzero(np.r_[True, of_series[1:] != of_series[:-1]])
    operations = [_operation(name) for name in encoded.dictionary.to_pylist()]
    found = []
    for first, end in zip(begins.tolist(), [*begins[1:].tolist(), len(keys)], strict=True):
        one = int(of_series[first])
        part = Sketch(
            (keys[first:end] & ((1 << _BUCKET_BITS) - 1)) - _BUCKET_OFFSET,
            counts[first:end].astype(np.int64),
        )
        found.append((operations[one >> _SLOT_BITS], one & ((1 << _SLOT_BITS) - 1), part, failed.get(one, 0)))
    return found


def _operation(name: str) -> Operation:
    # The kind cannot hold the separator, and a hostile service name only spoils its own.
    span_kind, service_name, operation = name.split("\x1f", 2)
    return Operation(service_name, operation, span_kind)
