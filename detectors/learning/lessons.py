"""The result of one pass over settled traces: scores of traces, and learned times and forms.

Traces are scored before they are learned, by the baselines until then.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from detectors.baseline.forms import FormRow
from detectors.baseline.learn import learn_settled
from detectors.baseline.models import Baselines
from detectors.baseline.settled import SettledTraces, learnable
from detectors.baseline.span_forms import call_rows, form_rows, span_forms
from detectors.scoring.stretches import NOTHING_UNUSUAL, Stretches, join_stretches
from detectors.scoring.trace_score import TRACE_SIGMA, score_traces

BoolArray = npt.NDArray[np.bool_]


class Lessons(NamedTuple):
    """times: rows of `sketch_index.DELTA_SCHEMA`; forms: of ordinary traces; unusual: of anomalous ones.

    scores: of traces that were there as a whole, rows of `trace_score.SCORE_SCHEMA`.
    """

    times: pa.Table
    forms: list[FormRow]
    unusual: list[FormRow]
    scores: pa.Table


def learn_and_score(
    spans: pa.Table,
    amounts: pa.Table,
    baselines: Baselines,
    after: int,
    upto: int,
    *,
    stretches: Stretches = NOTHING_UNUSUAL,
) -> Lessons:
    """
    Args:
        stretches: of time in which operations did not fare as usual.
        spans: columns of `queries/settled_spans.sql` of the batches in (after, upto], with all that has
            landed of their traces.
        amounts: columns of `orders/queries/new_amounts.sql` of the same batches.
    """
    settled = SettledTraces.of(spans)
    batch = spans["batch_id"].to_numpy()
    forms = span_forms(settled, batch <= upto)
    scored = join_stretches(score_traces(settled, baselines, forms, amounts), settled, stretches, forms)
    count = len(settled.trace_ids)
    newest = np.zeros(count, dtype=np.int64)
    np.maximum.at(newest, settled.trace_of, batch)
    complete = newest <= upto  # other traces are complete in a later pass
    scores = scored.filter(pa.array(complete))
    chosen = learnable(spans)
    anomalous = (scored["anomaly_sigma"].to_numpy() >= TRACE_SIGMA)[settled.trace_of]
    late = _late(settled, batch, after, upto)
    rows = form_rows(forms, chosen & ~anomalous) + call_rows(forms, late)
    if late.any():
        rows += call_rows(span_forms(settled, batch <= after), late, -1)
    return Lessons(
        learn_settled(settled),
        rows,
        form_rows(forms, chosen & anomalous),
        scores,
    )


def _late(settled: SettledTraces, batch: npt.NDArray[np.int64], after: int, upto: int) -> BoolArray:
    """Which spans were learned before some of what they called had landed."""
    late = np.zeros(len(batch), dtype=np.bool_)
    child = np.flatnonzero((settled.parent >= 0) & (batch > after) & (batch <= upto))
    late[settled.parent[child]] = True
    kept_out = settled.spans["in_incident"].to_numpy(zero_copy_only=False)
    found: BoolArray = late & (batch <= after) & ~kept_out
    return found
