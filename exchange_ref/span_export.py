"""Spans from all four services to one exporter, without ever slowing an order.

The SDK's batch processor has one thread and one connection for each provider and keeps no count of what it
drops. This one serves all providers with one queue, one thread and one connection, and counts.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

logger = logging.getLogger(__name__)


class BoundedSpanExport(SpanProcessor):
    """Queue ended spans and export them in batches from a thread of its own.

    Args:
        max_queued_spans: beyond this many a new span is dropped and counted; 20,000 is 20 s at 1,000 spans/s.
        schedule_delay_ms: how long a span waits at most before its batch leaves. 200 ms keeps a slow order
            visible within a second and costs five exports a second.
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
        self._max_queued_spans = max_queued_spans
        self._schedule_delay_s = schedule_delay_ms / 1000
        self._max_batch_spans = max_batch_spans
        self._queue: deque[ReadableSpan] = deque()
        self._changed = threading.Condition()
        self._exporting = False
        self._flushing = False
        self._stopping = False
        self._warned = False
        self.exported_spans = 0
        self.dropped_spans = 0
        self._thread = threading.Thread(target=self._run, name="span-export", daemon=True)
        self._thread.start()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing to do before a span ends."""

    def on_end(self, span: ReadableSpan) -> None:
        with self._changed:
            if self._stopping or len(self._queue) >= self._max_queued_spans:
                self.dropped_spans += 1
                return
            self._queue.append(span)
            if len(self._queue) == self._max_batch_spans:
                self._changed.notify_all()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Export all that has ended; False when the time was not enough."""
        deadline = time.monotonic() + timeout_millis / 1000
        with self._changed:
            self._flushing = True
            self._changed.notify_all()
            try:
                while self._queue or self._exporting:
                    left_s = deadline - time.monotonic()
                    if left_s <= 0:
                        return False
                    self._changed.wait(left_s)
            finally:
                self._flushing = False
        return True

    def shutdown(self) -> None:
        """Stop at once; what is still queued counts as dropped. Call `force_flush` before."""
        with self._changed:
            if self._stopping:
                return
            self._stopping = True
            self.dropped_spans += len(self._queue)
            self._queue.clear()
            self._changed.notify_all()
        self._exporter.shutdown()  # also interrupts the exporter's retries
        self._thread.join(timeout=1.0)

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            if not batch:
                continue
            exported = self._export(batch)
            with self._changed:
                self._exporting = False
                if exported:
                    self.exported_spans += len(batch)
                else:
                    self.dropped_spans += len(batch)
                self._changed.notify_all()

    def _next_batch(self) -> list[ReadableSpan] | None:
        """Wait for the delay, a full batch or a flush; None when stopping."""
        with self._changed:
            if not self._flushing and len(self._queue) < self._max_batch_spans:
                self._changed.wait(self._schedule_delay_s)
            if self._stopping:
                return None
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._max_batch_spans))]
            self._exporting = bool(batch)
            return batch

    def _export(self, batch: list[ReadableSpan]) -> bool:
        try:
            result = self._exporter.export(batch)
        except Exception:  # an exporter's fault must not end the thread; the loss is counted and said once
            logger.debug("span export failed", exc_info=True)
            result = SpanExportResult.FAILURE
        if result is SpanExportResult.SUCCESS:
            return True
        if not self._warned and not self._stopping:
            self._warned = True
            logger.warning("spans cannot be exported and are dropped; is the OTLP endpoint up?")
        return False
