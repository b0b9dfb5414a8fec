"""The score of a settled trace: one calibrated p over all tests of its spans, whatever their number.

Times: the p_i of all spans (`span_time`) are combined by their weighted harmonic mean. Each of the k
operations of a trace has the same weight, shared by its m spans, so that 200 calls of a shard count as one
operation:

    p_times = 1 / sum_i (1 / (k m_i p_i))

Forms (`baseline.forms`): t is the least p of all sets of calls, numbers of calls and statuses. These tests
are discrete, so the chance that any of them gives so small a p is at most the sum of the attainable chances:

    p_forms = sum_i below_i(t)

Both are combined, with the larger weight for forms because n samples limit how small p_forms can be,

    p = 1 / (0.4 / p_times + 0.6 / p_forms),   sigma = Phi^-1(1 - p)

In a trace that carries amounts, a tenth of the weight belongs to the largest amount
(`detectors.orders.amount`).

A trace may also belong to a stretch of time in which an operation failed, was slow or lacked calls improbably
often: `detectors.scoring.stretches` then raises its score to that of the stretch.

A trace beyond `TRACE_SIGMA` is anomalous. The number of traces does not change this; alerts account for it.

Sources: harmonic mean p-value (Good 1958; Wilson 2019) with weights (Genovese, Roeder, Wasserman 2006);
discrete tests (Tarone 1990).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import ndtri

from detectors.baseline.forms import UNUSUAL, FormBook
from detectors.baseline.settled import SettledTraces
from detectors.baseline.span_forms import SpanForms, form_chances, span_forms
from detectors.orders.amount import AmountModels, amount_chances
from detectors.orders.amount_columns import SCHEMA as AMOUNTS
from detectors.scoring.span_time import TimeModels, time_chances
from detectors.stats.arrays import FloatArray, IntArray

TRACE_SIGMA = 3.0
_TIMES_WEIGHT, _FORMS_WEIGHT = 0.4, 0.6
_AMOUNTS_WEIGHT = 0.1
_BY_FORM, _BY_AMOUNT = 1, 2
_LEAST_P = 1e-300
_NO_AMOUNTS = AMOUNTS.empty_table()
SCORE_SCHEMA = pa.schema(
    [
        ("trace_id", pa.string()),
        ("start_unix_nano", pa.int64()),
        ("anomaly_sigma", pa.float64()),
        ("times_sigma", pa.float64()),
        ("forms_sigma", pa.float64()),
        ("span_id", pa.string()),
        ("service_name", pa.string()),
        ("operation", pa.string()),
        ("reason", pa.string()),
        ("span_count", pa.int64()),
    ]
)


class Models(TimeModels, AmountModels, Protocol):
    """The part of `detectors.baseline.models.Baselines` that is needed here."""

    forms: FormBook


def score_traces(
    settled: SettledTraces,
    models: Models,
    forms: SpanForms | None = None,
    amounts: pa.Table = _NO_AMOUNTS,
) -> pa.Table:
    """Rows of `SCORE_SCHEMA`, one a trace.

    Args:
        forms: of all their spans, if the caller has computed them.
        amounts: of their spans, columns of `orders/queries/new_amounts.sql`.
    """
    spans, book = settled.spans, models.forms
    if not spans.num_rows:
        return SCORE_SCHEMA.empty_table()
    forms = forms or span_forms(settled)
    start = spans["start_unix_nano"].to_numpy()
    times = time_chances(settled, forms.plain, forms.operation_of, models)
    trace_of, trace_ids = settled.trace_of, settled.trace_ids
    count = len(trace_ids)
    share = _shares(trace_of, forms.operation_of, len(forms.operations), ~np.isnan(times.together))
    weighed = np.where(share > 0, share / np.fmax(np.nan_to_num(times.together, nan=1.0), _LEAST_P), 0.0)
    total = np.bincount(trace_of, weights=weighed, minlength=count)
    p_times = np.maximum(1.0 / np.maximum(total, 1.0), _LEAST_P)
    chance, said, reason = form_chances(forms, book)
    p_forms = _forms_together(trace_of, chance, forms, book, count)
    odds = np.stack([_TIMES_WEIGHT / p_times, _FORMS_WEIGHT / p_forms])
    p_amounts, carries, largest = _amounts_of(amounts, models, trace_ids)
    odds *= np.where(carries, 1.0 - _AMOUNTS_WEIGHT, 1.0)
    odds = np.vstack([odds, np.where(carries, _AMOUNTS_WEIGHT / p_amounts, 0.0)])
    p = 1.0 / odds.sum(axis=0)
    strongest = odds.argmax(axis=0)
    row = np.where(strongest == _BY_FORM, _best(trace_of, -chance, count), _best(trace_of, weighed, count))
    place = pa.array(row)
    shown = {name: spans[name].take(place).to_numpy() for name in ("span_id", "service_name", "operation")}
    # A span without children has one time: its duration.
    each = np.nan_to_num(np.stack([times.duration, times.self_time, times.edge]), nan=1.0)[:, row]
    shown["reason"] = np.array(["duration", "self time", "time to the callee"], dtype=object)[
        each.argmin(axis=0)
    ]
    for trace in np.flatnonzero(strongest == _BY_FORM).tolist():
        shown["reason"][trace] = said[reason[row[trace]]]
    for trace in np.flatnonzero(strongest == _BY_AMOUNT).tolist():
        found = amounts.slice(int(largest[trace]), 1).to_pylist()[0]
        shown["reason"][trace] = f"{found['attribute']} {found['amount']:g} {found['asset']}"
        for name in ("span_id", "service_name", "operation"):
            shown[name][trace] = found[name]
    first = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(first, trace_of, start)
    return pa.table(
        {
            "trace_id": trace_ids,
            "start_unix_nano": first,
            "anomaly_sigma": _sigma(p),
            "times_sigma": _sigma(p_times),
            "forms_sigma": _sigma(p_forms),
            **{name: pa.array(values, pa.string()) for name, values in shown.items()},
            "span_count": np.bincount(trace_of, minlength=count),
        },
        schema=SCORE_SCHEMA,
    )


def _amounts_of(
    amounts: pa.Table, models: AmountModels, trace_ids: pa.Array
) -> tuple[FloatArray, npt.NDArray[np.bool_], IntArray]:
    """For each trace: (p of its amounts, whether it carries any, the row of the most unusual one)."""
    count = len(trace_ids)
    p, largest = np.ones(count), np.zeros(count, dtype=np.int64)
    if not amounts.num_rows:
        return p, np.zeros(count, dtype=np.bool_), largest
    chances = np.maximum(amount_chances(amounts, models), _LEAST_P)
    of_trace = pc.fill_null(pc.index_in(amounts["trace_id"], value_set=trace_ids), -1).to_numpy()
    rows = np.flatnonzero(of_trace >= 0)
    owner = of_trace[rows].astype(np.int64)
    members = np.bincount(owner, minlength=count)
    odds = np.bincount(owner, weights=1.0 / chances[rows], minlength=count)
    carries = members > 0
    p[carries] = members[carries] / odds[carries]
    if len(rows):
        largest[carries] = rows[_best(owner, -chances[rows], count)[carries]]
    return p, carries, largest


def _shares(
    trace_of: IntArray, operation_of: IntArray, operation_count: int, judged: npt.NDArray[np.bool_]
) -> FloatArray:
    """The weight of each span in its trace; 0 for a span without a test."""
    found = np.zeros(len(trace_of))
    rows = np.flatnonzero(judged)
    if not len(rows):
        return found
    subject, which, members = np.unique(
        trace_of[rows] * operation_count + operation_of[rows], return_inverse=True, return_counts=True
    )
    subjects = np.bincount(subject // operation_count, minlength=int(trace_of.max()) + 1)
    found[rows] = 1.0 / (subjects[trace_of[rows]] * members[which])
    return found


def _forms_together(
    trace_of: IntArray, chance: FloatArray, forms: SpanForms, book: FormBook, count: int
) -> FloatArray:
    """p of the forms of each trace."""
    least = np.ones(count)
    np.minimum.at(least, trace_of, chance)
    found = np.ones(count)
    suspects = np.flatnonzero(least <= UNUSUAL)
    if not len(suspects):
        return found
    held = np.flatnonzero(np.isin(trace_of, suspects))
    size = len(forms.operations)
    subjects, members = np.unique(trace_of[held] * size + forms.operation_of[held], return_counts=True)
    sums = np.zeros(count)
    for subject, number in zip(subjects.tolist(), members.tolist(), strict=True):
        trace, operation = divmod(subject, size)
        sums[trace] += number * book.below(forms.operations[operation], float(least[trace]))
    found[suspects] = np.clip(np.maximum(sums[suspects], least[suspects]), _LEAST_P, 1.0)
    return found


def _best(trace_of: IntArray, score: FloatArray, count: int) -> IntArray:
    """The row of the largest score of each trace."""
    order = np.lexsort((score, trace_of))
    ends = np.searchsorted(trace_of[order], np.arange(count), side="right") - 1
    return np.asarray(order[ends], dtype=np.int64)


def _sigma(p: FloatArray) -> FloatArray:
    return np.asarray(-ndtri(np.clip(p, _LEAST_P, 1.0 - 1e-12)), dtype=np.float64)
