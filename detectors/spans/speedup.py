"""Suddenly faster: σ = Φ⁻¹(1 - L · P(Binomial(n, p) ≥ k)), k of an operation's last n moments being fast.

An operation that answers much faster than ever may do less: a cache that returns errors, a call that is
skipped, an empty list. One fast span proves nothing, so only the shift of a whole operation counts, as for
slower ones (`detectors.spans.latency_shift`, with its moments and windows). A moment is fast when most of its
spans are below the operation's q05, below the median divided by `detect_faster_ratio`, and by enough to
matter (`Model.fast_below`). The chance must be below the one that opens an incident, 1e-6.

By itself it is SEV5, a hint: an empty cart is no outage. It is SEV4 where calls of the operation also fail or
its structure is broken. It never opens an incident, but joins one. A few of the newest spans represent it.

>>> from detectors.spans.latency_shift import window_sigmas
>>> fast = np.ones(16, dtype=bool)
>>> [window_sigmas(fast[:n], np.arange(n), _CHANCE_MIN).sigma[0].round(1).item() for n in (8, 15, 16)]
[3.8, 3.8, 6.0]
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detectors.baseline.models import SHIFT_QUANTILE, Model
from detectors.model.anomaly import ERROR, LATENCY, STRUCTURE, Anomaly
from detectors.model.operation import Operation
from detectors.model.severity import severity_of
from detectors.model.text import duration_text
from detectors.settings import Settings
from detectors.spans.latency import slow_span
from detectors.spans.latency_shift import window_sigmas
from detectors.stats.time_bins import Moments
from detectors.stream.detector import Detector, Input, Step, Verdict
from detectors.stream.span_groups import SpanGroups

RULE = "faster"
_LEAST_SIGMA = 4.75  # 1e-6
# A mix of requests or a warm cache changes for stretches of time, so one moment in four is assumed to be fast
# by chance. At 1 in 50, as for slow moments, 11 windows of 1,207 quiet seconds of a real system were called
# faster; at 1 in 4 two, both of one call (tests/benchmarks/calibration.py). 15 of 16 moments are needed,
# eight seconds.
_CHANCE_MIN = 0.25
_LEAST_FAST = (8, 16)  # moments; fewer never reach `_LEAST_SIGMA`
_OVER = 4  # an episode ends after this many moments without a shift
_REPORTED = 3  # spans of an operation at once
_QUIET_S = 300.0  # a shift that lasts is reported again after this time
_TROUBLE_S = 60.0  # errors and broken structure within this time belong to the finding
_BELOW = 0.01  # a bounded sigma stays this far below the next severity
_SAME_NS = 60_000_000_000  # findings this near to each other are one episode
_TRACES_KEPT = 16
_KEPT_MAX = 1_000  # operations


class Episode(NamedTuple):
    """A stretch of time in which an operation was suddenly faster."""

    operation: Operation
    since_unix_nano: int
    until_unix_nano: int


class FasterWatch(Detector):
    """Follows all operations over the last moments. Not thread-safe; memory only, and bounded."""

    name = "speedup"
    detector = LATENCY
    rule = RULE
    input = Input.SPANS

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._moments = Moments(1 - SHIFT_QUANTILE)
        self._reported_s: dict[Operation, float] = {}
        self._troubled_s: dict[Operation, float] = {}
        self._episodes: dict[Operation, Episode] = {}
        self._traces: dict[int, deque[str]] = {}  # by operation code

    @property
    def episodes(self) -> list[Episode]:
        """The newest episodes of each operation: their spans are not learned."""
        return list(self._episodes.values())

    def observe(self, step: Step) -> Verdict:
        return Verdict(self.judge(step.spans, step.groups, step.now_s, step.found))

    def judge(
        self, spans: pa.Table, groups: SpanGroups, now_s: float, others: Iterable[Anomaly] = ()
    ) -> list[Anomaly]:
        """Judge a batch.

        Args:
            spans: columns of `stream/queries/new_spans.sql`.
            groups: of these spans.
            others: anomalies that other detectors have found in it.
        """
        for anomaly in others:
            if anomaly.detector in (ERROR, STRUCTURE):
                self._troubled_s[anomaly.operation_key] = now_s
        can_be = np.array([model is not None and model.fast_below > 0 for model in groups.models], dtype=bool)
        rows = np.flatnonzero(can_be[groups.group_of]) if len(can_be) else np.empty(0, dtype=np.int64)
        if not len(rows):
            return []
        codes = np.full(len(groups.models), -1, dtype=np.int64)
        by_code: dict[int, tuple[Operation, Model]] = {}
        for index, model in enumerate(groups.models):
            if can_be[index] and model is not None:
                codes[index] = self._moments.code(groups.operations[index], model.tail.p50)
                by_code[int(codes[index])] = groups.operations[index], model
        of_row = codes[groups.group_of[rows]]
        starts = spans["start_unix_nano"].to_numpy()[rows]
        duration = spans["duration_ns"].to_numpy()
        # A clock that steps back gives durations below zero, which say nothing about speed.
        fast = ((duration < groups.limits(lambda m: m.fast_below)) & (duration > 0))[rows]
        self._moments.add(of_row, starts, fast, now_s)
        found: list[Anomaly] = []
        fast_codes = np.unique(of_row[fast])
        if len(fast_codes):
            for code in self._moments.suspicious(fast_codes, [_LEAST_FAST]).tolist():
                part = spans.take(pa.array(rows[fast & (of_row == code)]))
                found += self._look(code, *by_code[code], part, now_s)
        self._moments.forget(now_s)
        return found

    def _look(
        self, code: int, operation: Operation, model: Model, fast: pa.Table, now_s: float
    ) -> list[Anomaly]:
        series = self._moments.series(code)
        windows = window_sigmas(series.slow, series.at, max(series.chance, _CHANCE_MIN))  # slow: fast here
        shifted = np.flatnonzero(series.slow & (windows.sigma >= _LEAST_SIGMA))
        # The newest moment may still fill and is then left out. A shift that ended a minute ago is over.
        if not len(shifted) or series.at[-1] - series.at[shifted[-1]] > _OVER:
            return []
        self._moments.mark(series.keys[shifted])
        self._remember(operation, int(series.at[shifted[0]] * self._moments.width_s(code) * 1e9), fast)
        traces = self._traces.setdefault(code, deque(maxlen=_TRACES_KEPT))
        traces.extend(set(fast["trace_id"].to_pylist()[-_TRACES_KEPT:]) - set(traces))
        lately = now_s - self._reported_s.get(operation, -np.inf) < _QUIET_S
        if lately or len(traces) < self._settings.incident_min_traces:
            return []
        del self._traces[code]
        self._reported_s[operation] = now_s
        sigma, moments = float(windows.sigma[shifted[-1]]), int(windows.slow_count[shifted[-1]])
        newest = fast.sort_by("start_unix_nano").to_pylist()[-_REPORTED:]
        troubled = now_s - self._troubled_s.get(operation, -np.inf) <= _TROUBLE_S
        return [self._anomaly(row, model, sigma, moments, troubled=troubled) for row in newest]

    def _remember(self, operation: Operation, since: int, fast: pa.Table) -> None:
        before = self._episodes.get(operation)
        if before is not None and since <= before.until_unix_nano + _SAME_NS:
            since = min(since, before.since_unix_nano)
        self._episodes[operation] = Episode(operation, since, pc.max(fast["start_unix_nano"]).as_py())
        _shrink(self._episodes)
        _shrink(self._reported_s)
        _shrink(self._troubled_s)
        _shrink(self._traces)

    def _anomaly(
        self, row: dict[str, Any], model: Model, sigma: float, moments: int, *, troubled: bool
    ) -> Anomaly:
        _, sev4, sev3, _, _ = self._settings.severity_sigmas()
        bounded = min(sigma, (sev3 if troubled else sev4) - _BELOW)
        share = model.tail.p50 / max(row["duration_ns"], 1)
        details = {
            "rule": RULE,
            "direction": "faster",
            "text": f"{duration_text(row['duration_ns'])} against {duration_text(model.tail.p50)}: "
            f"suddenly {share:.3g} times faster, for {moments} moments",
            "fast_moments": moments,
            "threshold_ns": model.fast_below,
            "span_sigma": 0.0,  # one fast span proves nothing
            "faster_sigma": round(sigma, 3),
        }
        return slow_span(row, model, bounded, severity_of(bounded, self._settings.severity_sigmas()), details)


def _shrink(kept: dict[Any, Any]) -> None:
    """Drop the oldest entry when there are too many; each call adds one at most."""
    if len(kept) > _KEPT_MAX:
        del kept[next(iter(kept))]
