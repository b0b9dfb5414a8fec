"""Chooses the part of an operation's history that an observation is compared with.

The hour of week, while it has enough samples; else the hour of day; else the whole operation, however few
samples it has: then the other operations of its service count most (`detectors.baseline.pool`). Hours are
UTC.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detectors.stats.arrays import IntArray

HOURS_PER_WEEK = 168
OPERATION_CELL = "operation"
_NS_PER_HOUR = 3_600_000_000_000
_EPOCH_HOUR_OF_WEEK = 72  # 1970-01-01 was a Thursday


def hour_of_week(unix_nano: npt.ArrayLike) -> IntArray:
    """0 for Monday 00:00–00:59 UTC … 167 for Sunday 23:00–23:59."""
    hours = np.asarray(unix_nano, dtype=np.int64) // _NS_PER_HOUR
    return (hours + _EPOCH_HOUR_OF_WEEK) % HOURS_PER_WEEK


def cell_names(hour: int) -> tuple[str, str, str]:
    """The cells an observation in this hour of week may use, finest first."""
    return (f"hour_of_week:{hour:03d}", f"hour_of_day:{hour % 24:02d}", OPERATION_CELL)


def hours_of(cell: str) -> range:
    """The hours of week whose samples make up a cell."""
    kind, _, number = cell.partition(":")
    if kind == "hour_of_week":
        return range(int(number), int(number) + 1)
    if kind == "hour_of_day":
        return range(int(number), HOURS_PER_WEEK, 24)
    return range(HOURS_PER_WEEK)
