"""Exports of the exchange: spans, logs and metrics, each bounded, flushed and closed together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from opentelemetry.sdk._logs.export import LogRecordExporter
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter

from exchange_ref.load.history import BackDatedSpans, BackDating
from exchange_ref.telemetry.log_export import BoundedLogExport
from exchange_ref.telemetry.metrics import NewReader
from exchange_ref.telemetry.span_export import BoundedSpanExport


@dataclass(frozen=True, slots=True)
class Exporters:
    """Where telemetry goes; logs and metrics may go nowhere."""

    spans: SpanExporter
    logs: LogRecordExporter | None = None
    new_metric_reader: NewReader | None = None


class Outputs:
    """
    Args:
        back_dated: spans are moved to their place in history.
    """

    def __init__(
        self, exporters: Exporters, *, span_queue: int, export_delay_ms: int, back_dated: bool
    ) -> None:
        dating = BackDating()
        self.spans = BoundedSpanExport(
            BackDatedSpans(exporters.spans, dating) if back_dated else exporters.spans,
            max_queued_spans=span_queue,
            schedule_delay_ms=export_delay_ms,
        )
        self.logs = BoundedLogExport(exporters.logs) if exporters.logs is not None else None
        self.new_metric_reader = exporters.new_metric_reader
        self.watching: tuple[SpanProcessor, ...] = (dating,) if back_dated else ()

    async def flush(self, timeout_s: float) -> bool:
        """Send the spans that have ended; False when the time was not enough."""
        return await asyncio.to_thread(self.spans.force_flush, int(timeout_s * 1000))

    async def flush_all(self, timeout_s: float) -> None:
        """Send spans and logs at the same time."""
        timeout_ms = int(timeout_s * 1000)
        logs = asyncio.to_thread(self.logs.force_flush, timeout_ms) if self.logs is not None else _nothing()
        await asyncio.gather(self.flush(timeout_s), logs)

    def close(self) -> None:
        """Stop at once; what has not been flushed is dropped and counted."""
        if self.logs is not None:
            self.logs.shutdown()
        self.spans.shutdown()

    def counts(self) -> dict[str, int]:
        logs = self.logs
        return {
            "spans_exported": self.spans.exported_spans,
            "spans_dropped": self.spans.dropped_spans,
            "logs_exported": logs.exported_logs if logs is not None else 0,
            "logs_dropped": logs.dropped_logs if logs is not None else 0,
        }


async def _nothing() -> bool:
    return True
