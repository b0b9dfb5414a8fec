from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.baseline.models import Baselines
from detectors.baseline.sketch_index import DELTA_SCHEMA, DURATION, SeriesKey, SketchBook
from detectors.settings import Settings
from detectors.stats.seasonality import cell_names, hour_of_week, hours_of
from detectors.stats.sketch import bucket_of

KEY = ("shop", "checkout", "SERVER")


def deltas(hour: int, values_ms: np.ndarray) -> pa.Table:
    count = len(values_ms)
    columns = {
        "measure": [DURATION] * count,
        "service_name": ["shop"] * count,
        "operation": ["checkout"] * count,
        "span_kind": ["SERVER"] * count,
        "facet": [""] * count,
        "hour_of_week": [hour] * count,
        "flagged": [False] * count,
        "bucket": bucket_of(values_ms * 1e6),
        "sample_count": [1] * count,
    }
    return pa.table(columns).cast(DELTA_SCHEMA)


def normal(count: int, median_ms: float) -> np.ndarray:
    return median_ms * np.exp(0.2 * np.random.default_rng(1).standard_normal(count))


@given(st.integers(0, 2_000_000), st.integers(0, 3_599_999_999_999))
def test_hour_of_week_is_the_calendar_s(hours, rest_ns):
    """Monday 00:00 UTC is hour 0, whatever the year."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
    assert int(hour_of_week(hours * 3_600_000_000_000 + rest_ns)) == moment.weekday() * 24 + moment.hour


def test_cells_nest():
    """An hour of week is within its hour of day, and that within the operation."""
    fine, daily, whole = (set(hours_of(cell)) for cell in cell_names(37))
    assert fine == {37}
    assert daily == {13, 37, 61, 85, 109, 133, 157}
    assert fine < daily < whole


@pytest.mark.parametrize(
    ("hour", "cell", "median_ms"),
    [(37, "hour_of_week:037", 10), (61, "hour_of_day:13", 10), (40, "operation", None)],
)
def test_finest_cell_with_enough_samples_is_used(hour, cell, median_ms):
    """A busy hour has its own baseline; the same hour of another day shares it; other hours use them all."""
    baselines = Baselines(Settings())
    baselines.add(deltas(37, normal(600, 10)))
    baselines.add(deltas(5, normal(600, 100)))
    model = baselines.duration(*KEY, hour)
    assert model is not None
    assert model.cell == cell
    if median_ms:
        assert model.tail.p50 == pytest.approx(median_ms * 1e6, rel=0.05)


def test_same_duration_is_judged_by_its_hour():
    """50 ms is normal in the nightly hour of 100 ms, and an anomaly in the hour of 10 ms."""
    baselines = Baselines(Settings())
    baselines.add(deltas(37, normal(2_000, 10)))
    baselines.add(deltas(5, normal(2_000, 100)))
    by_day, by_night = baselines.duration(*KEY, 37), baselines.duration(*KEY, 5)
    assert by_day is not None
    assert by_night is not None
    assert by_day.flag_above < 50e6 < by_night.flag_above


def test_book_adds_up_whatever_the_portions():
    """One table or many give the same sketches in every cell."""
    values = normal(500, 10)
    at_once, in_parts = SketchBook(), SketchBook()
    at_once.add(deltas(3, values))
    for part in np.array_split(values, 7):
        in_parts.add(deltas(3, part))
    key = SeriesKey(DURATION, *KEY)
    for cell in (*cell_names(3), "hour_of_week:004"):
        assert at_once.sketch(key, cell).buckets.tolist() == in_parts.sketch(key, cell).buckets.tolist()
        assert at_once.sketch(key, cell).counts.tolist() == in_parts.sketch(key, cell).counts.tolist()


def test_small_effects_are_never_flagged():
    """A span that is improbable but only 3 ms slower is let pass."""
    baselines = Baselines(Settings())
    baselines.add(deltas(3, normal(5_000, 0.1)))
    model = baselines.duration(*KEY, 3)
    assert model is not None
    assert float(model.tail.sigma(3e6)) > 3
    assert model.flag_above > 5e6
