"""Joins traces with a slow span to the stretch of time in which its operation was improbably slow.

In an operation with sixty samples no single span exceeds 3 sigma after the correction for everything its
trace holds; ten slow spans in a row do. So a span above the limit of the shift that it lies in raises the
score of its trace to that of the stretch, as a failed span does (`failed.join_failed`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from detectors.model.operation import Operation
from detectors.model.text import duration_text
from detectors.scoring.membership import Member, keep_stronger, raised
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
    members: dict[str, Member] = {}
    for row in spans.select(_COLUMNS).take(pa.array(np.flatnonzero(candidates))).to_pylist():
        for stretch in by_operation.get(Operation.of(row), ()):
            within = stretch.since_unix_nano <= row["start_unix_nano"] <= stretch.until_unix_nano
            if within and row["duration_ns"] > stretch.least_ns:
                reason = f"takes {duration_text(row['duration_ns'])} while its operation was slow"
                keep_stronger(members, row["trace_id"], Member(stretch.sigma, reason, row))
    return raised(scores, members)
