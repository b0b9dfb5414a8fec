"""Ranked root causes of an incident, each with the spans and figures it rests on.

Own time: for each operation the excess of exclusive time over its own usual exclusive time, on the
critical paths of the incident's traces only, as a share of the time those paths took. A client span
without a server span below it (a database call) is the caller's own time; one with a server span below
is the *edge* between two services.
Errors: in traces with errors, the deepest failing span. Both evidences are kept apart, then weighed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from detectors.baseline.sketch import FloatArray, IntArray
from detectors.detect.anomaly import Anomaly
from detectors.texts import amount_text, duration_text
from detectors.trace.critical_path import critical_path
from detectors.trace.exclusive import NO_PARENT, exclusive_ns, parent_index
from detectors.trace.tree import build_tree

ExpectedExclusive = Callable[[str, str, str], float | None]

_EVIDENCE_MAX = 3
_CAUSES_MAX = 5
_LEAST_SHARE = 0.02  # below, a cause is noise
_ERROR_WEIGHT = 0.5
_ERROR_TRACES_SHARE = 0.5  # fewer failing traces than this do not explain the incident


@dataclass(frozen=True, slots=True)
class _Scored:
    score: float
    kind: str
    evidence: list[dict[str, Any]]


def localise_latency(spans: pa.Table, expected_exclusive_ns: ExpectedExclusive) -> list[dict[str, Any]]:
    """Causes, one for each service, best first; `operation` is the service's worst.

    Args:
        spans: columns of `queries/incident_spans.sql`, whole traces.
        expected_exclusive_ns: usual exclusive time of (service, operation, kind); None where unknown.
    """
    if not spans.num_rows:
        return []
    scored = _own_time(spans, expected_exclusive_ns)
    for operation, found in _deepest_errors(spans).items():
        known = scored.get(operation)
        scored[operation] = (
            _Scored(known.score + found.score, known.kind, known.evidence + found.evidence)
            if known
            else found
        )
    return _by_service(scored)


def localise_amount(whales: Sequence[Anomaly]) -> list[dict[str, Any]]:
    """An amount's cause is where it entered: the topmost span that carries it."""
    scored: dict[tuple[str, str], _Scored] = {}
    by_operation: dict[tuple[str, str], list[Anomaly]] = defaultdict(list)
    for whale in whales:
        by_operation[whale.service_name, whale.operation].append(whale)
    for operation, found in by_operation.items():
        worst = sorted(found, key=lambda a: -a.sigma)[:_EVIDENCE_MAX]
        evidence = [
            _evidence(
                "amount",
                {"trace_id": a.trace_id, "span_id": a.span_id},
                f"{a.details['attribute']} was {amount_text(a.observed, a.unit)}, "
                f"usually {amount_text(a.expected, a.unit)}",
                observed=a.observed,
                expected=a.expected,
                unit=a.unit,
            )
            for a in worst
        ]
        scored[operation] = _Scored(len(found) / len(whales), "amount", evidence)
    return _by_service(scored)


def _own_time(spans: pa.Table, expected_of: ExpectedExclusive) -> dict[tuple[str, str], _Scored]:
    parent = parent_index(spans["trace_id"], spans["span_id"], spans["parent_span_id"])
    exclusive = exclusive_ns(parent, spans["start_unix_nano"].to_numpy(), spans["duration_ns"].to_numpy())
    rows = spans.select(["trace_id", "span_id", "service_name", "operation", "span_kind"]).to_pylist()
    usual: dict[tuple[str, str, str], float] = {}
    expected: FloatArray = np.zeros(len(rows))
    for i, row in enumerate(rows):
        key = (row["service_name"], row["operation"], row["span_kind"])
        if key not in usual:
            usual[key] = expected_of(*key) or 0.0
        expected[i] = usual[key]
    on_path = _on_critical_paths(spans)
    excess = np.where(on_path, np.maximum(exclusive - expected, 0.0), 0.0)
    # Every moment of a critical path is some span's own: their sum is what the traces took.
    total = max(float(exclusive[on_path].sum()), 1.0)
    called = {int(p) for i, p in enumerate(parent) if p != NO_PARENT and rows[i]["span_kind"] == "SERVER"}
    members: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i in np.flatnonzero(excess > 0).tolist():
        members[rows[i]["service_name"], rows[i]["operation"]].append(i)
    scored = {}
    for operation, indices in members.items():
        share = float(excess[indices].sum()) / total
        if share < _LEAST_SHARE:
            continue
        worst = sorted(indices, key=lambda i: -excess[i])[:_EVIDENCE_MAX]
        edge = sum(i in called for i in worst) * 2 > len(worst)
        what = "outside the service it called" if edge else "of its own"
        evidence = [
            _evidence(
                "edge_time" if edge else "exclusive_time",
                rows[i],
                f"{operation[1]} took {duration_text(float(exclusive[i]))} {what}, "
                f"usually {duration_text(expected[i])}",
                observed=float(exclusive[i]),
                expected=float(expected[i]),
                unit="ns",
            )
            for i in worst
        ]
        scored[operation] = _Scored(share, "edge_time" if edge else "exclusive_time", evidence)
    return scored


