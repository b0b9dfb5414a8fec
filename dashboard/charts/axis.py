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


def covered_s(times: pl.Series) -> float:
    """From the first to the last of some moments.

    >>> covered_s(pl.Series([], dtype=pl.Datetime))
    0.0
    """
    moments = times.to_list()
    return float((max(moments) - min(moments)).total_seconds()) if moments else 0.0
