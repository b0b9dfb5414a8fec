"""Counts over time as stacked bars. Pure: takes a frame, returns a chart."""

from __future__ import annotations

import altair as alt
import polars as pl

from dashboard.charts.axis import clock_format
from dashboard.charts.click import PICKED
from dashboard.theme import BORDER, MUTED, TEXT

HEIGHT_PX = 110
LEVELS = {"error": "#FF7B72", "warning": "#FF9F43", "other": "#4D7EA8"}


def level_chart(series: pl.DataFrame, since_ms: int, until_ms: int) -> alt.Chart:
    """Log lines by level over the whole time asked for; a click chooses a time.

    Args:
        series: bucket_ms, level, line_count.
    """
    steps = series["bucket_ms"].unique().sort().diff().drop_nulls()
    bucket_ms = int(steps.min()) if steps.len() else 10_000  # type: ignore[arg-type] # not empty, so a number
    values = series.with_columns((pl.col("bucket_ms") + bucket_ms).alias("until_ms")).with_columns(
        pl.from_epoch(name, time_unit="ms").dt.replace_time_zone("UTC").alias(alias)
        for name, alias in (("bucket_ms", "time"), ("until_ms", "until"))
    )
    chart: alt.Chart = (
        alt.Chart(values)
        .mark_bar(orient="vertical", binSpacing=0, cursor="pointer")
        .encode(
            x=alt.X(
                "time:T",
                axis=alt.Axis(format=clock_format((until_ms - since_ms) / 1000), title=None, tickCount=8),
                scale=alt.Scale(type="utc", domain=[since_ms, until_ms]),
            ),
            x2="until:T",
            y=alt.Y("line_count:Q", axis=alt.Axis(title=None, format="~s", tickCount=3)),
            color=alt.Color(
                "level:N",
                scale=alt.Scale(domain=list(LEVELS), range=list(LEVELS.values())),
                legend=alt.Legend(title=None, orient="right"),
            ),
            tooltip=[
                alt.Tooltip("utchoursminutesseconds(time):T", title="time (UTC)", format="%H:%M:%S"),
                alt.Tooltip("level:N"),
                alt.Tooltip("line_count:Q", title="lines"),
            ],
        )
        .add_params(alt.selection_point(name=PICKED, fields=["time"], on="click", clear="dblclick"))
        .properties(height=HEIGHT_PX)
        .configure_view(stroke=None)
        .configure_axis(
            gridColor=BORDER, domainColor=BORDER, tickColor=BORDER, labelColor=MUTED, titleColor=TEXT
        )
        .configure_legend(labelColor=TEXT)
    )
    return chart