def _on_critical_paths(spans: pa.Table) -> npt.NDArray[np.bool_]:
    """Marks the spans on the critical path of their trace, from its longest root."""
    codes = spans["trace_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    start: IntArray = spans["start_unix_nano"].to_numpy()
    duration: IntArray = spans["duration_ns"].to_numpy()
    marked = np.zeros(len(codes), dtype=np.bool_)
    order = np.argsort(codes, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        tree = build_tree(spans.take(pa.array(rows)))
        root = max(tree.roots, key=lambda i: duration[rows[i]])
        marked[rows[critical_path(tree.parent, start[rows], duration[rows], root)]] = True
    return marked


def _deepest_errors(spans: pa.Table) -> dict[tuple[str, str], _Scored]:
    rows = spans.to_pylist()
    failing = [i for i, row in enumerate(rows) if row["status_code"] == "ERROR"]
    trace_count = len({row["trace_id"] for row in rows})
    if len({rows[i]["trace_id"] for i in failing}) < _ERROR_TRACES_SHARE * trace_count:
        return {}
    parent = parent_index(spans["trace_id"], spans["span_id"], spans["parent_span_id"])
    above = {int(parent[i]) for i in failing}
    deepest = [i for i in failing if i not in above]
    counts = Counter((rows[i]["service_name"], rows[i]["operation"]) for i in deepest)
    scored = {}
    for operation, count in counts.items():
        examples = [i for i in deepest if (rows[i]["service_name"], rows[i]["operation"]) == operation]
        evidence = [
            _evidence(
                "error",
                rows[i],
                f"{operation[1]} failed"
                + (f": {rows[i]['status_message']}" if rows[i]["status_message"] else ""),
                observed=1.0,
                expected=0.0,
                unit="errors",
            )
            for i in examples[:_EVIDENCE_MAX]
        ]
        scored[operation] = _Scored(_ERROR_WEIGHT * count / len(deepest), "error", evidence)
    return scored


def _by_service(scored: dict[tuple[str, str], _Scored]) -> list[dict[str, Any]]:
    services: dict[str, list[tuple[str, _Scored]]] = defaultdict(list)
    for (service, operation), found in scored.items():
        services[service].append((operation, found))
    total = sum(found.score for found in scored.values()) or 1.0
    ranked = sorted(services.items(), key=lambda item: -sum(found.score for _, found in item[1]))
    causes = []
    for rank, (service, operations) in enumerate(ranked[:_CAUSES_MAX], start=1):
        operations.sort(key=lambda item: -item[1].score)
        score = sum(found.score for _, found in operations)
        causes.append(
            {
                "rank": rank,
                "service": service,
                "operation": operations[0][0],
                "score": round(score, 4),
                "share": round(score / total, 4),
                "kind": operations[0][1].kind,
                "evidence": [e for _, found in operations for e in found.evidence][: 2 * _EVIDENCE_MAX],
            }
        )
    return causes


def _evidence(
    kind: str, span: dict[str, Any], text: str, *, observed: float, expected: float, unit: str
) -> dict[str, Any]:
    return {
        "kind": kind,
        "trace_id": span["trace_id"],
        "span_id": span["span_id"],
        "text": text,
        "observed": observed,
        "expected": expected,
        "unit": unit,
    }
