"""Scores of flags, by trace and by case."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping


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


def average_precision(labels: Mapping[str, bool], scores: Mapping[str, float]) -> float:
    """How well scores rank the anomalous traces first, without a threshold; 0 if there are none.

    The mean over the anomalous ones of the precision at their score, equal scores taken together
    (Manning, Raghavan, Schütze 2008, chapter 8).

    >>> average_precision({"a": True, "b": False, "c": True}, {"a": 9.0, "b": 5.0, "c": 1.0})
    0.8333
    """
    anomalous: dict[float, int] = defaultdict(int)
    everything: dict[float, int] = defaultdict(int)
    for trace_id, truth in labels.items():
        score = scores.get(trace_id, -math.inf)
        everything[score] += 1
        anomalous[score] += truth
    hits = seen = 0
    total = 0.0
    for score in sorted(everything, reverse=True):
        hits, seen = hits + anomalous[score], seen + everything[score]
        total += anomalous[score] * hits / seen
    return _ratio(total, hits)


def detected_share(cases: Iterable[Collection[str]], labels: Mapping[str, bool], flagged: set[str]) -> float:
    """The share of cases with a flagged trace that the labels call anomalous; 0 without cases.

    Where no trace of a case is labelled anomalous, any flagged trace of it counts.

    >>> detected_share([["a", "b"], ["c"]], {"a": True, "b": False}, {"b", "c"})
    0.5
    """
    found = []
    for traces in cases:
        anomalous = [trace for trace in traces if labels.get(trace)]
        found.append(not flagged.isdisjoint(anomalous or traces))
    return _ratio(sum(found), len(found))


def _ratio(part: float, whole: float) -> float:
    return round(part / whole, 4) if whole else 0.0
