"""The course of one operation before, in and after an incident. Pure: takes a frame, returns a chart."""

from __future__ import annotations

from datetime import datetime

import altair as alt
import polars as pl

from dashboard.charts.axis import clock_format, covered_s
from dashboard.charts.click import clickable
from dashboard.theme import BAD, BORDER, LINK, MUTED, TEXT

# Only the powers of ten: the rest of a logarithmic grid would hide the data.
DECADES = [10.0**power for power in range(-4, 8)]
HEIGHT_PX = 170


def duration_chart(
    series: pl.DataFrame, first: datetime | None = None, last: datetime | None = None
) -> alt.LayerChart:
    """p50 and p95 in milliseconds on a logarithmic axis; the time from `first` to `last` is marked."""
    lines = pl.concat(
        [
            series.select(_time(), pl.lit(name).alias("line"), (pl.col(f"{name}_ns") / 1e6).alias("ms"))
            for name in ("p50", "p95")
        ]
    ).filter(pl.col("ms") > 0)
    drawn = (
        alt.Chart(lines)
        .mark_line(strokeWidth=1.8, point=lines.height <= 40)
        .encode(
            x=_x(lines),
            y=alt.Y(
                "ms:Q", scale=alt.Scale(type="log"), axis=alt.Axis(title="ms", format="~s", values=DECADES)
            ),
            color=alt.Color(
                "line:N",
                scale=alt.Scale(domain=["p50", "p95"], range=[LINK, "#E3B341"]),
                legend=alt.Legend(title=None, orient="top"),
            ),
            tooltip=[
                alt.Tooltip("line:N"),
                alt.Tooltip("utchoursminutesseconds(time):T", title="time (UTC)", format="%H:%M:%S"),
                alt.Tooltip("ms:Q", format=",.3~r"),
            ],
        )
    )
    return _finished(drawn, first, last)


def calls_chart(
    series: pl.DataFrame, bucket_s: int, first: datetime | None = None, last: datetime | None = None
) -> alt.LayerChart:
    """Calls a second, and those that failed."""
    lines = pl.concat(
        [
            series.select(_time(), pl.lit(name).alias("line"), (pl.col(column) / bucket_s).alias("rate"))
            for name, column in (("calls/s", "call_count"), ("failed/s", "error_count"))
        ]
    )
    drawn = (
        alt.Chart(lines)
        .mark_line(strokeWidth=1.8, point=lines.height <= 40)
        .encode(
            x=_x(lines),
            y=alt.Y("rate:Q", axis=alt.Axis(title="a second", format="~s")),
            color=alt.Color(
                "line:N",
                scale=alt.Scale(domain=["calls/s", "failed/s"], range=["#7EE787", BAD]),
                legend=alt.Legend(title=None, orient="top"),
            ),
            tooltip=[
                alt.Tooltip("line:N"),
                alt.Tooltip("utchoursminutesseconds(time):T", title="time (UTC)", format="%H:%M:%S"),
                alt.Tooltip("rate:Q", format=",.3~r"),
            ],
        )
    )
    return _finished(drawn, first, last)


def _time() -> pl.Expr:
    return pl.from_epoch("bucket_ms", time_unit="ms").dt.replace_time_zone("UTC").alias("time")


def _x(lines: pl.DataFrame) -> alt.X:
    written = clock_format(covered_s(lines["time"]))
    return alt.X(
        "time:T", axis=alt.Axis(format=written, title=None, tickCount=6), scale=alt.Scale(type="utc")
    )


def _mark(first: datetime, last: datetime) -> alt.Chart:
    """The incident's time, at least some seconds wide so that it can be seen."""
    marked = pl.DataFrame({"from": [first], "to": [last]})
    band: alt.Chart = (
        alt.Chart(marked)
        .mark_rect(color=BAD, opacity=0.16)
        .encode(x=alt.X("from:T", scale=alt.Scale(type="utc")), x2="to:T")
    )
    return band


def _finished(drawn: alt.Chart, first: datetime | None, last: datetime | None) -> alt.LayerChart:
    lines = clickable(drawn, ("time",))
    chart = alt.layer(_mark(first, last), lines) if first and last else lines
    done: alt.LayerChart = (
        chart.properties(height=HEIGHT_PX)
        .configure_view(stroke=None)
        .configure_axis(
            gridColor=BORDER, domainColor=BORDER, tickColor=BORDER, labelColor=MUTED, titleColor=TEXT
        )
        .configure_legend(labelColor=TEXT)
    )
    return done
