"""One incident in memory: its anomalies and traces, and its severity, title and time."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

from detectors.model.anomaly import THROUGHPUT, Anomaly
from detectors.model.operation import Operation
from detectors.model.roles import Role, role_of

# An incident keeps its first traces, which show the beginning, and the newest; localisation samples these.
_FIRST_TRACES_KEPT, _TRACES_KEPT = 100, 200
_AHEAD_NS = 86_400 * 10**9  # how far a clock may be ahead of ours
# Anomalous traces that are further apart are not from one regular job.
_SPACING_MAX_S = 300.0
_NS = 1_000_000_000


@dataclass(slots=True)
class Incident:
    """An incident in memory; the table `incidents` holds the same, times in ns."""

    incident_id: str
    kind: str
    opened_unix_nano: int
    active_s: float  # when it was last in trouble, on the detector's clock
    last_seen_unix_nano: int
    state: str = "open"
    severity: int = 5
    worst_sigma: float = 0.0
    exemplar_trace_id: str = ""
    exemplar_sigma: float = 0.0  # σ of that trace alone
    first_span_unix_nano: int = 2**63 - 1
    last_span_unix_nano: int = 0
    anomaly_count: int = 0
    trace_count: int = 0
    services: set[str] = field(default_factory=set)
    operations: set[Operation] = field(default_factory=set)
    traces: dict[str, None] = field(default_factory=dict)  # in order of arrival
    anomalies: deque[Anomaly] = field(default_factory=lambda: deque(maxlen=2_000))
    cell: str = ""  # of an incident of events: those of the same cell, such as whales, are one burst

    def snapshot(self) -> Incident:
        """A copy for another thread: 30 µs with the largest number of anomalies that is kept."""
        return replace(
            self,
            services=set(self.services),
            operations=set(self.operations),
            traces=dict(self.traces),
            anomalies=self.anomalies.copy(),
        )

    @property
    def spacing_s(self) -> float:
        """How far apart its anomalous traces begin, on average."""
        if self.trace_count < 2:
            return 0.0
        return min(
            (self.last_span_unix_nano - self.first_span_unix_nano) / _NS / (self.trace_count - 1),
            _SPACING_MAX_S,
        )

    def replace(self, raised: Mapping[str, Anomaly]) -> bool:
        """Replace known anomalies by their newer versions, by id; whether any was known."""
        known = [raised[a.anomaly_id] for a in self.anomalies if a.anomaly_id in raised]
        if known:
            kept = (raised.get(a.anomaly_id, a).in_incident(self.incident_id) for a in self.anomalies)
            self.anomalies = deque(kept, maxlen=self.anomalies.maxlen)
            self.severity = min(self.severity, *(a.severity for a in known))
            for anomaly in known:
                self._show(anomaly)
        return bool(known)

    def take(self, anomaly: Anomaly, now_unix_nano: int) -> Anomaly:
        self.anomaly_count += 1
        self.severity = min(self.severity, anomaly.severity)
        if anomaly.detector == THROUGHPUT and role_of(self.kind) is Role.CALL:
            # Its span is the last one before it fell silent: nothing was wrong there.
            return self._kept(anomaly)
        if anomaly.trace_id not in self.traces:
            self.trace_count += 1
            self.traces[anomaly.trace_id] = None
            if len(self.traces) > _TRACES_KEPT:
                del self.traces[next(islice(self.traces, _FIRST_TRACES_KEPT, None))]
        self._show(anomaly)
        # A clock of another century must not keep the incident open until then: nothing would be learned.
        start = min(anomaly.start_unix_nano, now_unix_nano + _AHEAD_NS)
        self.first_span_unix_nano = min(self.first_span_unix_nano, start)
        self.last_span_unix_nano = max(self.last_span_unix_nano, start)
        return self._kept(anomaly)

    def _show(self, anomaly: Anomaly) -> None:
        """People see the trace that is the most unusual by itself: the σ of a shift is that of many traces,
        and the one that completes it may be nearly usual."""
        self.worst_sigma = max(self.worst_sigma, anomaly.sigma)
        own_sigma = anomaly.span_sigma or anomaly.sigma  # 0 where a count is judged and no span
        if own_sigma > self.exemplar_sigma or not self.exemplar_trace_id:
            self.exemplar_sigma, self.exemplar_trace_id = own_sigma, anomaly.trace_id

    def _kept(self, anomaly: Anomaly) -> Anomaly:
        self.services.add(anomaly.service_name)
        self.operations.add(anomaly.operation_key)
        taken = anomaly.in_incident(self.incident_id)
        self.anomalies.append(taken)
        return taken
