"""Logs of all four services to one exporter, and how the services write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import (
    Logger,
    LoggerProvider,
    LogRecordProcessor,
    ReadableLogRecord,
    ReadWriteLogRecord,
)
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import Span

from exchange_ref.telemetry.bounded_export import BoundedExport
from exchange_ref.telemetry.tracing import under

MAX_QUEUED_LOGS: Final = 10_000
LOG_DELAY_MS: Final = 200
MAX_BATCH_LOGS: Final = 512


class BoundedLogExport(LogRecordProcessor):
    """One queue, one thread and one connection for the logs of all services; drops are counted."""

    def __init__(self, exporter: LogRecordExporter) -> None:
        self._exporter = exporter
        self._export: BoundedExport[ReadableLogRecord] = BoundedExport(
            lambda batch: exporter.export(batch) is LogRecordExportResult.SUCCESS,
            max_queued=MAX_QUEUED_LOGS,
            schedule_delay_ms=LOG_DELAY_MS,
            max_batch=MAX_BATCH_LOGS,
            what="logs",
        )

    @property
    def exported_logs(self) -> int:
        return self._export.exported

    @property
    def dropped_logs(self) -> int:
        return self._export.dropped

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        assert log_record.resource is not None, "a logger always has one"
        self._export.put(
            ReadableLogRecord(
                log_record.log_record,
                log_record.resource,
                log_record.instrumentation_scope,
                log_record.limits,
            )
        )

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._export.force_flush(timeout_millis)

    def shutdown(self) -> None:
        self._export.stop(self._exporter.shutdown)


class ServiceLog:
    """What a service writes, each line with its trace and span. Without a processor it goes nowhere."""

    def __init__(self, resource: Resource, processor: LogRecordProcessor | None) -> None:
        self._logger: Logger | None = None
        if processor is not None:
            provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
            provider.add_log_record_processor(processor)
            logger = provider.get_logger("exchange_ref")
            assert isinstance(logger, Logger)
            self._logger = logger

    def info(self, span: Span, body: str, attributes: Mapping[str, str | float] | None = None) -> None:
        self._emit(SeverityNumber.INFO, span, body, attributes, None)

    def warning(self, span: Span, body: str, attributes: Mapping[str, str | float] | None = None) -> None:
        self._emit(SeverityNumber.WARN, span, body, attributes, None)

    def error(self, span: Span, body: str, exception: Exception | None = None) -> None:
        self._emit(SeverityNumber.ERROR, span, body, None, exception)

    def _emit(
        self,
        severity: SeverityNumber,
        span: Span,
        body: str,
        attributes: Mapping[str, str | float] | None,
        exception: Exception | None,
    ) -> None:
        if self._logger is None:
            return
        self._logger.emit(
            context=under(span),
            severity_number=severity,
            severity_text=severity.name,
            body=body,
            attributes=attributes,
            exception=exception,
        )
