"""Traces that belong to a stretch of time in which an operation did not fare as usual, of whatever kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from detectors.baseline.settled import SettledTraces
from detectors.baseline.span_forms import SpanForms, span_forms
from detectors.scoring.forgone import join_forgone
from detectors.scoring.slowed import join_slowed
from detectors.scoring.trace_score import join_errors
from detectors.spans.error_rate import Erroneous
from detectors.spans.missing_calls import Forgone
from detectors.spans.slow_stretches import Slowed


class Stretches(NamedTuple):
    """When operations failed improbably often, made calls improbably seldom, were improbably slow."""

    erroneous: Sequence[Erroneous] = ()
    forgone: Sequence[Forgone] = ()
    slowed: Sequence[Slowed] = ()


NOTHING_UNUSUAL = Stretches()


def join_stretches(
    scores: pa.Table, settled: SettledTraces, stretches: Stretches, forms: SpanForms | None = None
) -> pa.Table:
    """The scores of traces, those at least as unusual as what their spans belong to.

    Args:
        scores: `trace_score.score_traces` of these traces, and maybe of others.
        forms: of all their spans, where the caller has them.
    """
    scores = join_errors(scores, settled.spans, stretches.erroneous)
    scores = join_slowed(scores, settled.spans, stretches.slowed)
    if not stretches.forgone:
        return scores
    return join_forgone(scores, settled, forms or span_forms(settled), stretches.forgone)
