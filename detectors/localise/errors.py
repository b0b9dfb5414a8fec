"""Failures where they are deepest: a span that failed although nothing it called did.

Where usual traces are at hand, failures count as far as they are more than usual; else when at least half
of the traces fail.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow.compute as pc

from detectors.baseline.sketch import IntArray
from detectors.localise.behaviour import Deviation, Events
from detectors.localise.evidence import EVIDENCE_MAX, Finding, Scores, evidence
from detectors.localise.traces import Traces
from detectors.trace.exclusive import NO_PARENT

ERRORS = "errors"
_FAILING_TRACES_SHARE = 0.5  # fewer do not explain an incident
_SCORE_MAX = 8.0  # in units of z, when nothing usual is known


def error_events(traces: Traces) -> Events:
    """The spans that failed first in their call: a failure that only passes one on is no event."""
    rows = deepest_failures(traces)
    return Events(
        ERRORS, rows, np.zeros(len(rows), dtype=np.int64), ["failed"], np.array([True]), np.array([False])
    )


def deepest_failures(traces: Traces) -> IntArray:
    """Rows with status ERROR of which no child has it."""
    failing = np.flatnonzero(pc.equal(traces.table["status_code"], "ERROR").to_numpy(zero_copy_only=False))
    passes_on = np.zeros(len(traces.parent), dtype=np.bool_)
    above = traces.parent[failing]
    passes_on[above[above != NO_PARENT]] = True
    return failing[~passes_on[failing]]


def errors(traces: Traces, found: list[Deviation]) -> Scores:
    """Scores in units of z."""
    scores = Scores()
    if traces.incident.all():
        for operation, rows in _without_usual(traces).items():
            _add(traces, scores, operation, float(rows.pop()), np.array(rows))
        return scores
    for deviation in found:
        _add(traces, scores, deviation.operation, deviation.score, deviation.rows)
    return scores


def _without_usual(traces: Traces) -> dict[int, list[Any]]:
    """Rows by operation, the score last; empty when most traces do not fail."""
    rows = deepest_failures(traces)
    traces_of = traces.table["trace_id"]
    all_count = pc.count_distinct(traces_of).as_py()
    failing_count = len({traces_of[int(row)].as_py() for row in rows})
    if failing_count < _FAILING_TRACES_SHARE * all_count:
        return {}
    found: dict[int, list[Any]] = defaultdict(list)
    for row in rows.tolist():
        found[int(traces.operation[row])].append(row)
    for members in found.values():
        members.append(_SCORE_MAX * len(members) / len(rows))
    return found


def _add(traces: Traces, scores: Scores, operation: int, score: float, rows: IntArray) -> None:
    key = traces.keys[operation]
    items = []
    for row in rows[:EVIDENCE_MAX].tolist():
        span = traces.span(row)
        said = f": {span['status_message']}" if span["status_message"] else ""
        items.append(
            evidence(
                "error", span, f"{key.operation} failed{said}", observed=1.0, expected=0.0, unit="errors"
            )
        )
    scores.services[key.service_name] = max(scores.services[key.service_name], score)
    scores.add((key.service_name, key.operation), Finding(score, "error", items))
