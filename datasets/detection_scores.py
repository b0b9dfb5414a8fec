"""Which traces detection flags, judged in passes of a second as they would have landed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
import pyarrow as pa

from detectors.baseline.models import Baselines
from detectors.detect.amount import detect_amounts
from detectors.detect.latency import detect_latency, group_spans
from detectors.detect.shift import ShiftWatch
from detectors.settings import Settings

_PASS_NS = 1_000_000_000


def flagged_traces(
    spans: pa.Table,
    amounts: pa.Table,
    baselines: Baselines,
    settings: Settings,
    step: Callable[[str, int, int], None] = lambda *_: None,
) -> set[str]:
    """The traces with an anomaly of any detector.

    Args:
        spans: columns of `queries/new_spans.sql` of the detectors, in order of time.
        amounts: columns of their `queries/new_amounts.sql`.
    """
    flagged: set[str] = set()
    if settings.enable_amount_anomaly_detection:
        flagged |= {anomaly.trace_id for anomaly in detect_amounts(amounts, baselines, settings)}
    shifts = ShiftWatch(settings)
    starts = spans["start_unix_nano"].to_numpy()
    bounds = [0, *(np.flatnonzero(np.diff(starts // _PASS_NS)) + 1).tolist(), len(starts)]
    for begin, end in pairwise(bounds):
        if begin == end:
            continue
        step("detect", begin, len(starts))
        batch = spans.slice(begin, end - begin)
        groups = group_spans(batch, baselines)
        found = detect_latency(batch, baselines, settings, groups)
        shifted = shifts.observe(batch, groups, float(starts[end - 1]) / 1e9)
        flagged |= {anomaly.trace_id for anomaly in [*found, *shifted.new, *shifted.raised]}
    return flagged


def score_flags(labels: Mapping[str, bool], flagged: set[str]) -> dict[str, float]:
    """Precision, recall, F1 and false-positive rate over labelled traces; 0 for 0/0.

    >>> score_flags({"a": True, "b": True, "c": False, "d": False}, {"a", "c", "unlabelled"})["f1"]
    0.5
    """
    hits = sum(anomalous and trace_id in flagged for trace_id, anomalous in labels.items())
    alarms = sum(trace_id in flagged for trace_id in labels)
    anomalous_count = sum(labels.values())
    precision, recall = _ratio(hits, alarms), _ratio(hits, anomalous_count)
    return {
        "precision": precision,
        "recall": recall,
        "f1": _ratio(2 * precision * recall, precision + recall),
        "false_positive_rate": _ratio(alarms - hits, len(labels) - anomalous_count),
        "n": len(labels),
    }


def _ratio(part: float, whole: float) -> float:
    return round(part / whole, 4) if whole else 0.0
