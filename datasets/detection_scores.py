"""How good flags are: by trace, and by case."""

from __future__ import annotations

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


def detected_share(cases: Iterable[Collection[str]], labels: Mapping[str, bool], flagged: set[str]) -> float:
    """The share of cases of which a trace is flagged that the labels call anomalous; 0 of none.

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
