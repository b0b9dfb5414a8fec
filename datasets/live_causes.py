"""What an engineer would have been told of a case: the causes of the incident that live detection opened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detectors.detect.anomaly import EVENTS
from detectors.event_causes import causes_of_events
from detectors.incidents import Incident

Cause = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Raised:
    """An incident of a replay.

    causes: rows of `root_causes`, best first, where they follow from its anomalies alone (whales, a market
        that moved, silence); None where they follow from its traces.
    """

    severity: int
    first_span_unix_nano: int
    traces: frozenset[str]
    causes: Sequence[Cause] | None


def raised(incident: Incident) -> Raised:
    """What evaluation needs of an incident."""
    causes = causes_of_events(incident) if incident.kind in EVENTS else None
    traces = frozenset(anomaly.trace_id for anomaly in incident.anomalies)
    return Raised(incident.severity, incident.first_span_unix_nano, traces, causes)


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
