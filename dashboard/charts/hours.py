"""An operation's usual duration at each hour of the week, as a heatmap. Pure: frame in, chart out."""

from __future__ import annotations

import altair as alt
import polars as pl

from dashboard.theme import MUTED, TEXT

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def chart(hours: pl.DataFrame) -> alt.Chart:
    """The median in milliseconds by day and hour (UTC); hours without enough samples stay blank."""
    values = hours.with_columns(
        (pl.col("hour_of_week") // 24)
        .replace_strict(dict(enumerate(DAYS)), return_dtype=pl.String)
        .alias("day"),
        (pl.col("hour_of_week") % 24).alias("hour"),
        (pl.col("p50_ns") / 1e6).alias("p50_ms"),
        (pl.col("p99_ns") / 1e6).alias("p99_ms"),
    )
    drawn: alt.Chart = (
        alt.Chart(values)
        .mark_rect()
        .encode(
            x=alt.X(
                "hour:O",
                axis=alt.Axis(title="hour (UTC)", labelAngle=0),
                scale=alt.Scale(domain=list(range(24))),
            ),
            y=alt.Y("day:O", axis=alt.Axis(title=None), scale=alt.Scale(domain=list(DAYS))),
            color=alt.Color(
                "p50_ms:Q", scale=alt.Scale(scheme="viridis", type="sqrt"), legend=alt.Legend(title="p50, ms")
            ),
            tooltip=["day", "hour", "p50_ms", "p99_ms", "sample_count", "flagged_count", "state"],
        )
        .properties(height=190)
        .configure_view(stroke=None)
        .configure_axis(labelColor=MUTED, titleColor=TEXT)
        .configure_legend(labelColor=TEXT, titleColor=TEXT)
    )
    return drawn
