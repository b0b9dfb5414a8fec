"""Prices with marks, and amounts by account on the log scale. Pure: takes frames, returns charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import altair as alt
import polars as pl

from dashboard import format as fmt
from dashboard.charts.click import PICKED
from dashboard.theme import BORDER, LINK, MUTED, SEVERITIES, TEXT

PRICE_HEIGHT_PX = 200
ROW_PX = 24
ACCOUNTS_MAX = 14
# Only the powers of ten: the rest of a logarithmic grid would hide the data.
DECADES = [10.0**power for power in range(-8, 10)]
NOBODY = "no account"


def price_chart(prices: pl.DataFrame, marks: Sequence[Mapping[str, Any]]) -> alt.LayerChart:
    """The price of one pair, a mark for each anomaly of its market; a click on a mark chooses it.

    Args:
        prices: bucket_ms and price.
        marks: at_ms, anomaly_id, severity and `text`.
    """
    known = prices.drop_nulls("price").select(_time("bucket_ms"), "price")
    clock = "%H:%M" if _spans_minutes(known) else "%H:%M:%S"
    x = alt.X("time:T", axis=alt.Axis(format=clock, title=None, tickCount=8), scale=alt.Scale(type="utc"))
    line = (
        alt.Chart(known)
        .mark_line(strokeWidth=1.8, point=known.height <= 40, color=LINK)
        .encode(
            x=x,
            y=alt.Y("price:Q", scale=alt.Scale(zero=False), axis=alt.Axis(title=None, format=",.6~r")),
            tooltip=[_time_tooltip(), alt.Tooltip("price:Q", format=",.6~r")],
        )
    )
    if not marks:
        return _finished(alt.LayerChart(layer=[line]), PRICE_HEIGHT_PX)
    told = pl.DataFrame(
        [
            {
                "at_ms": mark["at_ms"],
                "anomaly_id": mark["anomaly_id"],
                "severity": f"SEV{mark['severity']}",
                "text": fmt.plain(mark["text"], 160),
            }
            for mark in marks
        ]
    ).with_columns(_time("at_ms"))
    choice = alt.selection_point(name=PICKED, fields=["anomaly_id"], on="click", clear="dblclick")
    drawn = (
        alt.Chart(told)
        .mark_point(filled=True, size=110, shape="triangle-down", opacity=1, cursor="pointer")
        .encode(
            x=x,
            y=alt.value(10),
            color=_severity_colour(),
            tooltip=[_time_tooltip(), alt.Tooltip("severity:N"), alt.Tooltip("text:N", title="what")],
        )
        .add_params(choice)
    )
    return _finished(alt.LayerChart(layer=[line, drawn]), PRICE_HEIGHT_PX)


def accounts(amounts: pl.DataFrame, whales: Mapping[str, int]) -> pl.DataFrame:
    """account, amount, time, look, trace_id, span_id of the accounts with the largest amounts.

    Args:
        whales: severity by trace id.
    """
    names = [fmt.plain(name or NOBODY, 28) for name in amounts["account"].to_list()]
    named = amounts.with_columns(pl.Series("account", names, dtype=pl.String))
    largest = (
        named.group_by("account")
        .agg(pl.col("amount").max())
        .sort("amount", descending=True)
        .head(ACCOUNTS_MAX)
    )
    looks = [f"SEV{whales[trace]}" if trace in whales else "usual" for trace in named["trace_id"].to_list()]
    return (
        named.with_columns(pl.Series("look", looks, dtype=pl.String), _time("at_ms"))
        .join(largest.select("account"), on="account", how="semi")
        .select("account", "amount", "time", "look", "trace_id", "span_id")
    )


def amounts_chart(points: pl.DataFrame, thresholds: Mapping[str, float], unit: str) -> alt.LayerChart:
    """Amounts by account, the largest account first, with the thresholds as lines; a click chooses a trace.

    Args:
        points: as `accounts` gives them.
        thresholds: name and value of each line.
    """
    order = points.group_by("account").agg(pl.col("amount").max()).sort("amount", descending=True)
    x = alt.X(
        "amount:Q",
        scale=alt.Scale(type="log"),
        axis=alt.Axis(title=fmt.plain(unit, 20), format="~g", values=DECADES),
    )
    choice = alt.selection_point(name=PICKED, fields=["trace_id", "span_id"], on="click", clear="dblclick")
    spots = (
        alt.Chart(points)
        .mark_point(filled=True, opacity=0.75, cursor="pointer")
        .encode(
            x=x,
            y=alt.Y("account:N", sort=order["account"].to_list(), axis=alt.Axis(title=None, labelLimit=170)),
            color=_severity_colour("look"),
            size=alt.condition("datum.look == 'usual'", alt.value(28), alt.value(120)),
            tooltip=[
                alt.Tooltip("account:N"),
                alt.Tooltip("amount:Q", format=",.6~r"),
                alt.Tooltip("look:N", title="is"),
                _time_tooltip(),
            ],
        )
        .add_params(choice)
    )
    lines = pl.DataFrame(
        {"threshold": list(thresholds), "at": list(thresholds.values())},
        schema={"threshold": pl.String, "at": pl.Float64},
    )
    rules = (
        alt.Chart(lines)
        .mark_rule(strokeDash=[4, 3], color=MUTED)
        .encode(x=alt.X("at:Q"), tooltip=[alt.Tooltip("threshold:N"), alt.Tooltip("at:Q", format=",.6~r")])
    )
    names = (
        alt.Chart(lines)
        .mark_text(align="left", dx=3, baseline="top", color=MUTED, fontSize=11)
        .encode(x=alt.X("at:Q"), y=alt.value(2), text="threshold:N")
    )
    return _finished(alt.LayerChart(layer=[rules, spots, names]), 40 + ROW_PX * max(3, order.height))


def _severity_colour(field: str = "severity") -> alt.Color:
    looks = {f"SEV{level}": look.colour for level, look in SEVERITIES.items()}
    return alt.Color(
        f"{field}:N",
        scale=alt.Scale(domain=["usual", *looks], range=[LINK, *looks.values()]),
        legend=None,
    )


def _spans_minutes(rows: pl.DataFrame) -> bool:
    """Whether minutes are enough to distinguish the ticks of the time axis."""
    if rows.is_empty():
        return True
    first, last = rows.select(pl.col("time").min().alias("first"), pl.col("time").max().alias("last")).row(0)
    return bool(last - first >= timedelta(minutes=8))


def _time(column: str) -> pl.Expr:
    return pl.from_epoch(column, time_unit="ms").dt.replace_time_zone("UTC").alias("time")


def _time_tooltip() -> alt.Tooltip:
    return alt.Tooltip("utchoursminutesseconds(time):T", title="time (UTC)", format="%H:%M:%S")


def _finished(layers: alt.LayerChart, height_px: int) -> alt.LayerChart:
    done: alt.LayerChart = (
        layers.properties(height=height_px)
        .configure_view(stroke=None)
        .configure_axis(
            gridColor=BORDER, domainColor=BORDER, tickColor=BORDER, labelColor=MUTED, titleColor=TEXT
        )
    )
    return done
