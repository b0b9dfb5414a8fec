"""Resources that grow without end: an incident by itself, long before the process is killed.

Judges gauges of what is held and given back (`detectors.metrics.resource`) by the formula of
`detectors.metrics.growth`.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from detectors.metrics.growth import Episode, Growth, Growths, Stretches
from detectors.metrics.metric import (
    FIGURE_MAX,
    SpanOf,
    counting_noise,
    is_held,
    span_of_points,
    what_is_measured,
)
from detectors.model.anomaly import GROWTH, METRIC, Anomaly
from detectors.model.operation import Operation
from detectors.model.text import figure_text, length_text
from detectors.settings import Settings
from detectors.stream.detector import Detector, Input, Rows, State, Step, Verdict
from detectors.stream.exemplars import window_anomaly

_TABLE = "growth_floors"
_SCHEMA = pa.schema(
    [
        ("series", pa.string()),
        *((name, pa.int64()) for name in ("stretch_s", "begun", "number")),
        ("lowest", pa.float64()),
        ("numbers", pa.list_(pa.int64())),
        ("floors", pa.list_(pa.float64())),
        ("past_hours", pa.list_(pa.int64())),
        ("past_growth", pa.list_(pa.float64())),
        ("episode", pa.string()),
    ]
)
_SERIES_MAX = 20_000
_NS = 1e9
_SEPARATOR = "\x1f"  # of service, metric and attributes in the name of a series


class GrowthWatch(Detector):
    """Follows all resources. Not thread-safe."""

    name = "resource_growth"
    detector = METRIC
    rule = GROWTH
    input = Input.METRICS
    tables = (_TABLE,)
    saved_every_s = 60.0

    def __init__(self, settings: Settings, span_of: SpanOf) -> None:
        self._settings = settings
        self._span_of = span_of
        self._codes: dict[str, int] = {}
        self._growths = Growths(settings)
        self._cells: dict[int, str] = {}  # of what has been told to grow

    def observe(self, step: Step) -> Verdict:
        return Verdict(self.judge(step.points) if step.points is not None else ())

    def judge(self, points: pa.Table) -> list[Anomaly]:
        """Take points in order of time; columns of `pipeline/queries/new_metrics.sql`."""
        found: list[Anomaly] = []
        for row in points.to_pylist():
            figure = row["figure"]
            if figure is None or not abs(figure) < FIGURE_MAX or not is_held(row):
                continue
            code = self._code(row["series"])
            if code is None:
                continue
            growth = self._growths.take(code, row["unix_nano"], float(figure), counting_noise(row, figure))
            if growth is not None and (anomaly := self._report(code, growth, row)):
                found.append(anomaly)
        return found

    def growing(self) -> set[str]:
        """The cells of anomalies of resources that still grow."""
        growing = set(self._growths.growing)
        self._cells = {code: cell for code, cell in self._cells.items() if code in growing}
        return set(self._cells.values())

    def changed(self) -> list[State]:
        names = {code: series for series, code in self._codes.items()}
        rows = [
            _row(names[code], stretch_s, stretches, episode)
            for code, stretch_s, stretches, episode in self._growths.learned()
        ]
        return [State(_TABLE, pa.Table.from_pylist(rows, schema=_SCHEMA))] if rows else []

    def committed(self) -> None:
        self._growths.saved()

    def restore(self, rows: Rows) -> None:
        for row in rows[_TABLE]:
            code = self._code(row["series"])
            if code is None:
                continue
            stretches = Stretches(row["number"], row["lowest"], row["begun"])
            stretches.floors.extend(row["floors"])
            stretches.numbers.extend(row["numbers"])
            stretches.past |= dict(zip(row["past_hours"], row["past_growth"], strict=True))
            episode = Episode(**json.loads(row["episode"])) if row["episode"] else None
            self._growths.restore(code, row["stretch_s"], stretches, episode)
            if episode is not None:
                self._cells[code] = row["series"].partition(_SEPARATOR)[0]

    def _code(self, series: str) -> int | None:
        known = self._codes.get(series)
        if known is None and len(self._codes) < _SERIES_MAX:
            known = self._codes[series] = len(self._codes)
        return known

    def _report(self, code: int, growth: Growth, row: dict[str, Any]) -> Anomaly | None:
        service, unit = row["service_name"], row["metric_unit"]
        # What one service holds grows together: heap, resident memory, its container.
        self._cells[code] = service
        length_s = (row["unix_nano"] - growth.since_unix_nano) / _NS
        an_hour = growth.now + (growth.now - growth.level) / length_s * 3_600
        level, now = figure_text(growth.level, unit), figure_text(growth.now, unit)
        text = (
            f"{what_is_measured(row)} grew from {level} to {now} in "
            f"{length_text(length_s)} and does not level off: {figure_text(an_hour, unit)} in an hour"
        )
        return window_anomaly(
            METRIC,
            span_of_points(self._span_of, row, growth.since_unix_nano),
            Operation(service, row["metric_name"], ""),
            self._settings,
            sigma=growth.sigma,
            observed=growth.now,
            expected=growth.level,
            unit=unit,
            sample_count=growth.steps,
            details={
                "text": text,
                "rule": GROWTH,
                "metric": row["metric_name"],
                "attributes": row["attributes"],
                "kind": row["metric_kind"],
                "since_unix_nano": growth.since_unix_nano,
                "until_unix_nano": row["unix_nano"],
                "steps": growth.steps,
                "upwards": growth.upwards,
            },
            subject=f"{row['series']}|{GROWTH}|{row['unix_nano']}",
            cell=service,
        )


def _row(series: str, stretch_s: int, stretches: Stretches, episode: Episode | None) -> dict[str, Any]:
    return {
        "series": series,
        "stretch_s": stretch_s,
        "begun": stretches.begun,
        "number": stretches.number,
        "lowest": stretches.lowest,
        "numbers": list(stretches.numbers),
        "floors": list(stretches.floors),
        "past_hours": list(stretches.past),
        "past_growth": list(stretches.past.values()),
        "episode": json.dumps(asdict(episode)) if episode else None,
    }
