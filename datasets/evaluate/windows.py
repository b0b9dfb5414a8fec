"""Anomalies of a stretch of time are scored with the case that they fall into.

What has stopped has no span to show: its anomaly points at the last ordinary one. By that span's trace, a
right alarm would count as a false one and its case as missed. So an anomaly that states its own stretch (an
operation that fell silent, a flood, telemetry that stopped) is scored on a trace of the case of which spans
began in at least half of that stretch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_LEAST_SHARE = 0.5  # of the anomaly's stretch


class Window(NamedTuple):
    """When the affected spans of a case began, ns since 1970, and one of their traces."""

    run: str
    since_unix_nano: int
    until_unix_nano: int
    trace_id: str

    @classmethod
    def of(cls, spans: pa.Table, affected: Collection[str]) -> Window | None:
        """
        Args:
            spans: of the case; columns trace_id, run, start_unix_nano.
            affected: its traces; without any, or with none among the spans, None.
        """
        met = spans.filter(pc.is_in(spans["trace_id"], value_set=pa.array(sorted(affected), pa.string())))
        if not met.num_rows:
            return None
        begun = pc.min_max(met["start_unix_nano"]).as_py()
        return cls(met["run"][0].as_py(), begun["min"], begun["max"], met["trace_id"][0].as_py())


def at_cases(anomalies: pa.Table, windows: Iterable[Window]) -> pa.Table:
    """The anomalies, those of a stretch with the trace of the case that they fall into.

    Args:
        anomalies: columns of `queries/replayed_anomalies.sql`, and `run`.
        windows: of the cases.
    """
    since = pc.fill_null(anomalies["window_since_unix_nano"], 0).to_numpy()
    until = pc.fill_null(anomalies["window_until_unix_nano"], 0).to_numpy()
    stated = pc.is_valid(anomalies["window_since_unix_nano"]).to_numpy(zero_copy_only=False)
    runs = anomalies["run"].to_numpy(zero_copy_only=False)
    traces = anomalies["trace_id"].to_numpy(zero_copy_only=False).copy()
    best = np.full(len(traces), _LEAST_SHARE)
    for window in windows:
        inside = np.minimum(until, window.until_unix_nano) - np.maximum(since, window.since_unix_nano)
        share = np.where(stated & (runs == window.run), inside / np.maximum(until - since, 1), 0.0)
        closer = share >= best
        traces[closer], best[closer] = window.trace_id, share[closer]
    place = anomalies.schema.get_field_index("trace_id")
    return anomalies.set_column(place, "trace_id", pa.array(traces, pa.string()))
