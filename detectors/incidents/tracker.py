"""Anomalies become incidents only together, or at once for an event such as a whale.

Calls (slow, failed, never made before, repeated, missing, or waiting as a message): an operation is *in
trouble* when, over the last 5, 30 or 300 s, at least `incident_min_traces` of its traces are anomalous,
they began at least `incident_min_spread_s` apart, and in so many different moments of `incident_moment_ms`
that chance explains it with less than `incident_significance`: the Poisson tail of n spans at three times
the probability that their severity claims. Moments, not spans, are counted, because one stall of the
machine slows everything that is under way, and that is one event.

The anomalies of that window then form an incident, with all that share a trace with them. While it lasts,
further anomalies join it by trace or operation, and only new trouble, counted since the last, keeps it
alive. What is reported late joins too, also after the incident's end: a span of its operations or traces
that began before its last one did, and, until the end, one of its operations that is as severe as the
incident and at least SEV3. What was alone before joins, from SEV4 on, as soon as the incident
has its operation or trace and covers its time; from SEV3 on also what began just before it. A lone SEV5 stays
a lone anomaly. Of metrics only a resource that grows without end is an event.

One fault is one incident. Trouble of an operation that begins within `_TOGETHER_S` of an open incident, in a
service that is anomalous there too, is that incident's; so is a silence that began with it, in a service that
one of its services calls, directly or not: what is dead is first refused, and half a minute later missed.

A sustained shift (`detectors.spans.latency_shift`) and the window detectors have counted moments already: the
operation is in trouble as soon as that is less likely than `incident_significance`, with as many traces and
as wide a spread.

Windows run on the time of detection, so that replays and clocks that jump do no harm; the spread is
measured in the spans' own time.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from scipy.special import ndtr, pdtrc

from detectors.incidents.incident import Incident
from detectors.model.anomaly import AMOUNT, METRIC, SILENCE, THROUGHPUT, Anomaly
from detectors.model.operation import Operation
from detectors.model.roles import Role, detectors_of
from detectors.settings import Settings

_WINDOWS_S = (5.0, 30.0, 300.0)
# Real tails are rougher than their fits: allow three times the claimed rate, and never less than 1e-4.
_NOISE_FACTOR = 3.0
_LEAST_PROBABILITY = 1e-4
_MILDEST = 5
_NEVER_NOISE = 3  # the mildest severity (5σ) that chance does not give in days of ordinary traffic
_NS = 1_000_000_000
# Two operations in trouble within so many seconds have one fault. In a real shop two separate faults began 30
# s apart.
_TOGETHER_S = 20
# A job that runs once a minute is not healthy again after two quiet minutes: this many usual pauses must
# pass.
_QUIET_CALLS = 5

# service → those that call it, directly or not
Callers = Callable[[str], Collection[str]]


class _Flag(NamedTuple):
    at_s: float
    anomaly: Anomaly


@dataclass(slots=True)
class Grouped:
    """The outcome of one pass.

    anomalies: those of the pass, with their incident where they have one.
    promoted: earlier lone anomalies that now belong to an incident.
    changed: incidents that are new, grew or ended.
    """

    anomalies: list[Anomaly] = field(default_factory=list)
    promoted: list[Anomaly] = field(default_factory=list)
    changed: dict[str, Incident] = field(default_factory=dict)


class IncidentTracker:
    """Groups anomalies in the order of detection. Not thread-safe; the pipeline owns it."""

    def __init__(self, settings: Settings, callers: Callers = lambda _: ()) -> None:
        """
        Args:
            callers: the services that call a service, directly or not.
        """
        self._settings = settings
        self._callers = callers
        self._calls = detectors_of(Role.CALL)
        self._spans: dict[Operation, deque[tuple[float, int]]] = {}
        self._flags: dict[Operation, deque[_Flag]] = {}
        self._pending: dict[str, _Flag] = {}  # by anomaly id, lone so far
        self.open: dict[str, Incident] = {}
        self.ended: dict[str, tuple[float, Incident]] = {}  # for a while, with the time of their end

    def observe(
        self,
        now_s: float,
        now_unix_nano: int,
        span_counts: Mapping[Operation, int],
        anomalies: list[Anomaly],
        raised: Sequence[Anomaly] = (),
    ) -> Grouped:
        """Take one pass of detection.

        Args:
            span_counts: how many spans of each operation were judged.
            anomalies: what was found.
            raised: anomalies of earlier passes that have become worse.
        """
        outcome = Grouped()
        for operation, count in span_counts.items():
            self._spans.setdefault(operation, deque()).append((now_s, count))
        touched = self._raise(raised, outcome)
        for anomaly in anomalies:
            if anomaly.detector not in self._calls:
                unusual = anomaly.severity > self._settings.incident_amount_severity
                if unusual or not anomaly.is_event:
                    continue  # it stays a lone anomaly
                outcome.anomalies.append(self._take_event(anomaly, now_s, now_unix_nano, outcome))
                continue
            self._flags.setdefault(anomaly.operation_key, deque()).append(_Flag(now_s, anomaly))
            touched[anomaly.operation_key] = None
            incident = self._match(
                anomaly,
                now_s,
                trace_within_s=self._settings.incident_window_s,
                operation_within_s=_WINDOWS_S[0],
            ) or self._explained_by(anomaly)
            if incident is None:
                self._pending[anomaly.anomaly_id] = _Flag(now_s, anomaly)
            else:
                outcome.anomalies.append(self._join(incident, anomaly, now_unix_nano, outcome))
        for operation in touched:
            self._raise_incident(operation, now_s, now_unix_nano, outcome)
        self._take_in_earlier(now_unix_nano, outcome)
        promoted = {a.anomaly_id for a in outcome.promoted}
        settled = {a.anomaly_id for a in outcome.anomalies}
        fresh = {a.anomaly_id: a for a in anomalies}
        outcome.anomalies += [a for a in outcome.promoted if a.anomaly_id in fresh]
        outcome.anomalies += [a for i, a in fresh.items() if i not in settled and i not in promoted]
        outcome.promoted = [a for a in outcome.promoted if a.anomaly_id not in fresh]
        self._forget(now_s, outcome)
        return outcome

    def troubled(self) -> set[Operation]:
        """The operations of incidents of calls that have not ended."""
        return {key for i in self.open.values() if i.kind in self._calls for key in i.operations}

    def end(self, incident_id: str, now_s: float) -> None:
        """The incident is over; late spans of its time still join it. Unknown ids are no error."""
        incident = self.open.pop(incident_id, None)
        if incident is not None:
            incident.state = "resolved"
            self.ended[incident_id] = (now_s, incident)

    def reopened(self, incident_id: str) -> None:
        """A person has opened it again: late spans must not end it once more."""
        self.ended.pop(incident_id, None)

    def still_lasts(self, cells: Collection[str], now_s: float) -> None:
        """What these cells speak of goes on (a resource that grows, a system that is silent): its incident
        lasts although nothing new is said."""
        for incident in self.open.values():
            if incident.kind in (METRIC, THROUGHPUT) and incident.cell in cells:
                incident.active_s = now_s

    def moved(self, anomaly: Anomaly) -> Incident | None:
        """A known whale was found again in an enclosing span: the incident now names that span."""
        for incident in self.open.values():
            for index, known in enumerate(incident.anomalies):
                if known.anomaly_id == anomaly.anomaly_id:
                    incident.anomalies[index] = anomaly.in_incident(incident.incident_id)
                    incident.services = {a.service_name for a in incident.anomalies}
                    incident.operations = {a.operation_key for a in incident.anomalies}
                    return incident
        return None

    def _raise(self, raised: Sequence[Anomaly], outcome: Grouped) -> dict[Operation, None]:
        by_id = {anomaly.anomaly_id: anomaly for anomaly in raised}
        touched = {anomaly.operation_key: None for anomaly in raised if anomaly.operation_key in self._flags}
        for operation in touched:
            flags = self._flags[operation]
            self._flags[operation] = deque(
                flag._replace(anomaly=by_id.get(flag.anomaly.anomaly_id, flag.anomaly)) for flag in flags
            )
        for anomaly_id in by_id.keys() & self._pending.keys():
            self._pending[anomaly_id] = self._pending[anomaly_id]._replace(anomaly=by_id[anomaly_id])
        for incident in self.open.values():
            if by_id and incident.replace(by_id):
                outcome.changed[incident.incident_id] = incident
        return touched

    def _take_event(self, anomaly: Anomaly, now_s: float, now_ns: int, outcome: Grouped) -> Anomaly:
        begun_with = self._silenced_with(anomaly)
        if begun_with is not None:
            return self._join(begun_with, anomaly, now_ns, outcome)
        for incident in self.open.values():
            # A call of a model that took too many tokens cost too much as well: one incident.
            is_told = anomaly.detector == AMOUNT and anomaly.trace_id in incident.traces
            same = incident.kind == anomaly.detector and (incident.cell == anomaly.cell or is_told)
            if same and now_s - incident.active_s <= self._settings.incident_window_s:
                break
        else:
            incident = self._new(anomaly, now_s, now_ns)
            incident.cell = anomaly.cell
        incident.active_s = now_s
        return self._join(incident, anomaly, now_ns, outcome)

    def _silenced_with(self, anomaly: Anomaly) -> Incident | None:
        """The incident of calls that began as this fell silent, in its service or one that calls it."""
        since = anomaly.details.get("since_unix_s")
        if anomaly.details.get("rule") != SILENCE or not isinstance(since, int):
            return None
        around = {anomaly.service_name, *self._callers(anomaly.service_name)}
        for incident in [*self.open.values(), *(ended for _, ended in self.ended.values())]:
            near = abs(incident.first_span_unix_nano // _NS - since) <= _TOGETHER_S
            if incident.kind in self._calls and near and incident.services & around:
                return incident
        return None

    def _same_fault(self, own: Sequence[Anomaly]) -> Incident | None:
        """The open incident of calls that began with these, in a service of theirs."""
        begun = min(a.start_unix_nano for a in own)
        traces = {a.trace_id for a in own}
        services = {a.service_name for a in own}
        services |= {f.anomaly.service_name for f in self._pending.values() if f.anomaly.trace_id in traces}
        for incident in self.open.values():
            near = (
                abs(incident.first_span_unix_nano - begun) <= max(_TOGETHER_S, 2 * incident.spacing_s) * _NS
            )
            if incident.kind in self._calls and near and incident.services & services:
                return incident
        return None

    def _match(
        self,
        anomaly: Anomaly,
        now_s: float,
        *,
        trace_within_s: float = math.inf,
        operation_within_s: float = math.inf,
    ) -> Incident | None:
        """The incident of calls that was in trouble so lately, and lasts, by trace or by operation."""
        of_calls = [(i, now_s - i.active_s) for i in self.open.values() if i.kind in self._calls]
        for incident, quiet_s in of_calls:
            within_s = min(trace_within_s, self._lasts_s(incident))
            if anomaly.trace_id in incident.traces and quiet_s <= within_s:
                return incident
        for incident, quiet_s in of_calls:
            within_s = min(max(operation_within_s, 2 * incident.spacing_s), self._lasts_s(incident))
            if anomaly.operation_key in incident.operations and quiet_s <= within_s:
                return incident
        return None

    def _lasts_s(self, incident: Incident) -> float:
        """The time without news after which it ends."""
        return max(self._settings.incident_resolve_s, _QUIET_CALLS * incident.spacing_s)

    def _explained_by(self, anomaly: Anomaly) -> Incident | None:
        """The incident of calls whose time or severity covers an anomaly that was reported late."""
        key = anomaly.operation_key
        for incident in [*self.open.values(), *(ended for _, ended in self.ended.values())]:
            if incident.kind not in self._calls:
                continue
            if _covers(incident, anomaly):
                return incident
            as_severe = incident.state != "resolved" and anomaly.severity <= min(
                incident.severity, _NEVER_NOISE
            )
            if as_severe and key in incident.operations:
                return incident
        return None

    def _raise_incident(self, operation: Operation, now_s: float, now_ns: int, outcome: Grouped) -> None:
        """Open an incident for an operation in trouble, or keep the one alive that it belongs to."""
        flags = list(self._flags[operation])
        incident = self._match(flags[-1].anomaly, now_s)
        lone = [f for f in self._pending.values() if f.anomaly.operation_key == operation]
        if incident is None:
            window_s = self._trouble(operation, lone, now_s, since_s=-math.inf)
        else:
            window_s = self._trouble(operation, flags, now_s, since_s=incident.active_s)
        if window_s is None:
            return
        own = [f.anomaly for f in lone if now_s - f.at_s <= window_s]
        if incident is None:
            incident = self._same_fault(own) or self._new(own[0], now_s, now_ns)
        incident.active_s = now_s
        traces = {a.trace_id for a in own}
        members = {a.anomaly_id for a in own}
        for anomaly in [f.anomaly for f in self._pending.values()]:
            if anomaly.anomaly_id in members or anomaly.trace_id in traces:
                del self._pending[anomaly.anomaly_id]
                outcome.promoted.append(self._join(incident, anomaly, now_ns, outcome))

    def _take_in_earlier(self, now_ns: int, outcome: Grouped) -> None:
        """Lone anomalies join the incidents that have come to cover them, e.g. as their operation joined."""
        for incident in [i for i in outcome.changed.values() if i.kind in self._calls]:
            for anomaly in [f.anomaly for f in self._pending.values() if _begins(incident, f.anomaly)]:
                del self._pending[anomaly.anomaly_id]
                outcome.promoted.append(self._join(incident, anomaly, now_ns, outcome))

    def _new(self, first: Anomaly, now_s: float, now_ns: int) -> Incident:
        digest = hashlib.sha256(f"{first.detector}\x1f{first.anomaly_id}".encode()).hexdigest()
        incident = Incident(digest[:24], first.detector, now_ns, now_s, now_ns)
        self.open[incident.incident_id] = incident
        return incident

    def _join(self, incident: Incident, anomaly: Anomaly, now_ns: int, outcome: Grouped) -> Anomaly:
        incident.last_seen_unix_nano = now_ns
        outcome.changed[incident.incident_id] = incident
        return incident.take(anomaly, now_ns)

    def _trouble(
        self, operation: Operation, flags: list[_Flag], now_s: float, *, since_s: float
    ) -> float | None:
        """The shortest window, begun after `since_s`, over which the operation is in trouble; or None."""
        settings = self._settings
        for window_s in _WINDOWS_S:
            after_s = max(now_s - window_s, since_s)
            recent = [f.anomaly for f in flags if f.at_s > after_s]
            if self._shifted(recent):
                return window_s
            spans = sum(count for at_s, count in self._spans.get(operation, ()) if at_s > after_s)
            for sigma in settings.severity_sigmas()[:3]:
                severe = [a for a in recent if a.span_sigma >= sigma]
                traces = len({a.trace_id for a in severe})
                if traces < settings.incident_min_traces:
                    break
                starts = [a.start_unix_nano for a in severe]
                if (max(starts) - min(starts)) / 1e9 < settings.incident_min_spread_s:
                    continue
                moments = len({start // int(settings.incident_moment_ms * 1e6) for start in starts})
                expected = spans * max(float(ndtr(-sigma)), _LEAST_PROBABILITY) * _NOISE_FACTOR
                if float(pdtrc(min(traces, moments) - 1, expected)) <= settings.incident_significance:
                    return window_s
        return None

    def _shifted(self, recent: list[Anomaly]) -> bool:
        settings = self._settings
        unlikely = [a for a in recent if float(ndtr(-a.shift_sigma)) <= settings.incident_significance]
        if len({a.trace_id for a in unlikely}) < settings.incident_min_traces:
            return False
        starts = [a.start_unix_nano for a in unlikely]
        return max(starts) - min(starts) >= settings.incident_min_spread_s * 1e9

    def _forget(self, now_s: float, outcome: Grouped) -> None:
        oldest_s = now_s - _WINDOWS_S[-1]
        for operation in list(self._spans):
            counts = self._spans[operation]
            while counts and counts[0][0] < oldest_s:
                counts.popleft()
            if not counts:
                del self._spans[operation]
        for operation in list(self._flags):
            flags = self._flags[operation]
            while flags and flags[0].at_s < oldest_s:
                flags.popleft()
            if not flags:
                del self._flags[operation]
        for anomaly_id in [i for i, f in self._pending.items() if f.at_s < oldest_s]:
            del self._pending[anomaly_id]
        for incident in list(self.open.values()):
            if now_s - incident.active_s > self._lasts_s(incident):
                self.end(incident.incident_id, now_s)
                outcome.changed[incident.incident_id] = incident
        for incident_id in [i for i, (ended_s, _) in self.ended.items() if ended_s < oldest_s]:
            del self.ended[incident_id]


def _begins(incident: Incident, anomaly: Anomaly) -> bool:
    """Whether an earlier anomaly is the incident's: covered by it, or no chance and just before its start.

    Of SEV5 a few lie in any operation's time: on a generated shop four that chance gives would join.
    """
    before_ns = incident.first_span_unix_nano - anomaly.start_unix_nano
    leads_up = anomaly.severity <= _NEVER_NOISE and 0 < before_ns <= _TOGETHER_S * _NS
    covered = anomaly.severity < _MILDEST and _covers(incident, anomaly)
    return covered or (leads_up and anomaly.operation_key in incident.operations)


def _covers(incident: Incident, anomaly: Anomaly) -> bool:
    """Whether an anomaly of the incident's operations or traces began within its time."""
    known = anomaly.operation_key in incident.operations or anomaly.trace_id in incident.traces
    return known and incident.first_span_unix_nano <= anomaly.start_unix_nano <= incident.last_span_unix_nano
