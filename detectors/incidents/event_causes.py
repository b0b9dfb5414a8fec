"""The causes of an incident of events (spans that stopped, a market that moved): where they happened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from detectors.incidents.incident import Incident
from detectors.localise import localise_amount
from detectors.localise.evidence.finding import EVIDENCE_MAX, Finding, Scores, evidence
from detectors.localise.rank import ranked_causes
from detectors.model.anomaly import AMOUNT, STOPPED, Anomaly


def causes_of_events(incident: Incident) -> list[dict[str, Any]]:
    """Causes of an incident that an event opened, best first: they follow from its anomalies."""
    if any(event.details.get("rule") == STOPPED for event in incident.anomalies):
        return []  # all of it stopped: the span that shows it is only the newest
    localise_kind = localise_amount if incident.kind == AMOUNT else localise_events
    return localise_kind(list(incident.anomalies))


def localise_events(events: Sequence[Anomaly]) -> list[dict[str, Any]]:
    """Causes, best first, scored by their share of all that was lost or moved."""
    scores = Scores()
    by_operation: dict[tuple[str, str], list[Anomaly]] = defaultdict(list)
    for event in events:
        by_operation[event.service_name, event.operation].append(event)
    whole = sum(_weight(event) for event in events)
    for (service, operation), found in by_operation.items():
        share = sum(_weight(event) for event in found) / whole
        scores.services[service] += share
        worst = sorted(found, key=lambda a: -a.sigma)[:EVIDENCE_MAX]
        scores.add((service, operation), Finding(share, found[0].detector, [_item(a) for a in worst]))
    kind = events[0].detector
    return ranked_causes({kind: scores}, weights={kind: 1.0}, shares={})


def _weight(event: Anomaly) -> float:
    return max(abs(event.observed - event.expected), 1e-9)


def _item(event: Anomaly) -> dict[str, Any]:
    return evidence(
        event.detector,
        {"trace_id": event.trace_id, "span_id": event.span_id},
        event.text,
        observed=event.observed,
        expected=event.expected,
        unit=event.unit,
    )
