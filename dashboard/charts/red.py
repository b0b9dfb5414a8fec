"""Rate, errors and duration over time, as Altair charts. Pure: takes a frame, returns a chart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import altair as alt
import polars as pl

from dashboard.charts.axis import clock_format
from dashboard.charts.click import clickable
from dashboard.theme import BORDER, MUTED, TEXT, service_colours

CHART_HEIGHT_PX = 170
MAX_SERVICES = 8


def fill_gaps(series: pl.DataFrame, bucket_s: int, window_s: int, now_ms: int) -> pl.DataFrame:
    """Each service at each bucket of the window: a bucket without requests has zero requests and no duration.

    Buckets before a service's first one stay empty: the service was not silent, but unknown.
    """
    if series.is_empty():
        return with_figures(series, bucket_s)
    bucket_ms = bucket_s * 1000
    last_ms = now_ms // bucket_ms * bucket_ms - bucket_ms
    first_ms = max(last_ms - window_s * 1000 + bucket_ms, int(series["bucket_ms"].min()))  # type: ignore[arg-type] # not empty, so not None
    buckets = pl.DataFrame(
        {"bucket_ms": pl.int_range(first_ms, last_ms + 1, bucket_ms, dtype=pl.Int64, eager=True)}
    )
    starts = series.group_by("service_name").agg(pl.col("bucket_ms").min().alias("since_ms"))
    filled = (
        starts.join(buckets, how="cross")
        .filter(pl.col("bucket_ms") >= pl.col("since_ms"))
        .drop("since_ms")
        .join(series, on=["service_name", "bucket_ms"], how="left")
        .with_columns(pl.col("request_count", "error_count").fill_null(0))
        .sort("service_name", "bucket_ms")
    )
    return with_figures(filled, bucket_s)


def with_figures(series: pl.DataFrame, bucket_s: int) -> pl.DataFrame:
    """Adds time (UTC), rate_per_s, error_share (0 to 1) and p95_ms."""
    requests = pl.col("request_count")
    return series.with_columns(
        pl.from_epoch("bucket_ms", time_unit="ms").dt.replace_time_zone("UTC").alias("time"),
        (requests / bucket_s).alias("rate_per_s"),
        (pl.when(requests > 0).then(pl.col("error_count") / requests).otherwise(0.0)).alias("error_share"),
        (pl.col("p95_ns") / 1e6).alias("p95_ms"),
    )


def busiest(series: pl.DataFrame, most: int = MAX_SERVICES) -> list[str]:
    """The services with the most requests, by name."""
    if series.is_empty():
        return []
    totals = (
        series.group_by("service_name")
        .agg(pl.col("request_count").sum())
        .sort("request_count", descending=True)
    )
    return sorted(totals["service_name"].head(most).to_list())


def rate_chart(series: pl.DataFrame, services: Sequence[str], window_min: int) -> alt.LayerChart:
    return _lines(series, services, window_min, "rate_per_s", "requests/s", ".3~s")


def error_chart(series: pl.DataFrame, services: Sequence[str], window_min: int) -> alt.LayerChart:
    return _lines(series, services, window_min, "error_share", "errors", ".3~%")


def duration_chart(series: pl.DataFrame, services: Sequence[str], window_min: int) -> alt.LayerChart:
    """p95 in milliseconds on a logarithmic axis: services differ by orders of magnitude."""
    return _lines(series, services, window_min, "p95_ms", "p95, ms", ",.3~r", scale="log")


def _lines(  # noqa: PLR0917 - one place draws all three, each argument differs
    series: pl.DataFrame,
    services: Sequence[str],
    window_min: int,
    field: str,
    title: str,
    number: str,
    *,
    scale: str = "linear",
) -> alt.LayerChart:
    colours = service_colours(list(services))
    shown = series.filter(pl.col("service_name").is_in(list(colours)))
    if scale == "log":
        # A bucket without requests has no duration: the line breaks there and does not bridge the silence.
        shown = shown.with_columns(pl.when(pl.col(field) > 0).then(pl.col(field)))
    values = shown.select("service_name", "time", field)
    axis_scale = alt.Scale(type="log", nice=True) if scale == "log" else _from_zero(shown[field].max())
    # On a logarithmic axis only the powers of ten: the rest of the grid would hide the lines.
    ticks = {"values": [10.0**power for power in range(-3, 7)]} if scale == "log" else {"tickCount": 4}
    y_axis = alt.Axis(format=number, title=None, **ticks)
    lines = (
        alt.Chart(values)
        .mark_line(interpolate="monotone", strokeWidth=1.8, point=shown.height <= 2 * len(colours))
        .encode(
            x=alt.X(
                "time:T",
                axis=alt.Axis(format=clock_format(60 * window_min), title=None, tickCount=5),
                scale=alt.Scale(type="utc", domain=_window(series, window_min)),
            ),
            y=alt.Y(f"{field}:Q", axis=y_axis, scale=axis_scale),
            color=alt.Color(
                "service_name:N",
                scale=alt.Scale(domain=list(colours), range=list(colours.values())),
                legend=None,
            ),
            tooltip=[
                alt.Tooltip("service_name:N", title="service"),
                alt.Tooltip("utchoursminutesseconds(time):T", title="time (UTC)", format="%H:%M:%S"),
                alt.Tooltip(f"{field}:Q", title=title, format=number),
            ],
        )
    )
    chart: alt.LayerChart = (
        clickable(lines, ("service_name", "time"))
        .properties(height=CHART_HEIGHT_PX)
        .configure_view(stroke=None)
        .configure_axis(
            gridColor=BORDER, domainColor=BORDER, tickColor=BORDER, labelColor=MUTED, titleColor=TEXT
        )
    )
    return chart


def _from_zero(largest: object) -> alt.Scale:
    """From zero; an axis without data still reaches 0.01, so that zero is at the bottom."""
    top = max(largest, 0.01) if isinstance(largest, int | float) else 0.01
    return alt.Scale(domain=[0, top], nice=True)


def _window(shown: pl.DataFrame, window_min: int) -> list[alt.DateTime]:
    """The whole window, also while a young store fills only its end; and the same in all three charts."""
    last = shown["bucket_ms"].max()
    assert isinstance(last, int), "the caller draws no empty frame"
    end = datetime.fromtimestamp(last / 1000, UTC)
    return [_vega_time(end - timedelta(minutes=window_min)), _vega_time(end)]


def _vega_time(moment: datetime) -> alt.DateTime:
    return alt.DateTime(
        year=moment.year,
        month=moment.month,
        date=moment.day,
        hours=moment.hour,
        minutes=moment.minute,
        seconds=moment.second,
        utc=True,
    )
