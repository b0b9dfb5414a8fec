"""Scores of live alerts: false alerts, and the share of cases that were alerted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from datasets.evaluate.fault_scores import CaseOutcome
from datasets.evaluate.replay import Replayed

_HOUR_S = 3_600.0


def alert_figures(
    replayed: Replayed,
    outcomes: Sequence[CaseOutcome],
    quiet_s: float,
    labels: Mapping[str, bool],
    cases: Sequence[Collection[str]],
) -> dict[str, Any]:
    """Alerts on the judged rows.

    An anomaly is false when its trace is in no case and not labelled anomalous. An incident is false when all
    its anomalies are. Anomalies of metrics have no trace: they are false if their incident is false.

    Args:
        quiet_s: seconds of the test rows with spans of no case; without any, nothing can be false.
        cases: the traces of each.

    Returns:
        false_anomalies_per_hour, false_incidents_per_hour: None without quiet time; cases_alerted,
        cases_in_incident: shares of the cases, None without any; quiet_hours; n: cases.
    """
    judged = replayed.anomalies.filter(pc.equal(replayed.anomalies["split"], "test"))
    wanted = {trace_id for traces in cases for trace_id in traces}
    wanted |= {trace_id for trace_id, anomalous in labels.items() if anomalous}
    right = pc.is_in(judged["trace_id"], value_set=pa.array(sorted(wanted), pa.string()))
    false_count = judged.num_rows - int(pc.sum(right).as_py() or 0)
    opened = set(judged["incident_id"].drop_null().to_pylist())
    founded = set(judged.filter(right)["incident_id"].drop_null().to_pylist())
    hours = quiet_s / _HOUR_S
    count = len(outcomes)
    return {
        "false_anomalies_per_hour": round(false_count / hours, 3) if hours else None,
        "false_incidents_per_hour": round(len(opened - founded) / hours, 3) if hours else None,
        "quiet_hours": round(hours, 4),
        "cases_alerted": round(sum(o.alerted for o in outcomes) / count, 4) if count else None,
        "cases_in_incident": round(sum(o.affected.in_incident for o in outcomes) / count, 4)
        if count
        else None,
        "n": count,
    }
