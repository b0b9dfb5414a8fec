"""Slow spans: σ = Φ⁻¹(1 - S(duration)), S the survival fitted to the operation's own history.

A span is flagged when σ ≥ 3 and it is slow enough to matter: at least `detect_min_ratio` times and
`detect_min_excess_ms` above the median. Source of S: `detectors.baseline.tail`.

>>> import numpy as np
>>> from detectors.baseline.sketch import Sketch
>>> from detectors.baseline.tail import fit_tail
>>> normal_ns = 2e6 * np.exp(0.3 * np.random.default_rng(7).standard_normal(10_000))
>>> tail = fit_tail(Sketch.of(normal_ns), regime_scale_min=20e6)
>>> [bool(s) for s in tail.sigma([3e6, 6e6, 300e6]) > [1, 3, 5]]
[True, True, True]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from detectors.baseline.cells import HOURS_PER_WEEK, hour_of_week
from detectors.baseline.models import Model
from detectors.baseline.sketch import FloatArray, IntArray
from detectors.detect.anomaly import LATENCY, Anomaly, anomaly_id, severity_of
from detectors.settings import Settings

_HOUR_NS = 3_600_000_000_000


class DurationModels(Protocol):
    def duration(self, service_name: str, operation: str, span_kind: str, hour: int) -> Model | None: ...


@dataclass(frozen=True, slots=True)
class SpanGroups:
    """The spans of a batch by operation and hour of week: each group is compared with one model.

    models: one for each group, None while the operation is learning; group_of: the group of each span;
    codes: the operation of each, as a place in `keys`.
    """

    operations: list[tuple[str, str, str]]
    models: list[Model | None]
    group_of: IntArray
    codes: IntArray
    keys: list[tuple[str, str, str]]

    def counts(self) -> dict[tuple[str, str, str], int]:
        """How many spans of each operation there are."""
        counts: dict[tuple[str, str, str], int] = {}
        sizes = np.bincount(self.group_of, minlength=len(self.operations)).tolist()
        for operation, size in zip(self.operations, sizes, strict=True):
            counts[operation] = counts.get(operation, 0) + size
        return counts

    def limits(self, limit: Callable[[Model], float]) -> FloatArray:
        """A figure of each span's model; +inf where there is none."""
        figures = np.array([limit(model) if model else np.inf for model in self.models])
        return figures[self.group_of] if len(figures) else np.empty(0)


def group_spans(spans: pa.Table, baselines: DurationModels) -> SpanGroups:
    """Look up what each span of a batch must be compared with.

    Args:
        spans: columns of `queries/new_spans.sql`.
    """
    if not spans.num_rows:
        return SpanGroups([], [], np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), [])
    codes, keys = operation_codes(spans)
    starts = spans["start_unix_nano"].to_numpy()
    first, last = (int(hour_of_week(start)) for start in (starts.min(), starts.max()))
    groups: IntArray
    if first == last and starts.max() - starts.min() < _HOUR_NS:  # as nearly always: no sorting
        groups, group_of = np.arange(len(keys)) * HOURS_PER_WEEK + first, codes
    else:
        groups, group_of = np.unique(codes * HOURS_PER_WEEK + hour_of_week(starts), return_inverse=True)
    operations = [keys[int(group) // HOURS_PER_WEEK] for group in groups]
    models = [
        baselines.duration(*operation, int(group) % HOURS_PER_WEEK)
        for operation, group in zip(operations, groups, strict=True)
    ]
    return SpanGroups(operations, models, group_of, codes, keys)


def detect_latency(
    spans: pa.Table, baselines: DurationModels, settings: Settings, groups: SpanGroups | None = None
) -> list[Anomaly]:
    """Flag the slow spans of a batch.

    Args:
        spans: columns of `queries/new_spans.sql`.
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


def operation_codes(spans: pa.Table) -> tuple[npt.NDArray[np.int64], list[tuple[str, str, str]]]:
    """A code for each row, and the (service, operation, kind) of each code."""
    encoded = spans["operation_key"].combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):  # an empty or chunk-free column stays chunked
        encoded = pa.concat_arrays(encoded.chunks)
    encoded = encoded.dictionary_encode()
    keys = [split_key(key) for key in encoded.dictionary.to_pylist()]
    return encoded.indices.to_numpy().astype(np.int64), keys


def split_key(operation_key: str) -> tuple[str, str, str]:
    # The kind cannot hold the separator; a hostile span name can, and stays whole.
    service_name, rest = operation_key.split("\x1f", 1)
    operation, span_kind = rest.rsplit("\x1f", 1)
    return service_name, operation, span_kind


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
