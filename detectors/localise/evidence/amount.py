"""An amount's cause is where it entered: the topmost span that carries it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from detectors.localise.evidence.finding import EVIDENCE_MAX, Finding, Scores, evidence
from detectors.localise.rank import ranked_causes
from detectors.model.anomaly import Anomaly
from detectors.model.text import amount_text


def localise_amount(whales: Sequence[Anomaly]) -> list[dict[str, Any]]:
    """Causes of an incident of whales, best first."""
    scores = Scores()
    by_operation: dict[tuple[str, str], list[Anomaly]] = defaultdict(list)
    for whale in whales:
        by_operation[whale.service_name, whale.operation].append(whale)
    for (service, operation), found in by_operation.items():
        share = len(found) / len(whales)
        scores.services[service] += share
        scores.add((service, operation), Finding(share, "amount", [_item(a) for a in _worst(found)]))
    return ranked_causes({"amount": scores}, weights={"amount": 1.0}, shares=dict(scores.services))


def _worst(whales: list[Anomaly]) -> list[Anomaly]:
    return sorted(whales, key=lambda a: -a.sigma)[:EVIDENCE_MAX]


def _item(whale: Anomaly) -> dict[str, Any]:
    return evidence(
        "amount",
        {"trace_id": whale.trace_id, "span_id": whale.span_id},
        f"{whale.details['attribute']} was {amount_text(whale.observed, whale.unit)}, "
        f"usually {amount_text(whale.expected, whale.unit)}",
        observed=whale.observed,
        expected=whale.expected,
        unit=whale.unit,
    )
