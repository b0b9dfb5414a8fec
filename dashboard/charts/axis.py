"""Labels of axes of time. Pure."""

from __future__ import annotations

import polars as pl

_SECONDS_UP_TO_S = 600
_DAYS_FROM_S = 86_400


def clock_format(length_s: float) -> str:
    """How moments of so long a time are written, so that no two labels are alike.

    >>> clock_format(300), clock_format(3600), clock_format(7 * 86_400)
    ('%H:%M:%S', '%H:%M', '%d %b %H:%M')
    """
    if length_s <= _SECONDS_UP_TO_S:
        return "%H:%M:%S"
    return "%H:%M" if length_s <= _DAYS_FROM_S else "%d %b %H:%M"


def length_s(times: pl.Series) -> float:
    """From the first to the last of some moments."""
    first, last = times.min(), times.max()
    return (last - first).total_seconds() if first is not None and last is not None else 0.0  # type: ignore[operator, union-attr] # moments
