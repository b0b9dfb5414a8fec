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

import numpy as np
import pyarrow as pa

from detectors.baseline.models import Model
from detectors.model.anomaly import LATENCY, Anomaly, anomaly_id
from detectors.model.severity import severity_of
from detectors.settings import Settings
from detectors.stream.span_groups import DurationModels, SpanGroups, group_spans


def detect_latency(
    spans: pa.Table, baselines: DurationModels, settings: Settings, groups: SpanGroups | None = None
) -> list[Anomaly]:
    """Flag the slow spans of a batch.

    Args:
        spans: columns of `stream/queries/new_spans.sql`.
        groups: of these spans, where the caller has them.
    """
    if not spans.num_rows:
        return []
    groups = groups or group_spans(spans, baselines)
    suspects = np.flatnonzero(spans["duration_ns"].to_numpy() > groups.limits(lambda m: m.flag_above))
    rows = spans.take(pa.array(suspects)).to_pylist()
    found = []
    for row, group in zip(rows, groups.group_of[suspects].tolist(), strict=True):
        model = groups.models[group]
        if model is not None and (anomaly := _judge(row, model, settings)):
            found.append(anomaly)
    return found


def _judge(row: dict[str, Any], model: Model, settings: Settings) -> Anomaly | None:
    sigma = float(model.tail.sigma(float(row["duration_ns"])))
    severity = severity_of(sigma, settings.severity_sigmas())
    return slow_span(row, model, sigma, severity) if severity else None


def slow_span(
    row: dict[str, Any],
    model: Model,
    sigma: float,
    severity: int,
    details: Mapping[str, object] | None = None,
) -> Anomaly:
    """The anomaly of one span.

    Args:
        row: trace_id, span_id, start_unix_nano and duration_ns of it.
    """
    trace_id, span_id = row["trace_id"], row["span_id"]
    return Anomaly(
        anomaly_id=anomaly_id(LATENCY, trace_id, span_id),
        detector=LATENCY,
        severity=severity,
        sigma=sigma,
        trace_id=trace_id,
        span_id=span_id,
        service_name=model.key.service_name,
        operation=model.key.operation,
        span_kind=model.key.span_kind,
        span_start_unix_nano=row["start_unix_nano"],
        span_duration_ns=row["duration_ns"],
        observed=float(row["duration_ns"]),
        expected=model.tail.p50,
        unit="ns",
        cell=model.cell,
        sample_count=model.tail.sample_count,
        details={"direction": "slower"} | dict(details or {}),
    )
