"""The stored rows about a subject, before any conclusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from detectors.model.anomaly import Anomaly
from llm.analysis.traced import TracedSpan, TracedTrace
from llm.explanation import Subject


@dataclass(frozen=True)
class Incident:
    """A row of `incidents`; `root_causes` is the detectors' ranked list as parsed JSON."""

    incident_id: str
    kind: str
    severity: int
    title: str
    first_unix_nano: int
    last_unix_nano: int
    anomaly_count: int
    trace_count: int
    exemplar_trace_id: str
    root_causes: Sequence[Mapping[str, object]] = ()


@dataclass(frozen=True)
class Extent:
    """When an operation's anomalies of an incident occurred, and in which traces (at most 2,000)."""

    anomaly_count: int
    trace_count: int
    first_unix_nano: int
    last_unix_nano: int
    trace_ids: frozenset[str]


@dataclass(frozen=True)
class Version:
    """A version that `share` of the incident's traces carry, and `usual_share` of usual ones."""

    key: str
    value: str
    share: float
    usual_share: float
    trace_id: str
    span_id: str


@dataclass(frozen=True)
class Case:
    """A subject with its rows: the incident's own, its worst anomalies, and the exemplar trace."""

    subject: Subject
    trace: TracedTrace
    anomalies: Sequence[Anomaly] = ()
    incident: Incident | None = None
    cited: Mapping[tuple[str, str], TracedSpan] = field(default_factory=dict)
    """Spans of other traces that the incident's root causes rest on, by trace and span id."""

    extents: Mapping[tuple[str, str], Extent] = field(default_factory=dict)
    """Of the incident's anomalies, by service and operation."""
    version: Version | None = None
    is_usual: bool = False
    """Whether nothing about the trace, which is the subject itself, is out of the ordinary."""

    def span(self, trace_id: str, span_id: str) -> TracedSpan | None:
        known = self.trace.by_id.get(span_id)
        return (
            known if known is not None and known.trace_id == trace_id else self.cited.get((trace_id, span_id))
        )

    @property
    def size(self) -> int:
        """The number that grows with the subject: anomalies of an incident, else spans of the trace."""
        return self.incident.anomaly_count if self.incident else self.trace.span_count

    @property
    def group_id(self) -> str:
        """Rows of one group describe the same event: they must not be split over train and validation."""
        if self.incident:
            return self.incident.incident_id
        for anomaly in self.anomalies:
            if anomaly.incident_id:
                return anomaly.incident_id
        return self.trace.spans[0].trace_id if self.trace.spans else self.subject.id
