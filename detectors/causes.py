"""Keeps the root causes of open incidents up to date as their traces fill."""

from __future__ import annotations

from typing import Any

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.baseline.models import Baselines
from detectors.detect.anomaly import AMOUNT
from detectors.detection import Detection
from detectors.incident_store import save_incidents
from detectors.incidents import Incident
from detectors.localise import localise_amount, localise_latency

_TRACES_MAX = 100  # newest of an incident; more change no ranking
# Spans of one trace arrive from several processes over some seconds: look again that much later.
_LOOK_AGAIN_S = (0.0, 1.0, 3.0, 10.0)
_PAUSE_S = 1.0  # between two looks at one incident that keeps growing
_REACH_NS = 60_000_000_000  # how far a trace's spans may lie from its anomalies


class CauseFinder:
    """Localises incidents that changed, at once and again while late spans may arrive."""

    def __init__(self, store: Store, baselines: Baselines, detection: Detection) -> None:
        self._store = store
        self._baselines = baselines
        self._detection = detection
        self._changed: set[str] = set()
        self._due_s: dict[str, list[float]] = {}
        self._looked_s: dict[str, float] = {}

    def changed(self, incident_ids: list[str]) -> None:
        self._changed.update(incident_ids)

    def find(self, now_s: float) -> int:
        """Localise what is due; returns how many incidents were written."""
        for incident_id in self._changed:
            self._due_s[incident_id] = [now_s + delay_s for delay_s in _LOOK_AGAIN_S]
        self._changed.clear()
        incidents = self._detection.tracker.open
        due: list[Incident] = []
        for incident_id in list(self._due_s):
            incident = incidents.get(incident_id)
            if incident is None or not incident.anomalies:
                del self._due_s[incident_id]
                continue
            times = self._due_s[incident_id]
            if times[0] > now_s or now_s - self._looked_s.get(incident_id, -_PAUSE_S) < _PAUSE_S:
                continue
            self._due_s[incident_id] = [t for t in times if t > now_s]
            if not self._due_s[incident_id]:
                del self._due_s[incident_id]
            self._looked_s[incident_id] = now_s
            due.append(incident)
        for incident in due:
            self._detection.causes[incident.incident_id] = self._localise(incident)
        if due:
            with self._store.transaction() as con:
                save_incidents(con, due, self._detection.causes)
        return len(due)

    def _localise(self, incident: Incident) -> list[dict[str, Any]]:
        if incident.kind == AMOUNT:
            return localise_amount(list(incident.anomalies))
        spans = self._store.read(
            load_sql("detectors.queries", "incident_spans"),
            {
                "trace_ids": list(incident.traces)[-_TRACES_MAX:],
                "earliest": incident.first_span_unix_nano - _REACH_NS,
                "latest": incident.last_span_unix_nano + _REACH_NS,
            },
        )
        return localise_latency(spans, self._baselines.exclusive_p50_ns)
