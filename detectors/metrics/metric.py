"""Metrics that change their level: sigma = Phi^-1(1 - P(|T| > |D| / s)), D the change, s usual changes.

A gauge is its value, a counter its rate between two points, a histogram the mean of what it gained. A
counter that fell was reset: that point is skipped. Formula and sources: `detectors.stats.level_shift`. A
change of a quarter or more, of 15% where a resource is held; where events are counted, also beyond what
counting them allows. SEV4 at most: a figure that moved is a hint, and no incident by itself. A resource that
grows without end is one (`detectors.metrics.resource_growth`).

>>> rate = Figures()
>>> points = [(0, 100.0), (10, 150.0), (20, 20.0), (30, 70.0)]
>>> [rate.counter("requests", at * 10**9, value)[0] for at, value in points]
[nan, 5.0, nan, 5.0]
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from detectors.metrics.resource import is_stock
from detectors.model.anomaly import METRIC, Anomaly
from detectors.model.operation import Operation
from detectors.model.text import figure_text
from detectors.settings import Settings
from detectors.stats.arrays import FloatArray
from detectors.stats.level_shift import Levels, Shift
from detectors.stream.detector import Detector, Input, Rows, State, Step, Verdict
from detectors.stream.exemplars import window_anomaly
from detectors.stream.level_rows import TABLE, SeriesPoints, level_state, levels_of

MIN_CHANGE = 0.25
MIN_CHANGE_HELD = 0.15  # what is held has an end: a sixth of it in a moment is worth a hint
_SERIES_MAX = 20_000  # 1.5 kB each
_BELOW = 0.01
_NS = 1e9
_SEPARATOR = "\x1f"  # of service, metric and attributes in the name of a series
_POINTS_OF_A_SHIFT = 4
STALE_NS = 3_600_000_000_000
# Beyond it a figure has no square, and its change no spread: it is skipped, as NaN and infinity are.
FIGURE_MAX = 1e150
# service, since, until (ns since 1970) → its newest stored span of that time, or at all; None without one
SpanOf = Callable[[str, int, int], dict[str, Any] | None]


class _Point(NamedTuple):
    unix_nano: int
    figure: float
    samples: float


class Figures:
    """From what is sent to what is compared: needs the point before of each series."""

    def __init__(self) -> None:
        self._before: dict[str, _Point] = {}

    def counter(self, series: str, unix_nano: int, figure: float) -> tuple[float, float]:
        """(rate in 1/s, seconds that it spans); the rate is NaN for the first point and after a reset."""
        before = self._before.get(series)
        self._before[series] = _Point(unix_nano, figure, 0.0)
        if before is None or unix_nano <= before.unix_nano or figure < before.figure:
            return math.nan, 0.0
        length_s = (unix_nano - before.unix_nano) / _NS
        return (figure - before.figure) / length_s, length_s

    def mean(self, series: str, unix_nano: int, total: float, count: float) -> float:
        """The mean of what a cumulative histogram gained; NaN when that is nothing."""
        before = self._before.get(series)
        self._before[series] = _Point(unix_nano, total, count)
        if before is None or unix_nano <= before.unix_nano or count <= before.samples:
            return math.nan
        return (total - before.figure) / (count - before.samples)


class MetricWatch(Detector):
    """Follows all series. Not thread-safe."""

    name = "metric"
    detector = METRIC
    input = Input.METRICS
    tables = (TABLE,)
    saved_every_s = 60.0  # 800 bytes for each series

    def __init__(self, settings: Settings, span_of: SpanOf) -> None:
        self._settings = settings
        self._span_of = span_of
        self._codes: dict[str, int] = {}
        self._figures = Figures()
        self._levels = Levels(MIN_CHANGE, settings.severity_sigmas()[0])
        self._newest: dict[int, int] = {}  # when the newest point of each series was taken
        self._times: dict[int, deque[int]] = {}  # of the newest points of each series
        self._restored: dict[int, int] = {}  # of those that no point has followed yet

    def judge(self, points: pa.Table) -> list[Anomaly]:
        """Take points in order of time; columns of `pipeline/queries/new_metrics.sql`."""
        rows, codes, values, noises = points.to_pylist(), [], [], []
        for row in rows:
            code = self._codes.get(row["series"])
            if code is None and len(self._codes) < _SERIES_MAX:
                code = self._codes[row["series"]] = len(self._codes)
                self._levels.grow(len(self._codes))
            if code is not None:
                self._follow(code, row["unix_nano"])
            value, noise = self._figure(row) if code is not None else (math.nan, 0.0)
            if not abs(value) < FIGURE_MAX:
                value = math.nan
            if code is not None and math.isfinite(value) and is_held(row):
                self._levels.set_min_change(code, MIN_CHANGE_HELD)
            codes.append(code or 0)
            values.append(value)
            noises.append(noise)
        shifts = self._levels.add(np.array(codes, dtype=np.int64), _floats(values), _floats(noises))
        newest = {codes[i]: row for i, row in enumerate(rows)} if shifts else {}
        return [anomaly for shift in shifts if (anomaly := self._report(shift, newest[shift.code]))]

    def observe(self, step: Step) -> Verdict:
        return Verdict(self.judge(step.points) if step.points is not None else ())

    def changed(self) -> list[State]:
        return level_state(
            METRIC,
            (
                SeriesPoints(
                    series,
                    self._levels.newest_points(code),
                    self._levels.quiet_count(code),
                    self._newest.get(code, 0),
                )
                for series, code in self._codes.items()
                if code < self._levels.count and self._levels.changed[code]
            ),
        )

    def committed(self) -> None:
        self._levels.changed[:] = False

    def restore(self, rows: Rows) -> None:
        for series, points, quiet_count, newest_unix_nano in levels_of(rows, METRIC):
            if series not in self._codes and len(self._codes) >= _SERIES_MAX:
                continue
            code = self._codes.setdefault(series, len(self._codes))
            self._levels.grow(len(self._codes))
            self._levels.restore(code, points, quiet_count)
            self._newest[code] = self._restored[code] = newest_unix_nano

    def _follow(self, code: int, unix_nano: int) -> None:
        """What was restored and is too old begins anew: after a night, another level is no news."""
        before = self._restored.pop(code, None)
        if before is not None and abs(unix_nano - before) > STALE_NS:
            self._levels.restore(code, np.empty(0), 0)
        self._newest[code] = unix_nano
        times = self._times.get(code)
        if times is None:
            times = self._times[code] = deque(maxlen=_POINTS_OF_A_SHIFT)
        times.append(unix_nano)

    def _figure(self, row: dict[str, Any]) -> tuple[float, float]:
        """(the compared figure, its spread by counting alone); NaN where the point is skipped."""
        if row["metric_kind"] in ("histogram", "exponential_histogram", "summary"):
            return self._mean(row), 0.0
        figure = math.nan if row["figure"] is None else float(row["figure"])
        if math.isnan(figure):
            return math.nan, 0.0
        if not (row["metric_kind"] == "sum" and row["is_monotonic"]):
            return figure, counting_noise(row, figure)
        at, since = row["unix_nano"], row["since_unix_nano"]
        if row["temporality"] == "DELTA":
            length_s = (at - since) / _NS if since else 0.0
            rate = figure / length_s if length_s > 0 else math.nan
        else:
            rate, length_s = self._figures.counter(row["series"], at, figure)
        if not row["is_count"] or math.isnan(rate):
            return rate, 0.0
        return rate, math.sqrt(max(rate * length_s, 4.0)) / length_s

    def _mean(self, row: dict[str, Any]) -> float:
        total, count = row["sample_sum"], row["sample_count"]
        if total is None or count is None:
            return math.nan
        if row["temporality"] == "DELTA":
            return total / count if count > 0 else math.nan
        return self._figures.mean(row["series"], row["unix_nano"], total, count)

    def _report(self, shift: Shift, row: dict[str, Any]) -> Anomaly | None:
        service, since = row["service_name"], self._times[shift.code][0]
        counter = row["metric_kind"] == "sum" and row["is_monotonic"]
        unit = f"{row['metric_unit']}/s" if counter else row["metric_unit"]
        # Without a unit of its own: a count a second.
        expected, observed = (
            f"{figure_text(figure, row['metric_unit'])}{'/s' * counter}"
            for figure in (shift.expected, shift.observed)
        )
        return window_anomaly(
            METRIC,
            span_of_points(self._span_of, row, since),
            Operation(service, row["metric_name"], ""),
            self._settings,
            sigma=min(shift.sigma, self._settings.severity_sigmas()[2] - _BELOW),
            observed=shift.observed,
            expected=shift.expected,
            unit=unit,
            sample_count=shift.point_count,
            details={
                "text": f"{what_is_measured(row)} went from {expected} to {observed}",
                "metric": row["metric_name"],
                "attributes": row["attributes"],
                "kind": row["metric_kind"],
                "since_unix_nano": since,
                "until_unix_nano": row["unix_nano"],
            },
            subject=f"{row['series']}|{row['unix_nano']}",
            cell="recent",
        )


def what_is_measured(row: dict[str, Any]) -> str:
    attributes = "" if row["attributes"] == "{}" else row["attributes"]
    return f"{row['metric_name']} {attributes}".strip()


def is_held(row: dict[str, Any]) -> bool:
    """Whether it is a resource that is held and given back: a level, and no count of what happened."""
    level = row["metric_kind"] == "gauge" or (row["metric_kind"] == "sum" and not row["is_monotonic"])
    return level and is_stock(row["metric_name"], row["metric_unit"])


def _floats(values: list[float]) -> FloatArray:
    return np.array(values, dtype=np.float64)


def counting_noise(row: dict[str, Any], figure: float) -> float:
    """How far counting alone may carry the figure of a gauge."""
    return math.sqrt(max(abs(figure), 4.0)) if row["is_count"] else 0.0


def span_of_points(span_of: SpanOf, row: dict[str, Any], since: int) -> dict[str, Any]:
    """The span that stands for the points of a service up to this one."""
    nobody = {"trace_id": "", "span_id": "", "start_unix_nano": row["unix_nano"], "duration_ns": 0}
    return span_of(row["service_name"], since, row["unix_nano"]) or nobody
