"""A metric over time, one line for each of its series. Pure: takes a frame, returns a chart."""

from __future__ import annotations

import json

import altair as alt
import polars as pl

from dashboard import format as fmt
from dashboard.charts.axis import clock_format, covered_s
from dashboard.charts.click import clickable
from dashboard.theme import BORDER, MUTED, SERVICE_COLOURS, TEXT

LINES_MAX = 12


def named(points: pl.DataFrame) -> pl.DataFrame:
    """time (UTC), line, service_name, figure of the largest series; `line` names service and attributes."""
    largest = (
        points.group_by("service_name", "series")
        .agg(pl.col("figure").abs().max().alias("largest"))
        .sort("largest", descending=True, nulls_last=True)
        .head(LINES_MAX)
    )
    kept = points.join(largest, on=["service_name", "series"], how="semi").drop_nulls("figure")
    names = [line_name(service, series) for service, series in kept.select("service_name", "series").rows()]
    return kept.select(
        pl.from_epoch("bucket_ms", time_unit="ms").dt.replace_time_zone("UTC").alias("time"),
        pl.Series("line", names, dtype=pl.String),
        "service_name",
        "figure",
    )


def line_name(service: str, series: str) -> str:
    """
    >>> line_name("shop", '{"http.method": "GET"}'), line_name("shop", "{}")
    ('shop GET', 'shop')
    """
    values = json.loads(series or "{}")
    told = ", ".join(fmt.plain(value, 24) for _, value in sorted(values.items()))
    return f"{fmt.plain(service, 40)} {told}".strip()


def chart(points: pl.DataFrame, unit: str) -> alt.LayerChart:
    """Lines, of which a click chooses a point; `points` as `named` gives them."""
    lines = points["line"].unique().sort().to_list()
    drawn = (
        alt.Chart(points)
        .mark_line(strokeWidth=1.8, point=points.height <= 3 * max(1, len(lines)))
        .encode(
            x=alt.X(
                "time:T",
                axis=alt.Axis(format=clock_format(covered_s(points["time"])), title=None, tickCount=8),
                scale=alt.Scale(type="utc"),
            ),
            y=alt.Y(
                "figure:Q", axis=alt.Axis(title=fmt.plain(unit, 30), format="~s"), scale=alt.Scale(zero=False)
            ),
            color=alt.Color(
                "line:N",
                scale=alt.Scale(domain=lines, range=list(SERVICE_COLOURS)),
                legend=alt.Legend(title=None, orient="bottom", columns=3, labelLimit=320),
            ),
            tooltip=[
                alt.Tooltip("line:N"),
                alt.Tooltip("utchoursminutesseconds(time):T", title="time (UTC)", format="%H:%M:%S"),
                alt.Tooltip("figure:Q", format=",.4~r"),
            ],
        )
    )
    finished: alt.LayerChart = (
        clickable(drawn, ("service_name", "time"))
        .properties(height=300)
        .configure_view(stroke=None)
        .configure_axis(
            gridColor=BORDER, domainColor=BORDER, tickColor=BORDER, labelColor=MUTED, titleColor=TEXT
        )
        .configure_legend(labelColor=TEXT)
    )
    return finished
