"""All sketches of a system, by series and hour of week, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from detectors.model.operation import Operation
from detectors.stats.arrays import IntArray
from detectors.stats.seasonality import OPERATION_CELL, hours_of
from detectors.stats.sketch import EMPTY, Sketch, merge

DURATION = "duration"
SELF_TIME = "self_time"
EDGE = "edge"
AMOUNT = "amount"
MESSAGE_WAIT = "message_wait"  # ns between the end of a producer and the start of its consumer

# One row adds `sample_count` samples to a bucket. Sketches are learned and stored in this form.
DELTA_SCHEMA = pa.schema(
    [
        ("measure", pa.string()),
        ("service_name", pa.string()),
        ("operation", pa.string()),
        ("span_kind", pa.string()),
        ("facet", pa.string()),
        ("hour_of_week", pa.int16()),
        ("flagged", pa.bool_()),
        ("bucket", pa.int32()),
        ("sample_count", pa.int64()),
    ]
)
_PARTS_MAX = 32
_SERIES_COLUMNS = ["measure", "service_name", "operation", "span_kind", "facet"]


class SeriesKey(NamedTuple):
    """The key of sampled values. `facet` splits amounts (`order|BTC|BUY`), names the called service of an
    edge, and is empty for other times."""

    measure: str
    service_name: str
    operation: str
    span_kind: str
    facet: str = ""


class _Samples:
    """A sketch that grows. Parts are merged when the sketch is read, or when there are many."""

    __slots__ = ("_parts", "count")

    def __init__(self) -> None:
        self._parts: list[Sketch] = []
        self.count = 0

    def add(self, part: Sketch, count: int) -> None:
        self._parts.append(part)
        self.count += count
        if len(self._parts) > _PARTS_MAX:
            self._parts = [merge(self._parts)]

    def rescale(self, buckets: int) -> None:
        self._parts = [Sketch(part.buckets + buckets, part.counts) for part in self._parts]

    def sketch(self) -> Sketch:
        if len(self._parts) > 1:
            self._parts = [merge(self._parts)]
        return self._parts[0] if self._parts else EMPTY


class SketchBook:
    """Sketches by series and hour, and the counts of what was kept out. Not thread-safe."""

    def __init__(self) -> None:
        self._hours: dict[SeriesKey, dict[int, _Samples]] = {}
        self._whole: dict[SeriesKey, _Samples] = {}
        self._flagged: dict[SeriesKey, dict[int, int]] = {}

    def add(self, deltas: pa.Table) -> set[SeriesKey]:
        """Add rows of `DELTA_SCHEMA`; returns the series that changed."""
        if not deltas.num_rows:
            return set()
        rows = _Rows.of(deltas)
        for first, end, count in rows.parts():
            key, hour = rows.keys[rows.series[first]], int(rows.hour[first])
            if rows.flagged[first]:
                counts = self._flagged.setdefault(key, {})
                counts[hour] = counts.get(hour, 0) + count
                continue
            part = Sketch(rows.bucket[first:end], rows.samples[first:end])
            hours = self._hours.setdefault(key, {})
            if hour not in hours:
                hours[hour] = _Samples()
            hours[hour].add(part, count)
            self._whole.setdefault(key, _Samples()).add(part, count)
        return set(rows.keys)

    def of_operation(self, operation: Operation, measures: Sequence[str]) -> list[SeriesKey]:
        """The series of these measures of one operation, including its edges to every service."""
        keys = self._hours.keys() | self._flagged.keys()
        return [key for key in keys if key.measure in measures and key[1:4] == operation]

    def rescale(self, key: SeriesKey, buckets: int) -> None:
        """Multiply all samples by γ^buckets."""
        for samples in (*self._hours.get(key, {}).values(), self._whole.get(key)):
            if samples is not None:
                samples.rescale(buckets)

    def remove(self, keys: Iterable[SeriesKey]) -> None:
        for key in keys:
            self._hours.pop(key, None)
            self._whole.pop(key, None)
            self._flagged.pop(key, None)

    def series(self) -> list[SeriesKey]:
        return list(self._hours.keys() | self._flagged.keys())

    def hours(self, key: SeriesKey) -> list[int]:
        """The hours of week in which the series has samples."""
        return sorted(self._hours.get(key, ()))

    def sketch(self, key: SeriesKey, cell: str = OPERATION_CELL) -> Sketch:
        """The samples of one cell; empty when there are none."""
        if cell == OPERATION_CELL:
            whole = self._whole.get(key)
            return whole.sketch() if whole else EMPTY
        hours = self._hours.get(key, {})
        parts = [hours[hour].sketch() for hour in hours_of(cell) if hour in hours]
        return parts[0] if len(parts) == 1 else merge(parts)

    def sample_count(self, key: SeriesKey, cell: str = OPERATION_CELL) -> int:
        if cell == OPERATION_CELL:
            whole = self._whole.get(key)
            return whole.count if whole else 0
        hours = self._hours.get(key, {})
        return sum(hours[hour].count for hour in hours_of(cell) if hour in hours)

    def flagged_count(self, key: SeriesKey, cell: str = OPERATION_CELL) -> int:
        hours = self._flagged.get(key, {})
        return sum(hours.get(hour, 0) for hour in hours_of(cell))


class _Rows(NamedTuple):
    """Rows of `DELTA_SCHEMA`, aligned, sorted by series, hour, flag and bucket, without repetition."""

    keys: list[SeriesKey]
    series: IntArray  # index into `keys`
    hour: IntArray
    flagged: IntArray
    bucket: IntArray
    samples: IntArray

    @classmethod
    def of(cls, deltas: pa.Table) -> _Rows:
        names = pc.binary_join_element_wise(*(deltas[name] for name in _SERIES_COLUMNS), "\x1f")
        encoded = names.combine_chunks().dictionary_encode()
        keys = [SeriesKey(*name.split("\x1f")) for name in encoded.dictionary.to_pylist()]
        columns = [
            np.asarray(encoded.indices.to_numpy(), dtype=np.int64),
            deltas["hour_of_week"].to_numpy().astype(np.int64),
            deltas["flagged"].to_numpy().astype(np.int64),
            deltas["bucket"].to_numpy().astype(np.int64),
        ]
        count = deltas["sample_count"].to_numpy()
        order = np.lexsort(columns[::-1])
        ordered = [column[order] for column in columns]
        begins = np.flatnonzero(_changes(ordered))
        series, hour, flagged, bucket = (column[begins] for column in ordered)
        return cls(keys, series, hour, flagged, bucket, np.add.reduceat(count[order], begins))

    def parts(self) -> Iterator[tuple[int, int, int]]:
        """(first row, end, samples) of each series, hour and flag."""
        begins = np.flatnonzero(_changes([self.series, self.hour, self.flagged]))
        sums = np.add.reduceat(self.samples, begins)
        yield from zip(begins.tolist(), [*begins[1:].tolist(), len(self.series)], sums.tolist(), strict=True)


def _changes(columns: list[IntArray]) -> npt.NDArray[np.bool_]:
    """Whether each row differs from the row before."""
    changed = np.zeros(len(columns[0]), dtype=np.bool_)
    changed[0] = True
    for column in columns:
        changed[1:] |= column[1:] != column[:-1]
    return changed


def facets_of(amount_kind: str, asset: str, side: str) -> list[str]:
    """The facets under which an amount is learned and looked up, finest first.

    >>> facets_of("order", "BTC", "BUY"), facets_of("transfer", "BTC", "")
    (['order|BTC|BUY', 'order|BTC'], ['transfer|BTC'])
    """
    whole = f"{amount_kind}|{asset}"
    return [f"{whole}|{side}", whole] if side else [whole]
