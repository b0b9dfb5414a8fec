"""One p for the times of a span: its duration, its self time and its edge.

    p = m / (1 / p_1 + … + 1 / p_m)

A slow child lengthens only the duration, and so may hide the span's own work; slowness of the span itself
lengthens both. The edge is the time between a calling span and the span that answers or receives its message;
while a message waits, this time lies in no span. The harmonic mean of these p is a p-value whatever their
dependence. A span without children has only one p, since its duration is its self time.

Source: harmonic mean p-value (Good 1958; Wilson 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from detectors.baseline.models import Model
from detectors.baseline.settled import SettledTraces
from detectors.model.operation import Operation
from detectors.stats.arrays import FloatArray, IntArray
from detectors.stats.seasonality import HOURS_PER_WEEK, hour_of_week


class TimeModels(Protocol):
    """The part of `detectors.baseline.models.Baselines` that is needed here."""

    def duration(self, service_name: str, operation: str, span_kind: str, hour: int) -> Model | None: ...

    def self_time(self, service_name: str, operation: str, span_kind: str, hour: int) -> Model | None: ...

    def edge_time(
        self, service_name: str, operation: str, span_kind: str, callee: str, hour: int
    ) -> Model | None: ...


class TimeChances(NamedTuple):
    """Aligned with the spans: p of each time (NaN without the time or its history), and p of all together."""

    duration: FloatArray
    self_time: FloatArray
    edge: FloatArray
    together: FloatArray


def time_chances(
    settled: SettledTraces, operations: list[Operation], operation_of: IntArray, models: TimeModels
) -> TimeChances:
    """
    Args:
        operation_of: the index of each span's operation.
    """
    spans = settled.spans
    duration = spans["duration_ns"].to_numpy()
    hours = hour_of_week(spans["start_unix_nano"].to_numpy())
    groups = operation_of * HOURS_PER_WEEK + hours

    def find(
        model: Callable[[str, str, str, int], Model | None],
    ) -> Callable[[int], Model | None]:
        return lambda group: model(*operations[group // HOURS_PER_WEEK], group % HOURS_PER_WEEK)

    total = _chances(groups, duration, find(models.duration))
    own = _chances(groups, settled.self_time_ns, find(models.self_time))
    whole = settled.self_time_ns >= duration
    own[whole] = np.nan
    between = np.full(len(total), np.nan)
    caller, callee = settled.edges.caller, settled.edges.callee
    services, service_of = _codes(spans["service_name"])
    size = max(len(services), 1)

    def edge_model(group: int) -> Model | None:
        group, hour = divmod(group, HOURS_PER_WEEK)
        operation, service = divmod(group, size)
        return models.edge_time(*operations[operation], services[service], hour)

    of_edge = (operation_of[caller] * size + service_of[callee]) * HOURS_PER_WEEK + hours[caller]
    between[caller] = _chances(of_edge, settled.edges.time_ns, edge_model)
    times = np.stack([total, own, between])
    judged = ~np.isnan(times)
    count = judged.sum(axis=0)
    odds = np.where(judged, 1.0 / np.where(judged, times, 1.0), 0.0).sum(axis=0)
    together = np.where(count > 0, count / np.maximum(odds, 1e-9), np.nan)
    return TimeChances(total, np.where(whole, total, own), between, together)


def _chances(groups: IntArray, values: IntArray, find: Callable[[int], Model | None]) -> FloatArray:
    """P(X > value) for each value by the model of its group; NaN without a model."""
    found = np.full(len(values), np.nan)
    distinct, group_of = np.unique(groups, return_inverse=True)
    order = np.argsort(group_of, kind="stable")
    bounds = np.searchsorted(group_of[order], np.arange(len(distinct) + 1))
    for number, group in enumerate(distinct.tolist()):
        if (model := find(group)) is not None:
            rows = order[bounds[number] : bounds[number + 1]]
            found[rows] = model.tail.survival(values[rows].astype(np.float64))
    return found


def _codes(column: pa.ChunkedArray) -> tuple[list[str], IntArray]:
    rows = column.combine_chunks()
    encoded = (
        pa.concat_arrays(rows.chunks) if isinstance(rows, pa.ChunkedArray) else rows
    ).dictionary_encode()
    return encoded.dictionary.to_pylist(), np.asarray(encoded.indices.to_numpy(), dtype=np.int64)
