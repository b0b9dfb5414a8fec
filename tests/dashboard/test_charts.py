from __future__ import annotations

import doctest

import polars as pl
import pytest

from dashboard.charts import axis, red, sparkline
from dashboard.charts.bars import level_chart
from dashboard.charts.market import price_chart
from dashboard.deploys import deploys
from dashboard.views.services import deploys_line

SCHEMA = {
    "service_name": pl.String,
    "bucket_ms": pl.Int64,
    "request_count": pl.Int64,
    "error_count": pl.Int64,
    "p50_ns": pl.Int64,
    "p95_ns": pl.Int64,
}


def series(*rows: tuple[str, int, int, int, int, int]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=SCHEMA, orient="row")


def test_silence_is_zero_and_the_unknown_is_absent() -> None:
    """A service that stops has rate zero and no duration; before its first bucket it has no row."""
    raw = series(("a", 0, 50, 5, 1, 2_000_000), ("b", 10_000, 10, 0, 1, 2))
    filled = red.fill_gaps(raw, bucket_s=10, window_s=900, now_ms=34_000)
    assert filled.select("service_name", "bucket_ms", "rate_per_s", "error_share", "p95_ms").rows() == [
        ("a", 0, 5.0, 0.1, 2.0),
        ("a", 10_000, 0.0, 0.0, None),
        ("a", 20_000, 0.0, 0.0, None),
        ("b", 10_000, 1.0, 0.0, 2e-6),
        ("b", 20_000, 0.0, 0.0, None),
    ]


def test_times_know_their_zone() -> None:
    """Chart times are UTC by type: naive ones would be drawn in the viewer's zone."""
    assert red.with_figures(series(("a", 0, 1, 0, 1, 1)), 10)["time"].dtype == pl.Datetime("us", "UTC")


def test_nothing_is_an_empty_chart() -> None:
    """No spans: no services and no failure."""
    empty = red.fill_gaps(series(), 10, 900, 0)
    assert (red.busiest(empty), empty.is_empty()) == ([], True)


@pytest.mark.parametrize("chart", [red.rate_chart, red.error_chart, red.duration_chart])
def test_charts_keep_a_service_to_its_colour(chart) -> None:  # type: ignore[no-untyped-def] # three of one signature
    """Only the chosen services are drawn, in the colour they have everywhere, over the whole window."""
    raw = red.fill_gaps(series(("a", 0, 1, 0, 1, 1), ("b", 0, 9, 0, 1, 1)), 10, 900, 10_000)
    spec = chart(raw, ["b"], 15).to_dict()
    encoding = spec["layer"][0]["encoding"]
    scale = encoding["color"]["scale"]
    assert scale["domain"] == ["b"]
    start, end = encoding["x"]["scale"]["domain"]
    assert (start["hours"], start["minutes"], end["hours"], end["minutes"]) == (23, 45, 0, 0)
    (values,) = spec["datasets"].values()
    assert {row["service_name"] for row in values} == {"b"}


def test_busiest_are_chosen_by_requests() -> None:
    """With too many services the busy ones stay."""
    raw = series(*((f"s{n}", 0, n, 0, 1, 1) for n in range(1, 12)))
    assert red.busiest(raw, most=2) == ["s10", "s11"]


def test_bars_of_levels_stand_on_zero_over_the_whole_time() -> None:
    """Bars are upright and stacked, and an hour with a few lines is drawn as an hour."""
    lines = pl.DataFrame({"bucket_ms": [60_000, 70_000], "level": ["error", "other"], "line_count": [1, 5]})
    spec = level_chart(lines, 0, 3_600_000).to_dict()
    assert spec["mark"]["orient"] == "vertical"
    assert spec["encoding"]["x"]["scale"]["domain"] == [0, 3_600_000]
    assert doctest.testmod(axis).failed == 0


def test_sparkline_examples_hold() -> None:
    """The example in the docstring is true; one value makes no line."""
    assert doctest.testmod(sparkline).failed == 0
    assert "img" not in sparkline.sparkline([1.0], "#fff", "x")
    assert "data:image/svg+xml;base64," in sparkline.sparkline([1.0, 2.0], "#fff", "x")


def test_a_deploy_is_a_version_after_another() -> None:
    """The first version that is seen is none, a roll-forward is one, services do not mix; names are text."""
    rows = [
        {"service_name": "shop", "version": "<b>2</b>", "first_ms": 2_000},
        {"service_name": "shop", "version": "1", "first_ms": 1_000},
        {"service_name": "bank", "version": "9", "first_ms": 3_000},
    ]
    (deploy,) = deploys(rows)
    assert (deploy.service, deploy.before, deploy.version, deploy.at_ms) == ("shop", "1", "<b>2</b>", 2_000)
    drawn = deploys_line(rows, "last 15m")
    assert "<b>" not in drawn
    assert "at=1970-01-01T00%3A02%3A02Z" in drawn
    assert "no span says" in deploys_line([], "last 15m")


@pytest.mark.parametrize(("minutes", "shown"), [(2, "%H:%M:%S"), (15, "%H:%M")])
def test_ticks_of_prices_are_told_apart(minutes: int, shown: str) -> None:
    """A chart of a few minutes has seconds at its ticks, else one label stands ten times."""
    prices = pl.DataFrame({"bucket_ms": [0, minutes * 60_000], "price": [1.0, 2.0]})
    assert f'"format": "{shown}", "tickCount": 8' in price_chart(prices, []).to_json(indent=None)
