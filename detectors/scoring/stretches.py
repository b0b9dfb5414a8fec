"""Joins traces to stretches of time in which an operation behaved unusually, of any kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from detectors.baseline.settled import SettledTraces
from detectors.baseline.span_forms import SpanForms, span_forms
from detectors.scoring.failed import join_failed
from detectors.scoring.forgone import join_forgone
from detectors.scoring.slowed import join_slowed
from detectors.spans.error_rate import Erroneous
from detectors.spans.missing_calls import Forgone
from detectors.spans.slow_stretches import Slowed


class Stretches(NamedTuple):
    """Stretches in which operations failed improbably often, made calls improbably seldom, or were slow."""

    erroneous: Sequence[Erroneous] = ()
    forgone: Sequence[Forgone] = ()
    slowed: Sequence[Slowed] = ()


NOTHING_UNUSUAL = Stretches()


def join_stretches(
    scores: pa.Table, settled: SettledTraces, stretches: Stretches, forms: SpanForms | None = None
) -> pa.Table:
    """The scores of traces, raised to those of the stretches that their spans belong to.

    Args:
        scores: `trace_score.score_traces` of these traces; it may contain other traces.
        forms: of all their spans, if the caller has computed them.
    """
    scores = join_failed(scores, settled.spans, stretches.erroneous)
    scores = join_slowed(scores, settled.spans, stretches.slowed)
    if not stretches.forgone:
        return scores
    return join_forgone(scores, settled, forms or span_forms(settled), stretches.forgone)
