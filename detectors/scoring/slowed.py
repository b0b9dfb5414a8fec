"""Joins traces with a slow span to the stretch of time in which its operation was improbably slow.

In an operation with sixty samples no single span exceeds 3 sigma after the correction for everything its
trace holds; ten slow spans in a row do. So a span above the limit of the shift that it lies in raises the
score of its trace to that of the stretch, as a failed span does (`trace_score.join_errors`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from detectors.model.operation import Operation
from detectors.model.text import duration_text
from detectors.scoring.trace_score import SCORE_SCHEMA
from detectors.spans.slow_stretches import Slowed

_COLUMNS = ["trace_id", "span_id", "service_name", "operation", "span_kind", "start_unix_nano", "duration_ns"]


def join_slowed(scores: pa.Table, spans: pa.Table, stretches: Sequence[Slowed]) -> pa.Table:
    """The scores of traces, raised to those of the stretches that their slow spans belong to.

    Args:
        scores: `trace_score.score_traces` of `spans`.
    """
    if not stretches or not spans.num_rows:
        return scores
    start, duration = spans["start_unix_nano"].to_numpy(), spans["duration_ns"].to_numpy()
    candidates = np.zeros(len(start), dtype=np.bool_)
    by_operation: dict[Operation, list[Slowed]] = defaultdict(list)
    for stretch in stretches:
        by_operation[stretch.operation].append(stretch)
        within = (start >= stretch.since_unix_nano) & (start <= stretch.until_unix_nano)
        candidates |= within & (duration > stretch.least_ns)
    found: dict[str, tuple[Slowed, dict[str, Any]]] = {}
    for row in spans.select(_COLUMNS).take(pa.array(np.flatnonzero(candidates))).to_pylist():
        for stretch in by_operation.get(Operation.of(row), ()):
            known = found.get(row["trace_id"])
            within = stretch.since_unix_nano <= row["start_unix_nano"] <= stretch.until_unix_nano
            within &= row["duration_ns"] > stretch.least_ns
            if within and (known is None or known[0].sigma < stretch.sigma):
                found[row["trace_id"]] = stretch, row
    if not found:
        return scores
    rows = scores.to_pylist()
    for score in rows:
        joined = found.get(score["trace_id"])
        if joined is not None and joined[0].sigma > score["anomaly_sigma"]:
            score["anomaly_sigma"] = joined[0].sigma
            score["reason"] = f"takes {duration_text(joined[1]['duration_ns'])} while its operation was slow"
            score |= {name: joined[1][name] for name in ("span_id", "service_name", "operation")}
    return pa.Table.from_pylist(rows, SCORE_SCHEMA)
