"""Scores of a ranking: hit@k, mean reciprocal rank, and whether the whole set comes first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from datasets.evaluate.incidents import CaseLabel

_HITS = (1, 3, 5)


class CaseScore(NamedTuple):
    """One case.

    rank: of the first root service, from 1; None if no rank names one.
    complete: the k root services fill the first k ranks.
    operation: the first rank names the root service and operation; None when the label names none.
    """

    fault_kind: str
    rank: int | None
    complete: bool
    operation: bool | None = None


def score_ranking(label: CaseLabel, causes: Sequence[Mapping[str, Any]], told: str = "") -> CaseScore:
    """Compare a ranking, rows of `incidents.root_causes`, with the truth.

    Args:
        told: the shape of the whole system that was told (`shapes.told`).
    """
    if label.shape is not None:
        named = told == label.shape
        return CaseScore(label.fault_kind, 1 if named else None, named)
    roots = set(label.root_services)
    services = [cause["service"] for cause in causes]
    rank = next((place for place, service in enumerate(services, start=1) if service in roots), None)
    operation = None
    if label.root_operation is not None:
        operation = rank == 1 and causes[0]["operation"] == label.root_operation
    return CaseScore(label.fault_kind, rank, set(services[: len(roots)]) == roots, operation)


def scored(cases: Sequence[CaseScore]) -> dict[str, Any]:
    """The figures over all cases and for each kind of fault; None where there is no case.

    `operation_hit@1` is there only where labels name operations.
    """
    by_kind: dict[str, list[CaseScore]] = defaultdict(list)
    for case in cases:
        by_kind[case.fault_kind].append(case)
    return {
        **_figures(cases),
        "by_fault_kind": {kind: _figures(members) for kind, members in sorted(by_kind.items())},
    }


def _figures(cases: Sequence[CaseScore]) -> dict[str, Any]:
    figures: dict[str, Any] = {
        f"hit@{k}": _mean([float(case.rank is not None and case.rank <= k) for case in cases]) for k in _HITS
    }
    figures["mrr"] = _mean([1 / case.rank if case.rank else 0.0 for case in cases])
    figures["all_in_top_k"] = _mean([float(case.complete) for case in cases])
    operations = [float(case.operation) for case in cases if case.operation is not None]
    if operations:
        figures["operation_hit@1"] = _mean(operations)
    return {**figures, "n": len(cases)}


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None
