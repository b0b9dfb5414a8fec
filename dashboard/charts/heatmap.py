"""Traces by time and duration as a heatmap that can be brushed. Pure: takes rows, returns a chart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import altair as alt
import polars as pl

from dashboard.theme import BORDER, MUTED, TEXT

# Only the powers of ten: the rest of a logarithmic grid would hide the data.
DECADES = [10.0**power for power in range(-4, 8)]
HEIGHT_PX = 190
COLUMNS = 60
STEPS_A_DECADE = 4  # a row is a factor of 1.78
BRUSH = "brush"


def cells(rows: Sequence[Mapping[str, Any]], since_ns: int, until_ns: int) -> pl.DataFrame:
    """from, until (UTC), low_ms, high_ms, trace_count of each cell that contains a trace.

    Args:
        rows: `start_ns` and `duration_ns` of each trace.
    """
    width_ns = max(1, (until_ns - since_ns) // COLUMNS)
    counted: dict[tuple[int, int], int] = {}
    for row in rows:
        column = (int(row["start_ns"]) - since_ns) // width_ns
        step = math.floor(STEPS_A_DECADE * math.log10(max(float(row["duration_ns"]), 1_000.0)))
        counted[column, step] = counted.get((column, step), 0) + 1
    return pl.DataFrame(
        [
            {
                "from": datetime.fromtimestamp((since_ns + column * width_ns) / 1e9, UTC),
                "until": datetime.fromtimestamp((since_ns + (column + 1) * width_ns) / 1e9, UTC),
                "low_ms": 10 ** (step / STEPS_A_DECADE) / 1e6,
                "high_ms": 10 ** ((step + 1) / STEPS_A_DECADE) / 1e6,
                "trace_count": count,
            }
            for (column, step), count in sorted(counted.items())
        ],
        schema={
            "from": pl.Datetime("us", "UTC"),
            "until": pl.Datetime("us", "UTC"),
            "low_ms": pl.Float64,
            "high_ms": pl.Float64,
            "trace_count": pl.Int64,
        },
    )


def chart(grid: pl.DataFrame, since_ns: int, until_ns: int) -> alt.Chart:
    """The heatmap; dragging on it selects ranges of `from` and `low_ms`."""
    brush = alt.selection_interval(name=BRUSH, encodings=["x", "y"])
    domain = [datetime.fromtimestamp(at / 1e9, UTC).isoformat() for at in (since_ns, until_ns)]
    drawn: alt.Chart = (
        alt.Chart(grid)
        .mark_rect()
        .encode(
            x=alt.X(
                "from:T",
                axis=alt.Axis(format="%H:%M", title=None),
                scale=alt.Scale(type="utc", domain=domain),
            ),
            x2="until:T",
            y=alt.Y(
                "low_ms:Q",
                scale=alt.Scale(type="log"),
                axis=alt.Axis(title="ms", format="~s", values=DECADES),
            ),
            y2="high_ms:Q",
            color=alt.Color(
                "trace_count:Q",
                scale=alt.Scale(scheme="viridis", type="sqrt"),
                legend=alt.Legend(title="traces"),
            ),
            opacity=alt.condition(brush, alt.value(1.0), alt.value(0.35)),
            tooltip=[
                alt.Tooltip("utchoursminutesseconds(from):T", title="from (UTC)", format="%H:%M:%S"),
                alt.Tooltip("low_ms:Q", title="from ms", format=",.3~r"),
                alt.Tooltip("high_ms:Q", title="to ms", format=",.3~r"),
                alt.Tooltip("trace_count:Q", title="traces"),
            ],
        )
        .add_params(brush)
        .properties(height=HEIGHT_PX)
        .configure_view(stroke=None)
        .configure_axis(
            gridColor=BORDER, domainColor=BORDER, tickColor=BORDER, labelColor=MUTED, titleColor=TEXT
        )
        .configure_legend(labelColor=TEXT, titleColor=TEXT)
    )
    return drawn


def brushed(selection: Mapping[str, Any] | None) -> tuple[float, float, float, float] | None:
    """(first ms since 1970, last, least ms of duration, most) of a brush; None without one.

    >>> brushed({"brush": {"from": [1000, 2000], "low_ms": [1.5, 20.0]}})
    (1000.0, 2000.0, 1.5, 20.0)
    """
    ranges = (selection or {}).get(BRUSH) or {}
    times, lengths = ranges.get("from"), ranges.get("low_ms")
    if not times or not lengths or len(times) < 2 or len(lengths) < 2:
        return None
    return float(min(times)), float(max(times)), float(min(lengths)), float(max(lengths))
