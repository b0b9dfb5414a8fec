"""Joins traces with a failed span to the stretch of time in which its operation failed improbably often.

A stretch holds at most a third of failures that are usual, so each of its failed spans belongs to it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import pyarrow as pa

from detectors.model.operation import Operation
from detectors.scoring.membership import Member, keep_stronger, raised
from detectors.spans.error_rate import Erroneous

_COLUMNS = [
    *("trace_id", "span_id", "service_name", "operation", "span_kind", "callee"),
    *("start_unix_nano", "duration_ns"),
]


def join_failed(scores: pa.Table, spans: pa.Table, stretches: Sequence[Erroneous]) -> pa.Table:
    """The scores of traces, raised to those of the stretches that their failed spans belong to.

    Args:
        scores: `trace_score.score_traces` of `spans`.
    """
    failed = spans.filter(spans["failed"])
    if not stretches or not failed.num_rows:
        return scores
    by_operation: dict[tuple[Operation, str], list[Erroneous]] = defaultdict(list)
    for stretch in stretches:
        by_operation[stretch.operation, stretch.callee].append(stretch)
    members: dict[str, Member] = {}
    for row in failed.select(_COLUMNS).to_pylist():
        end = row["start_unix_nano"] + max(row["duration_ns"], 0)
        for stretch in by_operation.get((Operation.of(row), row["callee"] or ""), ()):
            if stretch.since_unix_nano <= end < stretch.until_unix_nano:
                reason = f"fails as {stretch.failed} of {stretch.calls} did then"
                keep_stronger(members, row["trace_id"], Member(stretch.sigma, reason, row))
    return raised(scores, members)
