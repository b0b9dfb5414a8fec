"""A stored trace for the trace view: tree order, critical path, each span against its baseline."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from collector.errors import NotFound
from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.baseline.models import Baselines
from detectors.stats.arrays import IntArray
from detectors.stats.seasonality import hour_of_week
from detectors.trace.analysis import analyse_trace, message_waits
from detectors.trace.self_time import NO_PARENT
from detectors.trace.tree import build_tree

# Of a larger trace the answer holds what failed or is anomalous, then the longest, and says `truncated`.
SPANS_MAX = 10_000
_EMPTY = (None, "", "{}", "[]")
_UNKNOWN: dict[str, Any] = {"baseline": None, "excess_ns": None, "percentile": None, "sigma": None}


def load_trace_view(
    store: Store, baselines: Baselines, trace_id: str, *, spans_max: int = SPANS_MAX
) -> dict[str, Any]:
    """The answer of `GET /api/monitor/trace/{trace_id}`.

    Raises:
        NotFound: no span of this trace is stored.
    """
    spans = store.read(
        load_sql("detectors.api.queries", "trace_spans"), {"trace_id": trace_id, "limit": spans_max}
    )
    if not spans.num_rows:
        raise NotFound(
            f"no trace {trace_id!r} is stored",
            hint="give its 32 hexadecimal digits, or wait until it has landed",
        )
    span_count = spans["span_count"][0].as_py()
    return {
        "trace_id": trace_id,
        **describe_trace(spans, baselines),
        "truncated": span_count > spans.num_rows,
        "span_count": span_count,
    }


def describe_trace(spans: pa.Table, baselines: Baselines) -> dict[str, Any]:
    """Spans in tree order with their figures; `spans` as from `queries/trace_spans.sql`.

    `offset_ns` and the trace's `duration_ns` are on one clock (`detectors.trace.clocks`); `clock_ahead_ns` is
    how much later a span's own `start_unix_nano` says that it began.
    """
    tree = build_tree(spans)
    start, duration = spans["start_unix_nano"].to_numpy(), spans["duration_ns"].to_numpy()
    found = analyse_trace(spans, tree.parent)
    root = max(tree.roots, key=lambda i: duration[i])
    path = found.critical_path(root)
    begun = found.aligned_starts()
    messages = message_waits(spans, tree.parent)
    waits = dict(zip(messages.consumer.tolist(), messages.wait_ns.tolist(), strict=True))
    on_path = set(path)
    begin, end = int(begun.min()), int((begun + duration).max())
    hours = hour_of_week(start)
    rows = spans.drop_columns(
        ["operation", "trace_id", "span_count", "linked_trace_id", "linked_span_id"]
    ).to_pylist()
    operations = spans["operation"].to_pylist()
    compared = _compare(rows, operations, hours, baselines)
    described = []
    for i in tree.order:
        row, parent = rows[i], int(tree.parent[i])
        described.append(
            {
                **row,
                "start_unix_nano": str(row["start_unix_nano"]),  # JSON numbers lose digits beyond 2^53
                "offset_ns": int(begun[i]) - begin,
                "clock_ahead_ns": int(start[i] - begun[i]),
                "self_time_ns": int(found.self_time_ns[i]),
                "exclusive_ns": int(found.self_time_ns[i]),  # its name until schema version 6
                "message_wait_ns": waits.get(i),
                "attributes": json.loads(row["attributes"]) if row["attributes"] not in _EMPTY else {},
                "events": json.loads(row["events"]) if row["events"] not in _EMPTY else [],
                "depth": tree.depth[i],
                "on_critical_path": i in on_path,
                "orphan": tree.orphan[i],
                "outlives_parent": parent != NO_PARENT
                and bool(begun[i] + duration[i] > begun[parent] + duration[parent]),
                **compared[i],
            }
        )
    return {
        "spans": described,
        "critical_path": [rows[i]["span_id"] for i in path],
        "duration_ns": end - begin,
        "services": sorted({row["service_name"] for row in rows}),
    }


def _compare(
    rows: Sequence[Mapping[str, Any]], operations: Sequence[str], hours: IntArray, baselines: Baselines
) -> list[dict[str, Any]]:
    """Each span against its operation's baseline, all spans of one operation and hour at once."""
    alike: dict[tuple[str, str, str, int], list[int]] = {}
    for i, (row, operation, hour) in enumerate(zip(rows, operations, hours.tolist(), strict=True)):
        alike.setdefault((row["service_name"], operation, row["span_kind"], hour), []).append(i)
    compared: list[dict[str, Any]] = [_UNKNOWN] * len(rows)
    for key, places in alike.items():
        model = baselines.duration(*key)
        if model is None:
            continue
        tail = model.tail
        baseline = {
            "p50_ns": tail.p50,
            "p99_ns": tail.quantile(0.99),
            "sample_count": tail.sample_count,
            "cell": model.cell,
        }
        duration_ns = [rows[i]["duration_ns"] for i in places]
        percentile = 100 * (1 - tail.survival(duration_ns))
        sigma = tail.sigma(duration_ns)
        for i, percent, deviation in zip(places, percentile.tolist(), sigma.tolist(), strict=True):
            compared[i] = {
                "baseline": baseline,
                "excess_ns": rows[i]["duration_ns"] - tail.p50,
                "percentile": percent,
                "sigma": deviation,
            }
    return compared
