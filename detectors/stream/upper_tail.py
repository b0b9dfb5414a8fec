"""Judges values against the upper tail of their own history: σ = Φ⁻¹(1 - S(value)).

Used for durations, waits of messages and amounts. The caller gives the values, the models, and the name of
the anomaly. Source of S: `detectors.stats.tail`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from detectors.baseline.models import Model
from detectors.model.anomaly import Anomaly, span_anomaly
from detectors.model.operation import Operation
from detectors.model.severity import severity_of
from detectors.settings import Settings
from detectors.stats.arrays import FloatArray, IntArray


class Exceeding(NamedTuple):
    """A value that its history makes improbable, and its place."""

    place: int
    model: Model
    sigma: float
    severity: int


def exceeding(
    values: FloatArray | IntArray, models: Sequence[Model | None], model_of: IntArray, settings: Settings
) -> list[Exceeding]:
    """The values that are anomalies by themselves, in their order.

    Args:
        models: None where there is no history yet.
        model_of: the place in `models` of each value.
    """
    if not len(models):
        return []
    limits = np.array([model.flag_above if model else np.inf for model in models])[model_of]
    found = []
    for place in np.flatnonzero(values > limits).tolist():
        model = models[int(model_of[place])]
        if model is None:
            continue
        sigma = float(model.tail.sigma(float(values[place])))
        if severity := severity_of(sigma, settings.severity_sigmas()):
            found.append(Exceeding(place, model, sigma, severity))
    return found


def tail_anomaly(
    detector: str,
    row: Mapping[str, Any],
    model: Model,
    sigma: float,
    severity: int,
    *,
    observed: float,
    details: Mapping[str, object],
    unit: str = "ns",
    subject: str | None = None,
    cell: str | None = None,
) -> Anomaly:
    """The anomaly of one value.

    Args:
        row: trace_id, span_id, start_unix_nano and duration_ns of the span that is shown.
        subject: makes the id together with the trace; the span when None.
        cell: of the history; the model's when None.
    """
    return span_anomaly(
        detector,
        row,
        Operation(model.key.service_name, model.key.operation, model.key.span_kind),
        severity=severity,
        sigma=sigma,
        observed=observed,
        expected=model.tail.p50,
        unit=unit,
        cell=cell or model.cell,
        sample_count=model.tail.sample_count,
        details=details,
        subject=subject,
    )
