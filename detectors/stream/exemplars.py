"""Spans that stand for an improbable window: the newest hits of each series, each reported once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from detectors.model.anomaly import Anomaly, span_anomaly
from detectors.model.operation import Operation
from detectors.model.severity import severity_of
from detectors.settings import Settings
from detectors.stats.arrays import IntArray

KEPT_MAX = 20_000  # spans in all; the oldest go first
REPORTED_MAX = 25  # of one series in one pass: an outage of 10,000 calls a second is no more than that
_COLUMNS = ["trace_id", "span_id", "start_unix_nano", "duration_ns"]


class Exemplars:
    """Hits of the last minute. Not thread-safe."""

    def __init__(self) -> None:
        self._rows: pa.Table | None = None

    def keep(self, spans: pa.Table, codes: IntArray, ticks: IntArray, rows: IntArray) -> None:
        """Remember some rows of a batch, under the series given for each row."""
        if not len(rows):
            return
        part = spans.select(_COLUMNS).take(pa.array(rows))
        part = part.append_column("code", pa.array(codes)).append_column("tick", pa.array(ticks))
        self._rows = part if self._rows is None else pa.concat_tables([self._rows, part]).combine_chunks()

    def take(self, code: int, head: int, window_s: int) -> list[dict[str, Any]]:
        """The newest unreported spans of a series in a window, oldest first; they are not given again."""
        if self._rows is None:
            return []
        codes, ticks = self._rows["code"].to_numpy(), self._rows["tick"].to_numpy()
        chosen = np.flatnonzero((codes == code) & (ticks > head - window_s))
        if not len(chosen):
            return []
        order = np.argsort(self._rows["start_unix_nano"].to_numpy()[chosen], kind="stable")
        found: list[dict[str, Any]] = self._rows.take(pa.array(chosen[order][-REPORTED_MAX:])).to_pylist()
        left = np.ones(len(codes), dtype=bool)
        left[chosen] = False
        self._rows = self._rows.filter(pa.array(left))
        return found

    def forget(self, oldest_tick: int) -> None:
        if self._rows is not None:
            fresh = self._rows["tick"].to_numpy() > oldest_tick
            if not fresh.all() or len(fresh) > KEPT_MAX:
                self._rows = self._rows.filter(pa.array(fresh)).slice(max(int(fresh.sum()) - KEPT_MAX, 0))


def window_anomaly(
    detector: str,
    row: Mapping[str, Any],
    operation: Operation,
    settings: Settings,
    *,
    sigma: float,
    observed: float,
    expected: float,
    unit: str,
    sample_count: int,
    details: Mapping[str, object],
    subject: str | None = None,
    cell: str = "operation",
) -> Anomaly | None:
    """The anomaly of one span that stands for a window; None below the first severity.

    Args:
        details: `text` says the observation in one line; `shift_sigma` is what incidents are opened by.
        subject: makes the id together with the trace; the span when None.
    """
    severity = severity_of(sigma, settings.severity_sigmas())
    if not severity:
        return None
    return span_anomaly(
        detector,
        row,
        operation,
        severity=severity,
        sigma=sigma,
        observed=observed,
        expected=expected,
        unit=unit,
        cell=cell,
        sample_count=sample_count,
        details=details,
        subject=subject,
    )
