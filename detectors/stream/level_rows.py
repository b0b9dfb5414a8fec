"""Points of series as rows of the table `level_points`, which detectors of levels have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from detectors.stats.arrays import FloatArray
from detectors.stream.detector import Rows, State

TABLE = "level_points"
_SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("series", pa.string()),
        ("points", pa.list_(pa.float64())),
        ("quiet_count", pa.int64()),
        ("newest_unix_nano", pa.int64()),
    ]
)


class SeriesPoints(NamedTuple):
    """The newest points, oldest first; quiet_count: so many more until a shift may be reported again."""

    series: str
    points: FloatArray
    quiet_count: int
    newest_unix_nano: int


def level_state(detector: str, changed: Iterable[SeriesPoints]) -> list[State]:
    """The changed rows of a detector, if any."""
    rows = [{"kind": detector, **one._asdict(), "points": one.points.tolist()} for one in changed]
    return [State(TABLE, pa.Table.from_pylist(rows, schema=_SCHEMA))] if rows else []


def levels_of(rows: Rows, detector: str) -> Iterator[SeriesPoints]:
    """The stored points of a detector's series."""
    for row in rows[TABLE]:
        if row["kind"] == detector:
            points = np.array(row["points"], dtype=np.float64)
            yield SeriesPoints(row["series"], points, row["quiet_count"], row["newest_unix_nano"])
