"""Scores of explained cases: is the cause named, is the way grounded, do facts support the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_BINS = np.linspace(0, 1, 6)


@dataclass(frozen=True, slots=True)
class Explained:
    """One case. `confidence` is that of the first cause; times in ms; None where a label does not say."""

    case_id: str
    service_hit_1: bool
    service_hit_3: bool
    operation_hit_1: bool | None
    operation_hit_3: bool | None
    span_hit_1: bool | None
    path_grounded: bool
    path_reaches_symptom: bool
    citations: int
    citations_valid: int
    sentences: int
    sentences_supported: int
    symptom_kind_right: bool
    abstained: bool
    confidence: float
    latency_ms: float
    tokens: int


def figures(cases: Sequence[Explained]) -> dict[str, Any]:
    """Shares from 0 to 1 over the cases for which they are known; None if there are no such cases."""
    if not cases:
        return {"n": 0}
    latencies = [case.latency_ms for case in cases]
    return {
        "n": len(cases),
        "service_hit@1": share(case.service_hit_1 for case in cases),
        "service_hit@3": share(case.service_hit_3 for case in cases),
        "operation_hit@1": share(case.operation_hit_1 for case in cases),
        "operation_hit@3": share(case.operation_hit_3 for case in cases),
        "span_hit@1": share(case.span_hit_1 for case in cases),
        "path_grounded": share(case.path_grounded for case in cases),
        "path_reaches_symptom": share(case.path_reaches_symptom for case in cases),
        "citation_validity": _ratio(sum(c.citations_valid for c in cases), sum(c.citations for c in cases)),
        "citation_support": _ratio(
            sum(c.sentences_supported for c in cases), sum(c.sentences for c in cases)
        ),
        "symptom_kind": share(case.symptom_kind_right for case in cases),
        "abstained": share(case.abstained for case in cases),
        **calibration([case.confidence for case in cases], [case.service_hit_1 for case in cases]),
        "latency_p50_ms": round(float(np.quantile(latencies, 0.5)), 1),
        "latency_p95_ms": round(float(np.quantile(latencies, 0.95)), 1),
        "tokens_mean": round(float(np.mean([case.tokens for case in cases]))),
    }


def calibration(confidences: Sequence[float], hits: Sequence[bool]) -> dict[str, float]:
    """Brier score and expected calibration error over five bins of confidence.

    >>> calibration([0.9, 0.9, 0.1], [True, True, False])
    {'confidence_brier': 0.01, 'confidence_ece': 0.1}
    """
    said, right = np.asarray(confidences, dtype=float), np.asarray(hits, dtype=float)
    where = np.clip(np.digitize(said, _BINS[1:-1]), 0, len(_BINS) - 2)
    error = sum(
        abs(float(said[where == b].mean()) - float(right[where == b].mean())) * int((where == b).sum())
        for b in np.unique(where)
    )
    return {
        "confidence_brier": round(float(((said - right) ** 2).mean()), 3),
        "confidence_ece": round(error / len(said), 3),
    }


def share(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return _ratio(sum(known), len(known))


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 3) if whole else None
