"""All sketches of a system, by series and hour of week, in memory."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detectors.baseline.cells import OPERATION_CELL, hours_of
from detectors.baseline.sketch import EMPTY, Sketch, merge

DURATION = "duration"
EXCLUSIVE = "exclusive"
EDGE = "edge"
AMOUNT = "amount"

# One row adds `sample_count` samples to a bucket; the form in which sketches are learned and stored.
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
_SERIES_COLUMNS = ["measure", "service_name", "operation", "span_kind", "facet"]


class SeriesKey(NamedTuple):
    """What is sampled. `facet` splits amounts (`order|BTC|BUY`), names the called service of an edge, and is
    empty for other times."""

    measure: str
    service_name: str
    operation: str
    span_kind: str
    facet: str = ""


class SketchBook:
    """Sketches by series and hour, and the counts of what was kept out. Not thread-safe."""

    def __init__(self) -> None:
        self._hours: dict[SeriesKey, dict[int, Sketch]] = {}
        self._whole: dict[SeriesKey, Sketch] = {}
        self._flagged: dict[SeriesKey, dict[int, int]] = {}

    def add(self, deltas: pa.Table) -> set[SeriesKey]:
        """Add rows of `DELTA_SCHEMA`; returns the series that changed."""
        if not deltas.num_rows:
            return set()
        touched: set[SeriesKey] = set()
        for series in _groups(deltas, _SERIES_COLUMNS):
            key = SeriesKey(*(series[name][0].as_py() for name in _SERIES_COLUMNS))
            touched.add(key)
            for part in _groups(series, ["hour_of_week", "flagged"]):
                hour = part["hour_of_week"][0].as_py()
                if part["flagged"][0].as_py():
                    counts = self._flagged.setdefault(key, {})
                    counts[hour] = counts.get(hour, 0) + int(pc.sum(part["sample_count"]).as_py())
                    continue
                sketch = Sketch.from_counts(part["bucket"].to_numpy(), part["sample_count"].to_numpy())
                hours = self._hours.setdefault(key, {})
                hours[hour] = merge([hours.get(hour, EMPTY), sketch])
                self._whole[key] = merge([self._whole.get(key, EMPTY), sketch])
        return touched

    def series(self) -> list[SeriesKey]:
        return list(self._hours.keys() | self._flagged.keys())

    def hours(self, key: SeriesKey) -> list[int]:
        """The hours of week in which the series has samples."""
        return sorted(self._hours.get(key, ()))

    def sketch(self, key: SeriesKey, cell: str = OPERATION_CELL) -> Sketch:
        """The samples of one cell; empty when there are none."""
        if cell == OPERATION_CELL:
            return self._whole.get(key, EMPTY)
        hours = self._hours.get(key, {})
        parts = [hours[hour] for hour in hours_of(cell) if hour in hours]
        return parts[0] if len(parts) == 1 else merge(parts)

    def sample_count(self, key: SeriesKey, cell: str = OPERATION_CELL) -> int:
        if cell == OPERATION_CELL:
            return self._whole.get(key, EMPTY).sample_count
        hours = self._hours.get(key, {})
        return sum(hours[hour].sample_count for hour in hours_of(cell) if hour in hours)

    def flagged_count(self, key: SeriesKey, cell: str = OPERATION_CELL) -> int:
        hours = self._flagged.get(key, {})
        return sum(hours.get(hour, 0) for hour in hours_of(cell))


def _groups(table: pa.Table, columns: list[str]) -> list[pa.Table]:
    """The table cut into runs of equal values in `columns`, after sorting by them."""
    ordered = table.sort_by([(name, "ascending") for name in columns]).combine_chunks()
    changed = np.zeros(ordered.num_rows, dtype=bool)
    changed[0] = True
    for name in columns:
        codes = ordered[name].combine_chunks().dictionary_encode()
        values = (codes.combine_chunks() if isinstance(codes, pa.ChunkedArray) else codes).indices.to_numpy()
        changed[1:] |= values[1:] != values[:-1]
    starts = [*np.flatnonzero(changed).tolist(), ordered.num_rows]
    return [ordered.slice(a, b - a) for a, b in pairwise(starts)]
