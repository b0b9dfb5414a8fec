"""The only reader: all data of the pages comes from here, over `collector.client`."""

from dashboard.data.feedback import rate, ratings
from dashboard.data.monitor import (
    anomalies,
    anomaly,
    anomaly_groups,
    expect,
    explanation,
    health,
    incident,
    incidents,
    red_series,
    set_group_state,
    set_state,
    severity_counts,
    trace,
)
from dashboard.data.process import readiness, senders
from dashboard.data.services import incident_pulse, service_red, user_red
from dashboard.data.telemetry import (
    log_lines,
    log_templates,
    metric_names,
    metric_points,
    span_links,
    trace_logs,
)

__all__ = [
    "anomalies",
    "anomaly",
    "anomaly_groups",
    "expect",
    "explanation",
    "health",
    "incident",
    "incident_pulse",
    "incidents",
    "log_lines",
    "log_templates",
    "metric_names",
    "metric_points",
    "rate",
    "ratings",
    "readiness",
    "red_series",
    "senders",
    "service_red",
    "set_group_state",
    "set_state",
    "severity_counts",
    "span_links",
    "trace",
    "trace_logs",
    "user_red",
]
