"""Joins traces to a stretch of time in which a call was made improbably seldom.

A loop that no longer calls its tools is not visible in one trace, because some traces lack the calls at any
time. In a stretch that `detectors.spans.missing_calls` found, a trace that lacks calls i lacks them by chance
with

    product of u_i,   u_i the share of the caller's spans that usually lack i

The trace belongs to the stretch when that is at most a third, as failed spans belong to a stretch of errors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from detectors.baseline.settled import SettledTraces
from detectors.baseline.span_forms import SpanForms
from detectors.model.operation import Operation
from detectors.scoring.membership import Member, raised
from detectors.spans.missing_calls import Forgone
from detectors.stats.arrays import IntArray

_BY_CHANCE_MAX = 1 / 3


def join_forgone(
    scores: pa.Table,
    settled: SettledTraces,
    forms: SpanForms,
    stretches: Sequence[Forgone],
) -> pa.Table:
    """The scores of traces, raised to those of the stretches that they belong to.

    Args:
        scores: `trace_score.score_traces` of these traces; it may contain other traces.
        forms: of all their spans.
    """
    if not stretches or not settled.spans.num_rows:
        return scores
    place = {name: number for number, name in enumerate(forms.operations)}
    spans = settled.spans
    ends = spans["start_unix_nano"].to_numpy() + np.maximum(spans["duration_ns"].to_numpy(), 0)
    by_pair: dict[tuple[int, int], list[Forgone]] = defaultdict(list)
    for stretch in stretches:
        caller = place.get(_named(*stretch.caller))
        if caller is not None:
            by_pair[caller, place.get(_named(*stretch.callee), -1)].append(stretch)
    lacking: dict[int, list[tuple[Forgone, int]]] = defaultdict(list)  # missing calls of each trace
    for (caller, callee), found in by_pair.items():
        rows = _without(forms, caller, callee)
        for stretch in found:
            within = rows[(ends[rows] >= stretch.since_unix_nano) & (ends[rows] < stretch.until_unix_nano)]
            for row in within.tolist():
                lacking[int(settled.trace_of[row])].append((stretch, row))
    members: dict[str, Member] = {}
    for trace, missed in lacking.items():
        usual = {stretch.callee: stretch.usual for stretch, _ in missed}
        if float(np.prod(list(usual.values()))) <= _BY_CHANCE_MAX:
            worst, row = max(missed, key=lambda one: one[0].sigma)
            called = " ".join(worst.callee[0])
            reason = f"does not call {called}, as {worst.without} of {worst.spans} did not then"
            span = spans.slice(row, 1).to_pylist()[0]
            members[settled.trace_ids[trace].as_py()] = Member(worst.sigma, reason, span)
    return raised(scores, members)


def _without(forms: SpanForms, caller: int, callee: int) -> IntArray:
    """The spans of an operation that did not call another one."""
    rows = np.flatnonzero(forms.operation_of == caller)
    made = forms.caller[forms.callee == callee]
    return rows[~np.isin(rows, made)]


def _named(operation: Operation, callee: str) -> Operation:
    """An operation as `SpanForms` names it."""
    return operation._replace(operation=f"{operation.operation} {callee}".rstrip())
