"""The causes of the incident that live detection opens in a case."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from detectors.incidents.event_causes import causes_of_events
from detectors.incidents.incident import Incident
from detectors.model.anomaly import METRIC, STOPPED
from detectors.model.roles import Role, detectors_of

Cause = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Raised:
    """An incident of a replay.

    causes: rows of `root_causes`, best first, where they follow from its anomalies alone (whales, a market
        that moved, silence); None where they follow from its traces.
    is_stop: all telemetry stopped.
    """

    severity: int
    first_span_unix_nano: int
    traces: frozenset[str]
    causes: Sequence[Cause] | None
    is_stop: bool = False


def raised(incident: Incident) -> Raised:
    """The fields of an incident that evaluation needs."""
    causes = causes_of_events(incident) if incident.kind in detectors_of(Role.EVENT) else None
    traces = frozenset(anomaly.trace_id for anomaly in incident.anomalies)
    is_stop = any(anomaly.details.get("rule") == STOPPED for anomaly in incident.anomalies)
    return Raised(incident.severity, incident.first_span_unix_nano, traces, causes, is_stop)


def moved_metrics(anomalies: pa.Table, case: pa.Table) -> pa.Table:
    """The metrics that moved while a case's spans began; columns `metrics.METRIC_COLUMNS`.

    Args:
        anomalies: of `datasets.evaluate.replay.Replayed`.
        case: columns `run` and `start_unix_nano` of at least one span.
    """
    begun = pc.min_max(case["start_unix_nano"]).as_py()
    within = pc.and_(
        pc.less_equal(anomalies["since_unix_nano"], begun["max"]),
        pc.greater_equal(anomalies["until_unix_nano"], begun["min"]),
    )
    same = pc.is_in(anomalies["run"], value_set=pc.unique(case["run"]))
    of_metrics = pc.and_(pc.equal(anomalies["detector"], METRIC), same)
    found = anomalies.filter(pc.fill_null(pc.and_(of_metrics, within), False))
    return found.rename_columns({"operation": "metric_name"})


def as_live(incidents: Iterable[Raised], traces: Iterable[str], ranking: Sequence[Cause]) -> list[Cause]:
    """The ranking that the worst incident on these traces leads to, `ranking` where it follows from traces.

    Services that the incident's own causes do not name come after them, in the order of `ranking`.

    >>> whale = Raised(1, 0, frozenset({"t"}), [{"service": "wallet", "rank": 1}])
    >>> slow = Raised(2, 0, frozenset({"t"}), None)
    >>> [cause["service"] for cause in as_live([slow, whale], ["t"], [{"service": "db", "rank": 1}])]
    ['wallet', 'db']
    >>> as_live([slow, whale], ["u"], [{"service": "db", "rank": 1}])
    [{'service': 'db', 'rank': 1}]
    """
    wanted = set(traces)
    worst = min(
        (incident for incident in incidents if incident.traces & wanted),
        key=lambda i: (i.severity, i.causes is not None, i.first_span_unix_nano),
        default=None,
    )
    if worst is None or worst.causes is None:
        return list(ranking)
    named = {cause["service"] for cause in worst.causes}
    merged: list[Mapping[str, Any]] = [*worst.causes, *(c for c in ranking if c["service"] not in named)]
    return [{**cause, "rank": place} for place, cause in enumerate(merged, start=1)]
