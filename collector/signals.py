"""The three OTLP signals and the messages that carry them."""

from __future__ import annotations

from enum import IntEnum

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2


class Signal(IntEnum):
    """The number is written to the spool: never reuse one."""

    TRACES = 1
    LOGS = 2
    METRICS = 3

    @property
    def label(self) -> str:
        """`traces`, `logs` or `metrics`, as in paths and metric labels."""
        return self.name.lower()


REQUEST_TYPES: dict[Signal, type[Message]] = {
    Signal.TRACES: trace_service_pb2.ExportTraceServiceRequest,
    Signal.LOGS: logs_service_pb2.ExportLogsServiceRequest,
    Signal.METRICS: metrics_service_pb2.ExportMetricsServiceRequest,
}
RESPONSE_TYPES: dict[Signal, type[Message]] = {
    Signal.TRACES: trace_service_pb2.ExportTraceServiceResponse,
    Signal.LOGS: logs_service_pb2.ExportLogsServiceResponse,
    Signal.METRICS: metrics_service_pb2.ExportMetricsServiceResponse,
}
# The field of `partial_success` that counts what was refused.
REJECTED_FIELDS: dict[Signal, str] = {
    Signal.TRACES: "rejected_spans",
    Signal.LOGS: "rejected_log_records",
    Signal.METRICS: "rejected_data_points",
}
GRPC_METHODS: dict[Signal, str] = {
    Signal.TRACES: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    Signal.LOGS: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    Signal.METRICS: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}
HTTP_PATHS: dict[str, Signal] = {f"/v1/{signal.label}": signal for signal in Signal}
