"""Slow spans: σ = Φ⁻¹(1 - S(duration)), S the survival fitted to the operation's own history.

A span is flagged when σ ≥ 3 and it is slow enough to matter: at least `detect_min_ratio` times and
`detect_min_excess_ms` above the median. Source of S: `detectors.stats.tail`.

>>> import numpy as np
>>> from detectors.stats.sketch import Sketch
>>> from detectors.stats.tail import fit_tail
>>> normal_ns = 2e6 * np.exp(0.3 * np.random.default_rng(7).standard_normal(10_000))
>>> tail = fit_tail(Sketch.of(normal_ns), regime_scale_min=20e6)
>>> [bool(s) for s in tail.sigma([3e6, 6e6, 300e6]) > [1, 3, 5]]
[True, True, True]
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from detectors.baseline.models import Model
from detectors.model.anomaly import LATENCY, Anomaly
from detectors.settings import Settings
from detectors.spans.latency_shift import ShiftWatch, with_shift
from detectors.spans.nested import EnclosingWatch, SpanKey
from detectors.spans.request_body import RequestBodies
from detectors.spans.slow_stretches import Slowed
from detectors.stream.detector import Detector, Input, Step, Verdict
from detectors.stream.span_groups import SpanGroups
from detectors.stream.upper_tail import exceeding, tail_anomaly

_COLUMNS = ["trace_id", "span_id", "start_unix_nano", "duration_ns"]


class LatencyWatch(Detector):
    """Slow spans, alone or together with others of their operation. Not thread-safe.

    enclosing: the newest step's spans that are slow only because of a slow span inside them.
    """

    name = "latency"
    detector = LATENCY
    input = Input.SPANS

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._shifts = ShiftWatch(settings, slow_span)
        self._nested = EnclosingWatch()
        self._bodies = RequestBodies(settings)
        self.enclosing: set[SpanKey] = set()

    def slowed(self) -> list[Slowed]:
        """The newest stretches of time in which operations were slower than chance explains."""
        return self._shifts.stretches.all()

    def observe(self, step: Step) -> Verdict:
        own = self._bodies.own(step.spans, step.groups)
        alone = self._bodies.bounded(detect_latency(own, step.groups, self._settings))
        self.enclosing = self._nested.observe(own, step.groups, alone, step.least_sigma)
        new, raised = with_shift(alone, self._shifts.observe(own, step.groups, step.now_s))
        new, raised = self._bodies.bounded(new), self._bodies.bounded(raised)
        if own is not step.spans:
            known = {anomaly.anomaly_id for anomaly in new}
            slow = detect_latency(step.spans, step.groups, self._settings)
            waited = self._bodies.clients(a for a in slow if a.anomaly_id not in known)
            self.enclosing |= {(a.trace_id, a.span_id) for a in waited}
            new += waited
        return Verdict(new, raised)


def detect_latency(spans: pa.Table, groups: SpanGroups, settings: Settings) -> list[Anomaly]:
    """The slow spans of a batch, each judged by itself.

    Args:
        spans: columns of `stream/queries/new_spans.sql`.
        groups: of these spans.
    """
    found = exceeding(spans["duration_ns"].to_numpy(), groups.models, groups.group_of, settings)
    rows = spans.select(_COLUMNS).take(pa.array([one.place for one in found], pa.int64())).to_pylist()
    return [slow_span(row, one.model, one.sigma, one.severity) for row, one in zip(rows, found, strict=True)]


def slow_span(
    row: dict[str, Any],
    model: Model,
    sigma: float,
    severity: int,
    details: Mapping[str, object] | None = None,
) -> Anomaly:
    """The anomaly of one span; `row` has its trace_id, span_id, start_unix_nano and duration_ns."""
    return tail_anomaly(
        LATENCY,
        row,
        model,
        sigma,
        severity,
        observed=float(row["duration_ns"]),
        details={"direction": "slower"} | dict(details or {}),
    )
