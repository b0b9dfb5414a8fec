"""False alarms: on ordinary traces, and while a control changed something."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from datasets.evaluate.controls import Control

_SHOWN = 10  # anomalies of one control that are written out


def false_alarms(
    anomalies: pa.Table, incidents: pa.Table, labels: Mapping[str, bool], controls: Sequence[Control]
) -> dict[str, Any]:
    """Anomalies on traces that are labelled as ordinary, and the incidents that hold no others.

    Args:
        anomalies, incidents: of `datasets.evaluate.replay.Replayed`.
        labels: whether a trace is anomalous.
        controls: changes that are no faults.
    """
    ordinary = pa.array([trace_id for trace_id, anomalous in labels.items() if not anomalous], pa.string())
    wrong = anomalies.filter(pc.is_in(anomalies["trace_id"], value_set=ordinary))
    right = anomalies.filter(pc.invert(pc.is_in(anomalies["trace_id"], value_set=ordinary)))
    groundless = incidents.filter(
        pc.and_(
            pc.is_in(incidents["incident_id"], value_set=wrong["incident_id"].unique()),
            pc.invert(pc.is_in(incidents["incident_id"], value_set=right["incident_id"].unique())),
        )
    )
    return {
        "ordinary_traces": len(ordinary),
        "flagged_traces": pc.count_distinct(wrong["trace_id"]).as_py(),
        "fired": _fired(wrong),
        "incidents": _titles(groundless),
        "controls": [_control(control, wrong, groundless) for control in controls],
    }


def _control(control: Control, wrong: pa.Table, groundless: pa.Table) -> dict[str, Any]:
    within = wrong.filter(control.covers(wrong["start_unix_nano"], wrong["run"]))
    opened = groundless.filter(control.covers(groundless["first_span_unix_nano"], groundless["run"]))
    shown = within.select(["fired", "severity", "service_name", "operation", "text"]).slice(0, _SHOWN)
    return {
        "control": control.name,
        "fired": _fired(within),
        "anomalies": shown.to_pylist(),
        "incidents": _titles(opened),
    }


def _fired(anomalies: pa.Table) -> dict[str, int]:
    """`detector rule SEVn` → how many."""
    kinds = zip(anomalies["fired"].to_pylist(), anomalies["severity"].to_pylist(), strict=True)
    return dict(Counter(f"{fired} SEV{severity}" for fired, severity in kinds).most_common())


def _titles(incidents: pa.Table) -> list[str]:
    return [f"SEV{row['severity']} {row['kind']}: {row['title']}" for row in incidents.to_pylist()]
