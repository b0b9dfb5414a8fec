"""The demo's verdict: Spyhop's findings against the exchange's labels, which no span carries."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NANOSECONDS_PER_SECOND = 1_000_000_000
# A chance latency outlier on a whale's trace must not pass for the whale.
DETECTORS_OF_FAULT = {"db_slow": frozenset({"latency"}), "whale_order": frozenset({"amount"})}


@dataclass(frozen=True)
class Flagged:
    """The fields of an anomaly that the verdict needs."""

    detector: str
    trace_id: str
    detected_unix_nano: int
    incident_id: str | None


@dataclass(frozen=True)
class Verdict:
    """The result for one injected fault."""

    kind: str
    root_service: str
    detected: bool
    localised: bool
    detection_delay_s: float | None
    incident_id: str | None

    def public(self) -> dict[str, object]:
        return {
            "kind": self.kind,
            "root_service": self.root_service,
            "detected": self.detected,
            "localised": self.localised,
            "detection_delay_s": self.detection_delay_s,
        }


def read_labels(path: Path) -> list[dict[str, Any]]:
    """The labels of all faults that have ended; none when the file is not there."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def judge(
    labels: Iterable[Mapping[str, Any]],
    flagged: Sequence[Flagged],
    first_cause: Mapping[str, str],
) -> list[Verdict]:
    """One verdict for each label.

    A fault is detected when a trace that it touched is flagged by a detector of that fault's kind; the
    delay runs from its start to the first such anomaly. It is localised when the incident that groups
    those anomalies names the root service first.

    Args:
        labels: the exchange's labels (`kind`, `root_service`, `start_unix_nano`, `trace_ids`).
        flagged: every anomaly.
        first_cause: incident id → service of its first-ranked root cause.
    """
    return [_judge_one(label, flagged, first_cause) for label in labels]


def _judge_one(
    label: Mapping[str, Any], flagged: Sequence[Flagged], first_cause: Mapping[str, str]
) -> Verdict:
    touched = set(label["trace_ids"])
    hits = [
        anomaly
        for anomaly in flagged
        if anomaly.trace_id in touched and _fits(str(label["kind"]), anomaly.detector)
    ]
    incidents = [anomaly.incident_id for anomaly in hits if anomaly.incident_id]
    incident_id = max(set(incidents), key=incidents.count) if incidents else None
    root_service = str(label["root_service"])
    delay_s = None
    if hits:
        first = min(anomaly.detected_unix_nano for anomaly in hits)
        delay_s = round((first - int(label["start_unix_nano"])) / NANOSECONDS_PER_SECOND, 3)
    return Verdict(
        kind=str(label["kind"]),
        root_service=root_service,
        detected=bool(hits),
        localised=incident_id is not None and first_cause.get(incident_id) == root_service,
        detection_delay_s=delay_s,
        incident_id=incident_id,
    )


def _fits(fault_kind: str, detector: str) -> bool:
    expected = DETECTORS_OF_FAULT.get(fault_kind)
    return expected is None or detector in expected
