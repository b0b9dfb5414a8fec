"""The anomaly, which every detector reports."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from detectors.model.operation import Operation
from detectors.model.roles import Role, role_of

LATENCY = "latency"
AMOUNT = "amount"
ERROR = "error"
THROUGHPUT = "throughput"
STRUCTURE = "structure"
MESSAGE_WAIT = "message_wait"
LOG = "log"
METRIC = "metric"
MARKET = "market"
RENAMED = {"gap": MESSAGE_WAIT}  # until schema version 6; filters of the API still take it
GROWTH = "growth"  # a rule of METRIC
SILENCE = "silence"  # a rule of THROUGHPUT
STOPPED = "telemetry stopped"  # another


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One improbable observation; fields are columns of the table `anomalies`, times in ns."""

    anomaly_id: str
    detector: str
    severity: int
    sigma: float
    trace_id: str
    span_id: str
    service_name: str
    operation: str
    span_kind: str
    start_unix_nano: int
    span_duration_ns: int
    observed: float
    expected: float
    unit: str
    cell: str
    sample_count: int
    details: Mapping[str, object] = field(default_factory=dict)
    incident_id: str | None = None

    @property
    def operation_key(self) -> Operation:
        return Operation(self.service_name, self.operation, self.span_kind)

    @property
    def span_sigma(self) -> float:
        """σ of this observation alone; `sigma` may also rest on those around it."""
        own = self.details.get("span_sigma", self.sigma)
        return own if isinstance(own, float) else self.sigma

    @property
    def shift_sigma(self) -> float:
        """σ of the shift that it is part of; 0 outside one."""
        shift = self.details.get("shift_sigma", 0.0)
        return shift if isinstance(shift, float) else 0.0

    @property
    def is_event(self) -> bool:
        """Whether it opens an incident by itself; else it is confirmed by others, or a hint for ever."""
        return role_of(self.detector, str(self.details.get("rule") or "")) is Role.EVENT

    @property
    def text(self) -> str:
        """The observation in one line, where figure and unit alone do not say it."""
        return str(self.details.get("text") or "")

    def in_incident(self, incident_id: str) -> Anomaly:
        return replace(self, incident_id=incident_id)


def anomaly_id(detector: str, trace_id: str, subject: str) -> str:
    """The same observation has the same id however often it is judged.

    >>> anomaly_id("latency", "0af7", "b7ad") == anomaly_id("latency", "0af7", "b7ad")
    True
    """
    return hashlib.sha256(f"{detector}\x1f{trace_id}\x1f{subject}".encode()).hexdigest()[:24]


def span_anomaly(
    detector: str,
    row: Mapping[str, Any],
    operation: Operation,
    *,
    severity: int,
    sigma: float,
    observed: float,
    expected: float,
    unit: str,
    cell: str,
    sample_count: int,
    details: Mapping[str, object],
    subject: str | None = None,
) -> Anomaly:
    """The anomaly of an observation that one span shows.

    Args:
        row: trace_id, span_id, start_unix_nano and duration_ns of that span.
        subject: makes the id together with the trace; the span when None.
    """
    return Anomaly(
        anomaly_id=anomaly_id(detector, row["trace_id"], subject or row["span_id"]),
        detector=detector,
        severity=severity,
        sigma=sigma,
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        **operation._asdict(),
        start_unix_nano=row["start_unix_nano"],
        span_duration_ns=row["duration_ns"],
        observed=observed,
        expected=expected,
        unit=unit,
        cell=cell,
        sample_count=sample_count,
        details=details,
    )
