"""Whole traces for learning and scoring: relatives and self times, computed once for both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from detectors.stats.arrays import IntArray
from detectors.trace.analysis import analyse_trace
from detectors.trace.edges import Edges
from detectors.trace.self_time import NO_PARENT


@dataclass(frozen=True, slots=True)
class SettledTraces:
    """Some spans, and figures of their traces aligned with them.

    spans: columns of `learning/queries/settled_spans.sql`.
    parent: index of each span's parent, -1 without one; trace_of: index of each span's trace in `trace_ids`;
    whole: whether no span of the trace is missing, for each trace.
    """

    spans: pa.Table
    parent: IntArray
    edges: Edges
    self_time_ns: IntArray
    trace_ids: pa.Array
    trace_of: IntArray
    whole: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, spans: pa.Table) -> SettledTraces:
        found = analyse_trace(spans)
        parent = found.parent
        trace_ids, trace_of = _codes(spans["trace_id"])
        top = parent == NO_PARENT
        lost = top & spans["parent_span_id"].is_valid().to_numpy(zero_copy_only=False)
        tops = np.bincount(trace_of[top], minlength=len(trace_ids))
        losses = np.bincount(trace_of[lost], minlength=len(trace_ids))
        # If the only top span names a parent, it is a root whose caller is not traced here.
        whole = (tops <= 1) | (losses == 0)
        return cls(spans, parent, found.edges, found.self_time_ns, trace_ids, trace_of, whole)


def _codes(column: pa.ChunkedArray) -> tuple[pa.Array, IntArray]:
    """(distinct values, the index of each row's value)."""
    rows = column.combine_chunks()
    if isinstance(rows, pa.ChunkedArray):  # an empty column stays chunked
        rows = pa.concat_arrays(rows.chunks)
    encoded = rows.dictionary_encode()
    return encoded.dictionary, np.asarray(encoded.indices.to_numpy(), dtype=np.int64)


def learnable(spans: pa.Table) -> npt.NDArray[np.bool_]:
    """Which rows are new and in no incident."""
    chosen: npt.NDArray[np.bool_] = pc.and_(spans["is_new"], pc.invert(spans["in_incident"])).to_numpy(
        zero_copy_only=False
    )
    return chosen
