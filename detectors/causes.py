"""Keeps the root causes of open incidents up to date as their traces fill."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.baseline.models import Baselines
from detectors.detect.anomaly import EVENTS
from detectors.detection import Detection
from detectors.difference_store import save_differences
from detectors.event_causes import causes_of_events
from detectors.incident_store import save_incidents
from detectors.incidents import Incident
from detectors.localise import USUAL_TRACES_MAX, Analysis, Usual, analyse

_QUERIES = "detectors.queries"
_TRACES_MAX = 100  # newest of an incident; more change no ranking
# Spans of one trace arrive from several processes over some seconds: look again that much later.
_LOOK_AGAIN_S = (0.0, 1.0, 3.0, 10.0)
_PAUSE_S = 1.0  # between two looks at one incident that keeps growing
# Detection waits meanwhile: on a busy machine a look took 2.5 s, and one a second let every span wait 3 s.
_PAUSE_LOOKS = 5.0  # times as long as the last look took
_USUAL_WITHIN_NS = 900_000_000_000  # usual traces are of the quarter of an hour before the incident
_REACH_NS = 60_000_000_000  # how far a trace's spans may lie from its anomalies


class CauseFinder:
    """Localises incidents that changed, at once and again while late spans may arrive."""

    def __init__(
        self,
        store: Store,
        baselines: Baselines,
        detection: Detection,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._baselines = baselines
        self._detection = detection
        self._changed: set[str] = set()
        self._due_s: dict[str, list[float]] = {}
        self._monotonic_s = monotonic_s
        self._looked_s: dict[str, float] = {}
        self._took_s: dict[str, float] = {}  # the last look at each incident
        self._usual: dict[str, Usual] = {}  # by incident; what was before it does not change

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
                self._usual.pop(incident_id, None)
                self._took_s.pop(incident_id, None)
                continue
            times = self._due_s[incident_id]
            pause_s = max(_PAUSE_S, _PAUSE_LOOKS * self._took_s.get(incident_id, 0.0))
            if times[0] > now_s or now_s - self._looked_s.get(incident_id, -pause_s) < pause_s:
                continue
            self._due_s[incident_id] = [t for t in times if t > now_s]
            if not self._due_s[incident_id]:
                del self._due_s[incident_id]
            self._looked_s[incident_id] = now_s
            due.append(incident)
        found: dict[str, Analysis] = {}
        for incident in due:
            began_s = self._monotonic_s()
            found[incident.incident_id] = self._analyse(incident)
            self._took_s[incident.incident_id] = self._monotonic_s() - began_s
        self._detection.causes |= {incident_id: analysis.causes for incident_id, analysis in found.items()}
        if due:
            with self._store.transaction() as con:
                save_incidents(con, due, self._detection.causes)
                save_differences(con, {incident_id: a.differences for incident_id, a in found.items()})
        return len(due)

    def _analyse(self, incident: Incident) -> Analysis:
        if incident.kind in EVENTS:
            return Analysis(causes_of_events(incident), [])
        traces = {
            "trace_ids": list(incident.traces)[-_TRACES_MAX:],
            "earliest": incident.first_span_unix_nano - _REACH_NS,
            "latest": incident.last_span_unix_nano + _REACH_NS,
        }
        spans = self._store.read(load_sql(_QUERIES, "incident_spans"), traces)
        logs = self._store.read(load_sql(_QUERIES, "incident_logs"), traces)
        attributes = self._store.read(load_sql(_QUERIES, "incident_attributes"), traces)
        return analyse(spans, self._usual_before(incident, traces), logs, attributes)

    def _usual_before(self, incident: Incident, traces: dict[str, Any]) -> Usual:
        known = self._usual.get(incident.incident_id)
        if known is not None:
            return known
        begin, end = incident.first_span_unix_nano - _USUAL_WITHIN_NS, incident.first_span_unix_nano
        chosen = self._store.read(
            load_sql(_QUERIES, "usual_traces"),
            {**traces, "begin": begin, "end": end, "limit": USUAL_TRACES_MAX},
        )
        usual = {
            "trace_ids": chosen["trace_id"].to_pylist(),
            "earliest": begin - _REACH_NS,
            "latest": end + _REACH_NS,
        }
        found = Usual(
            self._baselines.exclusive,
            self._baselines.edge,
            self._store.read(load_sql(_QUERIES, "incident_spans"), usual),
            self._store.read(load_sql(_QUERIES, "incident_logs"), usual),
            self._store.read(load_sql(_QUERIES, "incident_attributes"), usual),
        )
        if chosen.num_rows:
            self._usual[incident.incident_id] = found
        return found
