"""The course of an operation as two charts; a click in them opens its traces of that time."""

from __future__ import annotations

from datetime import datetime
from functools import partial

import polars as pl
import streamlit as st

from dashboard.charts import course
from dashboard.searching import quoted
from dashboard.views import clicks


def show(
    place: tuple[str, str],
    series: pl.DataFrame,
    bucket_s: int,
    incident: tuple[datetime, datetime] | None = None,
) -> None:
    """
    Args:
        place: service and operation.
        series: as `operation_series` reads them.
        incident: its first and last moment, which the charts mark.
    """
    service, operation = place
    marked = ", with the incident's time marked" if incident else ""
    charts = {
        "p50 and p95": partial(course.duration_chart, series),
        "calls and failed calls a second": partial(course.calls_chart, series, bucket_s),
    }
    for column, (shown, chart) in zip(st.columns(2), charts.items(), strict=True):
        with column:
            clicks.leads_to(
                chart(*(incident or ())),
                f"{shown}-{service}-{operation}",
                f"{shown} over time{marked}",
                lambda _: clicks.traces_of(service, f"name = {quoted(operation)}"),
            )
