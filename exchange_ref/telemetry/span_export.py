"""Spans from all four services to one exporter, without ever slowing an order.

The SDK's batch processor has one thread and one connection for each provider and keeps no count of what it
drops. This one serves all providers with one queue, one thread and one connection, and counts.
"""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from exchange_ref.telemetry.bounded_export import BoundedExport


class BoundedSpanExport(SpanProcessor):
    """
    Args:
        max_queued_spans: 20,000 is 20 s at 1,000 spans/s.
        schedule_delay_ms: 200 ms keeps a slow order visible within a second and costs five exports a second.
        max_batch_spans: 512 spans are about 250 KB of OTLP, far below gRPC's limit of 4 MB.
    """

    def __init__(
        self,
        exporter: SpanExporter,
        *,
        max_queued_spans: int = 20_000,
        schedule_delay_ms: int = 200,
        max_batch_spans: int = 512,
    ) -> None:
        self._exporter = exporter
        self._export: BoundedExport[ReadableSpan] = BoundedExport(
            lambda batch: exporter.export(batch) is SpanExportResult.SUCCESS,
            max_queued=max_queued_spans,
            schedule_delay_ms=schedule_delay_ms,
            max_batch=max_batch_spans,
            what="spans",
        )

    @property
    def exported_spans(self) -> int:
        return self._export.exported

    @property
    def dropped_spans(self) -> int:
        return self._export.dropped

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing to do before a span ends."""

    def on_end(self, span: ReadableSpan) -> None:
        # Where a head sampler is set, only what it took is to leave.
        if span.context.trace_flags.sampled:
            self._export.put(span)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Export all that has ended; False when the time was not enough."""
        return self._export.force_flush(timeout_millis)

    def shutdown(self) -> None:
        """Stop at once; what is still queued counts as dropped. Call `force_flush` before."""
        self._export.stop(self._exporter.shutdown)
