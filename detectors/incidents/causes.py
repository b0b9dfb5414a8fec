"""Keeps the root causes of open incidents up to date as their traces fill."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.baseline.models import Baselines
from detectors.incidents.event_causes import causes_of_events
from detectors.incidents.incident import Incident
from detectors.localise import USUAL_TRACES_MAX, Analysis, Usual, analyse
from detectors.model.roles import Role, detectors_of

_QUERIES = "detectors.incidents.queries"
_TRACES_MAX = 100  # of an incident; more change no ranking
# Spans of one trace arrive from several processes over some seconds: look again that much later.
_LOOK_AGAIN_S = (0.0, 1.0, 3.0, 10.0)
_PAUSE_S = 1.0  # between two looks at an incident that grows
_PAUSE_LOOKS = 5.0  # a pause is this many times as long as the last look
_USUAL_WITHIN_NS = 900_000_000_000  # usual traces are of the quarter of an hour before the incident
_REACH_NS = 60_000_000_000  # how far a trace's spans may lie from its anomalies
# (a snapshot of an incident, its analysis) → whether it was stored.
Record = Callable[[Incident, Analysis], bool]


@dataclass(slots=True)
class _Watched:
    """An incident as it was last stored, and when to look at it."""

    incident: Incident
    due_s: list[float] = field(default_factory=list)
    looked_s: float = -math.inf
    took_s: float = 0.0
    usual: Usual | None = None  # the time before an incident does not change

    def next_s(self) -> float:
        """When the next look at it may begin; +inf: never."""
        if not self.due_s:
            return math.inf
        return max(self.due_s[0], self.looked_s + max(_PAUSE_S, _PAUSE_LOOKS * self.took_s))


class CauseFinder:
    """Localises incidents that changed, at once and again while late spans may arrive.

    Thread-safe: detection hands over what it has stored, whoever calls `look` or `find` waits for the work.
    """

    def __init__(
        self,
        store: Store,
        baselines: Baselines,
        record: Record,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._baselines = baselines
        self._record = record
        self._monotonic_s = monotonic_s
        self._watched: dict[str, _Watched] = {}
        self._lock = threading.Lock()

    def changed(self, incidents: Iterable[Incident], now_s: float) -> None:
        """Take snapshots of incidents that are new or have grown; nobody else may change them."""
        with self._lock:
            for incident in incidents:
                if not incident.anomalies:  # of a former run: nothing is known of it yet
                    continue
                watched = self._watched.setdefault(incident.incident_id, _Watched(incident))
                watched.incident = incident
                watched.due_s = [now_s + delay_s for delay_s in _LOOK_AGAIN_S]

    def ended(self, incident_ids: Iterable[str]) -> None:
        with self._lock:
            for incident_id in incident_ids:
                self._watched.pop(incident_id, None)

    def next_s(self) -> float:
        """When the next look is due, on the clock; +inf for never."""
        with self._lock:
            return min((watched.next_s() for watched in self._watched.values()), default=math.inf)

    def find(self, now_s: float) -> int:
        """Look at all that is due now; returns how many incidents were written."""
        count = 0
        while self.look(now_s):
            count += 1
        return count

    def look(self, now_s: float, *, first_only: bool = False) -> bool:
        """Look at the one incident that needs it most, if any does: never seen first, then by age.

        Args:
            first_only: leave out those that were looked at before.
        """
        watched = self._take(now_s, first_only=first_only)
        if watched is None:
            return False
        incident = watched.incident
        began_s = self._monotonic_s()
        try:
            self._record(incident, self.analyse(incident, watched))
        finally:
            watched.took_s = self._monotonic_s() - began_s
        return True

    def _take(self, now_s: float, *, first_only: bool) -> _Watched | None:
        with self._lock:
            due = [w for w in self._watched.values() if w.next_s() <= now_s]
            if first_only:
                due = [w for w in due if w.looked_s == -math.inf]
            if not due:
                return None
            chosen = min(due, key=lambda w: (w.looked_s > -math.inf, w.next_s()))
            chosen.due_s = [at_s for at_s in chosen.due_s if at_s > now_s]
            chosen.looked_s = now_s
            return chosen

    def analyse(self, incident: Incident, watched: _Watched) -> Analysis:
        if incident.kind in detectors_of(Role.EVENT):
            return Analysis(causes_of_events(incident), [])
        traces = {
            "trace_ids": evenly(list(incident.traces), _TRACES_MAX),
            "earliest": incident.first_span_unix_nano - _REACH_NS,
            "latest": incident.last_span_unix_nano + _REACH_NS,
        }
        spans = self._store.read(load_sql(_QUERIES, "incident_spans"), traces)
        logs = self._store.read(load_sql(_QUERIES, "incident_logs"), traces)
        attributes = self._store.read(load_sql(_QUERIES, "incident_attributes"), traces)
        meanwhile = {"since": incident.first_span_unix_nano, "until": incident.last_span_unix_nano}
        moved = self._store.read(load_sql(_QUERIES, "incident_metrics"), meanwhile)
        return analyse(spans, self._usual_before(incident, traces, watched), logs, attributes, moved=moved)

    def _usual_before(self, incident: Incident, traces: dict[str, Any], watched: _Watched) -> Usual:
        if watched.usual is not None:
            return watched.usual
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
            self._baselines.self_times,
            self._baselines.edge,
            self._store.read(load_sql(_QUERIES, "incident_spans"), usual),
            self._store.read(load_sql(_QUERIES, "incident_logs"), usual),
            self._store.read(load_sql(_QUERIES, "incident_attributes"), usual),
        )
        if chosen.num_rows:
            watched.usual = found
        return found


def evenly(items: Sequence[str], most: int) -> list[str]:
    """At most `count` of them, evenly from the first to the last.

    >>> evenly("abcdefg", 3)
    ['a', 'd', 'g']
    """
    if len(items) <= most:
        return list(items)
    step = (len(items) - 1) / (most - 1)
    return [items[round(place * step)] for place in range(most)]
