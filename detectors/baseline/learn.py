"""From settled spans to sketch rows: pure, columnar, the same for live data and for files.

Flagged samples are kept out; only their number is kept. Nothing is learned from a trace that belongs to an
incident: its unflagged spans were slowed too, only less.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from detectors.baseline.models import Baselines
from detectors.baseline.settled import SettledTraces, learnable
from detectors.baseline.sketch_index import AMOUNT, DELTA_SCHEMA, DURATION, EDGE, SELF_TIME, facets_of
from detectors.baseline.span_forms import form_rows, span_forms
from detectors.stats.seasonality import hour_of_week
from detectors.stats.sketch import bucket_of
from detectors.trace.edges import Edges

_KEYS = [name for name in DELTA_SCHEMA.names if name != "sample_count"]


def learn_times(spans: pa.Table) -> pa.Table:
    """Rows of `DELTA_SCHEMA` for durations, self times, and the time on the edges between services.

    Args:
        spans: columns of `learning/queries/settled_spans.sql`; whole traces. Their `is_new` rows are learned.
    """
    return learn_settled(SettledTraces.of(spans))


def learn_settled(settled: SettledTraces) -> pa.Table:
    """The same rows as `learn_times`, for traces that have been analysed already."""
    spans = settled.spans
    learned = learnable(spans)
    normal = learned & ~spans["flagged"].to_numpy(zero_copy_only=False)
    return pa.concat_tables(
        [
            _deltas(spans, DURATION, spans["duration_ns"].to_numpy(), learned),
            _deltas(spans, SELF_TIME, settled.self_time_ns, learned),
            _edges(spans, settled.edges, normal),
        ]
    )


def learn_traces(settled: SettledTraces, baselines: Baselines) -> None:
    """Learn times and forms of complete, normal traces at once."""
    baselines.add(learn_settled(settled))
    for row in form_rows(span_forms(settled), learnable(settled.spans)):
        baselines.forms.add(row)


def _edges(spans: pa.Table, edges: Edges, normal: npt.NDArray[np.bool_]) -> pa.Table:
    """Samples of the time between a calling operation and each service it calls; learned with the answer."""
    caller, callee = pa.array(edges.caller), pa.array(edges.callee)
    rows = pa.table(
        {
            **{name: spans[name].take(caller) for name in ("service_name", "operation", "span_kind")},
            "facet": spans["service_name"].take(callee),
            "start_unix_nano": spans["start_unix_nano"].take(callee),
            "flagged": pa.repeat(False, len(callee)),
        }
    )
    return _deltas(rows, EDGE, edges.time_ns, normal[edges.callee])


def learn_amounts(amounts: pa.Table, whale_trace_ids: pa.ChunkedArray) -> pa.Table:
    """Rows of `DELTA_SCHEMA` for amounts, each under its side and under its asset as a whole.

    Args:
        amounts: columns of `orders/queries/new_amounts.sql`.
        whale_trace_ids: traces whose amounts stay out.
    """
    parts = []
    known = amounts.filter(pc.invert(pc.is_in(amounts["trace_id"], value_set=whale_trace_ids)))
    for group in (
        known.select(["amount_kind", "asset", "side"])
        .group_by(["amount_kind", "asset", "side"])
        .aggregate([])
        .to_pylist()
    ):
        same = pc.and_(
            pc.and_(
                pc.equal(known["amount_kind"], group["amount_kind"]), pc.equal(known["asset"], group["asset"])
            ),
            pc.equal(known["side"], group["side"]),
        )
        rows = known.filter(same)
        everything = np.ones(rows.num_rows, dtype=bool)
        rows = rows.append_column("flagged", pa.array(np.zeros(rows.num_rows, dtype=bool)))
        facets = facets_of(group["amount_kind"], group["asset"], group["side"])
        parts += [_deltas(rows, AMOUNT, rows["amount"].to_numpy(), everything, facet) for facet in facets]
    return pa.concat_tables(parts) if parts else DELTA_SCHEMA.empty_table()


def _deltas(
    spans: pa.Table,
    measure: str,
    values: npt.NDArray[np.generic],
    chosen: npt.NDArray[np.bool_],
    facet: str = "",
) -> pa.Table:
    rows = pa.array(np.flatnonzero(chosen))
    part = spans.take(rows)
    count = part.num_rows
    table = pa.table(
        {
            "measure": pa.repeat(measure, count),
            "service_name": part["service_name"],
            "operation": part["operation"],
            "span_kind": part["span_kind"],
            "facet": part["facet"] if "facet" in part.column_names else pa.repeat(facet, count),
            "hour_of_week": hour_of_week(part["start_unix_nano"].to_numpy()).astype(np.int16),
            "flagged": part["flagged"],
            "bucket": bucket_of(values[chosen]).astype(np.int32),
        }
    )
    counted = table.group_by(_KEYS).aggregate([([], "count_all")])
    return counted.rename_columns([*_KEYS, "sample_count"]).select(DELTA_SCHEMA.names).cast(DELTA_SCHEMA)
