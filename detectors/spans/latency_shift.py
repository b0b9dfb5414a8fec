"""Sustained shifts: σ = Φ⁻¹(1 - L · P(Binomial(n, p) ≥ k)), k of an operation's last n moments being slow.

A noisy history may explain one slow span, but not that *all* spans are slow for seconds. Spans of one moment
are no independent samples, since a stall slows all spans that are running. So time is cut into moments of
half a second (longer for operations that take longer), and each moment counts once: it is slow when most of
its spans are above the operation's q95 and by enough to matter (`Model.shift_above`). p is the rate of slow
moments in the operation's own past, and at least the rate on a poor machine; L corrects for trying L window
lengths. A shift is sustained: k ≥ n/2, and k is at most the number of traces. One stall of 0.7 s makes two
slow moments at most, which stay below 3σ. σ grows with every slow moment, so it is bounded by the size of the
shift: `bounded_by_size`.

A fault may slow only one call in three. So a second test counts moments that are slow *in part*: they have
three times the usual share of slow spans, and two such spans at least. Windows of them are judged in the same
way by the rate of such moments in the past. Bursts of slow requests are ordinary, so this test needs
k ≥ ¾ n and a chance below the one that opens an incident (1e-6).

Sources: binomial exceedance test with a minimum effect (the traffic-light backtest of exceedances, Basel
1996; Kupiec 1995), windows of several lengths as in scan statistics (Naus 1982), Bonferroni over them.

>>> import numpy as np
>>> slow = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1], dtype=bool)
>>> [window_sigmas(slow[:end], np.arange(end), chance=0.02).sigma[4].round(1).item() for end in (6, 7, 8, 12)]
[-inf, 3.7, 4.8, 7.3]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import bdtrc, ndtri

from detectors.baseline.models import SHIFT_QUANTILE, Model
from detectors.model.anomaly import Anomaly
from detectors.model.operation import Operation
from detectors.model.severity import bounded_by_share, severity_of
from detectors.settings import Settings
from detectors.spans.slow_stretches import Slowed, SlowStretches
from detectors.stats.arrays import FloatArray, IntArray
from detectors.stats.time_bins import Moments, Series
from detectors.stream.span_groups import SpanGroups

BoolArray = npt.NDArray[np.bool_]

RULE = "shift"
PART_RULE = "partial shift"
_WINDOWS = (4, 8, 16, 32)  # moments
_WINDOW_REACH = 120  # a window lies within so many moments of time, empty ones included …
_PAUSES = 3.0  # … or, for a rarely called operation, within this many of its usual pauses between calls
_LEAST_SIGMA = 3.0
_BELOW = 0.01  # a bounded σ stays this far below the next severity
_LEAST_PART_SIGMA = 4.75  # 1e-6
_PART_WINDOWS = _WINDOWS[1:]
_LEAST_PART = (6, 8)  # three quarters of the shortest window; every longer window contains such a stretch
_SUSTAINED, _SUSTAINED_PART = 0.5, 0.75
_EDGE_SHARE = 0.33
# Fewer slow moments never reach 3σ, since p is at least 2%; a longer window that does contains such a
# stretch.
_LEAST_SLOW = ((3, 4), (4, 8))
_LEAST_P = 1e-300
_SPAN_COLUMNS = ["trace_id", "span_id", "start_unix_nano", "duration_ns"]


class Windows(NamedTuple):
    """For each moment the most significant window that contains it; σ is -inf where none reaches 3."""

    sigma: FloatArray
    slow_count: IntArray
    moment_count: IntArray
    reach: IntArray  # from the window's first moment to its last, in moments of time


def window_sigmas(
    slow: BoolArray,
    at: IntArray,
    chance: float,
    *,
    trace_count: int | None = None,
    sustained_share: float = _SUSTAINED,
    lengths: Sequence[int] = _WINDOWS,
) -> Windows:
    """Score every window of an operation's moments.

    Args:
        slow: whether each moment is slow, in order of time; moments without spans are left out.
        at: the number of each moment, rising.
        chance: how often a moment is slow without a fault.
        trace_count: the number of traces of the slow spans; many calls of one trace count as one.
        sustained_share: the least share of slow moments in a window.
        lengths: of the windows, in moments.
    """
    count = len(slow)
    best = Windows(np.full(count, -np.inf), *(np.zeros(count, dtype=np.int64) for _ in range(3)))
    total = np.concatenate([[0], np.cumsum(slow)])
    usual_pause = float(np.median(np.diff(at))) if count > 1 else 1.0
    for length in lengths:
        if length > count:
            break
        hits = np.minimum(total[length:] - total[:-length], length if trace_count is None else trace_count)
        reach = at[length - 1 :] - at[: count - length + 1] + 1
        p = np.clip(len(lengths) * bdtrc(hits - 1, length, chance), _LEAST_P, 0.5)
        near = reach <= max(_WINDOW_REACH, _PAUSES * usual_pause * length)
        sustained = (hits >= sustained_share * length) & near
        sigma = np.where(sustained, -ndtri(p), -np.inf)
        for first in np.flatnonzero(sigma >= _LEAST_SIGMA).tolist():
            begin, end = _without_edges(slow[first : first + length])
            better = np.flatnonzero(sigma[first] > best.sigma[first + begin : first + end]) + first + begin
            best.sigma[better] = sigma[first]
            best.slow_count[better] = hits[first]
            best.moment_count[better] = length
            best.reach[better] = reach[first]
    return best


def _without_edges(slow: BoolArray) -> tuple[int, int]:
    """The part of a window, from and until, to which its slow moments belong.

    One that was slow by chance, half a minute before, is no part of the shift: from each end a third of the
    moments has to be slow, however far one looks.

    >>> _without_edges(np.array([1, 0, 0, 0, 0, 1, 1, 0, 1, 1], dtype=bool))
    (5, 10)
    """
    return _first_of_many(slow), len(slow) - _first_of_many(slow[::-1])


def _first_of_many(slow: BoolArray) -> int:
    surplus = np.concatenate([[0.0], np.cumsum(slow - _EDGE_SHARE)])
    lowest = np.minimum.accumulate(surplus[::-1])[::-1]  # from there on
    found = np.flatnonzero(slow & (lowest[1:] >= surplus[:-1]))
    return int(found[0]) if len(found) else 0


class Found(NamedTuple):
    """The better of both windows for each moment of a series, and which moments are shifted."""

    windows: Windows
    in_part: BoolArray
    shifted: IntArray


def judge_series(series: Series, trace_count: int | None = None) -> Found:
    """Both kinds of windows over the moments of an operation.

    Args:
        trace_count: as for `window_sigmas`.
    """
    whole = window_sigmas(series.slow, series.at, series.chance, trace_count=trace_count)
    part = window_sigmas(
        series.part,
        series.at,
        series.part_chance,
        trace_count=trace_count,
        sustained_share=_SUSTAINED_PART,
        lengths=_PART_WINDOWS,
    )
    slow = series.slow & (whole.sigma >= _LEAST_SIGMA)
    # A moment that is slow by chance may lie in the same window as many moments that are not.
    company = np.zeros(len(series.at), dtype=np.bool_)
    side_by_side = series.part[1:] & series.part[:-1] & (np.diff(series.at) == 1)
    company[1:] |= side_by_side
    company[:-1] |= side_by_side
    partly = series.part & company & (part.sigma >= _LEAST_PART_SIGMA) & ~slow
    merged = Windows(*(np.where(partly, there, here) for here, there in zip(whole, part, strict=True)))
    return Found(merged, partly, np.flatnonzero(slow | partly))


def bounded_by_size(sigma: FloatArray, ratio: FloatArray, settings: Settings) -> FloatArray:
    """σ of a shift, at most what its size deserves: a small slowdown stays minor, however certain it is.

    >>> settings = Settings()
    >>> bounded_by_size(np.array([8.0, 8.0, 8.0, 3.5]), np.array([2.0, 5.0, 50.0, 2.0]), settings)
    array([4.99, 5.99, 8.  , 3.5 ])

    Args:
        ratio: each span's duration in medians of its operation.
    """
    _, _, sev3, sev2, _ = settings.severity_sigmas()
    small, large = settings.detect_shift_sev4_ratio, settings.detect_shift_sev3_ratio
    most = np.where(ratio < small, sev3 - _BELOW, np.where(ratio < large, sev2 - _BELOW, np.inf))
    return np.asarray(np.minimum(sigma, most), dtype=np.float64)


# (row, model, sigma, severity, details) → the anomaly
Report = Callable[[dict[str, Any], Model, float, int, dict[str, object]], Anomaly]


@dataclass(slots=True)
class Shifted:
    """The findings of one batch: spans not flagged before, and flagged spans that are now worse."""

    new: list[Anomaly] = field(default_factory=list)
    raised: list[Anomaly] = field(default_factory=list)


class ShiftWatch:
    """Follows all operations over the last moments. Not thread-safe; memory only, and bounded.

    stretches: of time in which operations were shifted.
    """

    def __init__(self, settings: Settings, report: Report) -> None:
        """`report` makes the anomaly of one span."""
        self._settings = settings
        self._report = report
        self._moments = Moments(1 - SHIFT_QUANTILE)
        self._spans: pa.Table | None = None  # those above the limit, of the moments that are kept
        self._models: dict[int, Model] = {}  # by operation code
        self.stretches = SlowStretches()

    def observe(self, spans: pa.Table, groups: SpanGroups, now_s: float) -> Shifted:
        """Judge a batch.

        Args:
            spans: columns of `stream/queries/new_spans.sql`.
            groups: of these spans.
            now_s: the detector's clock.
        """
        known = np.array([model is not None for model in groups.models], dtype=bool)
        rows = np.flatnonzero(known[groups.group_of]) if len(known) else np.empty(0, dtype=np.int64)
        if not len(rows):
            return Shifted()
        of_group = np.array(
            [
                self._code(operation, model) if model else -1
                for operation, model in zip(groups.operations, groups.models, strict=True)
            ]
        )
        codes = of_group[groups.group_of[rows]]
        duration = spans["duration_ns"].to_numpy()
        above = (duration > groups.limits(lambda m: m.shift_above))[rows]
        keys = self._moments.add(codes, spans["start_unix_nano"].to_numpy()[rows], above, now_s)
        self._keep(spans, groups, rows[above], keys[above])
        outcome = self._judge(np.unique(of_group[of_group >= 0]))
        self._moments.forget(now_s)
        if self._spans is not None:
            self._spans = self._spans.filter(pa.array(self._moments.has(self._spans["key"].to_numpy())))
        return outcome

    def _code(self, operation: Operation, model: Model) -> int:
        code = self._moments.code(operation, model.tail.p50)
        self._models[code] = model
        return code

    def _keep(self, spans: pa.Table, groups: SpanGroups, rows: IntArray, keys: IntArray) -> None:
        """Remember spans above the limit, with the severity of each span by itself."""
        if not len(rows):
            return
        part = spans.select(_SPAN_COLUMNS).take(pa.array(rows))
        duration, group_of = part["duration_ns"].to_numpy(), groups.group_of[rows]
        own = np.zeros(len(rows))
        for group in np.unique(group_of).tolist():
            model = groups.models[group]
            if model is not None:
                same = group_of == group
                own[same] = model.tail.sigma(duration[same])
        alone = duration > groups.limits(lambda m: m.flag_above)[rows]
        severities = [
            severity_of(sigma, self._settings.severity_sigmas()) if flagged else 0
            for sigma, flagged in zip(own.tolist(), alone.tolist(), strict=True)
        ]
        part = part.append_column("key", pa.array(keys)).append_column("span_sigma", pa.array(own))
        part = part.append_column("severity", pa.array(severities, pa.int8()))
        self._spans = part if self._spans is None else pa.concat_tables([self._spans, part]).combine_chunks()

    def _judge(self, codes: IntArray) -> Shifted:
        outcome = Shifted()
        if self._spans is None:
            return outcome
        keys = self._spans["key"].to_numpy()
        severity = self._spans["severity"].to_numpy().copy()
        for code in self._moments.suspicious(codes, _LEAST_SLOW, _LEAST_PART).tolist():
            series = self._moments.series(code)
            windows, in_part, shifted = judge_series(series)
            if not len(shifted):
                continue
            rows, moments = _within_reach(keys, series.keys, shifted, in_part)
            trace_count = pc.count_distinct(self._spans["trace_id"].take(pa.array(rows))).as_py()
            if trace_count < windows.slow_count.max():
                windows, in_part, shifted = judge_series(series, trace_count)
                if not len(shifted):
                    continue
                rows, moments = _within_reach(keys, series.keys, shifted, in_part)
            self._moments.mark(series.keys[shifted])
            own = self._spans["span_sigma"].to_numpy()[rows]
            ratio = self._spans["duration_ns"].to_numpy()[rows] / max(self._models[code].tail.p50, 1.0)
            share = float(series.share[shifted].mean())
            together = np.where(
                in_part, [bounded_by_share(s, share, self._settings) for s in windows.sigma], windows.sigma
            )
            sigma = np.maximum(own, bounded_by_size(together[moments], ratio, self._settings))
            passed = np.searchsorted(self._settings.severity_sigmas(), sigma, side="right")
            now, before = np.where(passed > 0, 6 - passed, 0), severity[rows]
            changed = np.flatnonzero((now > 0) & ((before == 0) | (now < before)))
            severity[rows[changed]] = now[changed]
            self._note(code, self._spans["start_unix_nano"].to_numpy()[rows], together)
            values = self._spans.take(pa.array(rows[changed])).to_pylist()
            for value, i in zip(values, changed.tolist(), strict=True):
                details = self._details(code, windows, int(moments[i]), value["span_sigma"])
                if in_part[moments[i]]:
                    details |= {"rule": PART_RULE, "slow_share": round(share, 3)}
                anomaly = self._report(value, self._models[code], float(sigma[i]), int(now[i]), details)
                (outcome.raised if before[i] else outcome.new).append(anomaly)
        position = self._spans.schema.get_field_index("severity")
        self._spans = self._spans.set_column(position, "severity", pa.array(severity))
        return outcome

    def _note(self, code: int, starts: IntArray, together: FloatArray) -> None:
        key, above = self._models[code].key, self._models[code].shift_above
        operation = Operation(key.service_name, key.operation, key.span_kind)
        sigma = float(together[np.isfinite(together)].max())
        self.stretches.note(
            Slowed(operation, int(starts.min()), int(starts.max()), above, sigma, len(starts))
        )

    def _details(self, code: int, windows: Windows, moment: int, span_sigma: float) -> dict[str, object]:
        return {
            "rule": RULE,
            "exceeding_moments": int(windows.slow_count[moment]),
            "moments": int(windows.moment_count[moment]),
            "window_s": int(windows.reach[moment]) * self._moments.width_s(code),
            "threshold_ns": self._models[code].shift_above,
            "span_sigma": round(span_sigma, 3),
            "shift_sigma": round(float(windows.sigma[moment]), 3),
        }


def _within_reach(
    keys: IntArray, series_keys: IntArray, shifted: IntArray, in_part: BoolArray
) -> tuple[IntArray, IntArray]:
    """(rows of `keys` in a shifted moment or next to one, the shifted moment of each).

    The neighbours count because the first and the last moment of a shift are slow only in part. A moment that
    is shifted in part has no such neighbours.
    """
    centre = series_keys[shifted]
    right = np.minimum(np.searchsorted(centre, keys), len(centre) - 1)
    left = np.maximum(right - 1, 0)
    nearest = np.where(np.abs(keys - centre[left]) < np.abs(keys - centre[right]), left, right)
    reach = np.where(in_part[shifted], 0, 1)[nearest]
    rows = np.flatnonzero(np.abs(keys - centre[nearest]) <= reach)
    return rows, shifted[nearest[rows]]


def with_shift(alone: Sequence[Anomaly], shifted: Shifted) -> tuple[list[Anomaly], list[Anomaly]]:
    """(new anomalies, known ones that have become worse); one for each span, whichever test found it."""
    new = {anomaly.anomaly_id: anomaly for anomaly in [*alone, *shifted.new]}
    raised = []
    for anomaly in shifted.raised:
        if anomaly.anomaly_id in new:
            new[anomaly.anomaly_id] = anomaly
        else:
            raised.append(anomaly)
    return list(new.values()), raised
