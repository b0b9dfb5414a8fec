"""Begin and end of each span in memory, on which the effect of a fault is measured."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import NamedTuple

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import StatusCode

# Two minutes of each operation at 50 orders/s, about 1 MB for each.
REMEMBERED_RUNS = 6_000
# Newer ones stay beyond that: a loop of 40 statements in each order fills 6,000 in 5 s, and what was before
# it must still be known.
REMEMBERED_FOR_NS = 120_000_000_000
# About 40 MB of one operation.
MAX_REMEMBERED_RUNS = 200_000


class Run(NamedTuple):
    """One span. `parent_span_id` is 0 for a root."""

    trace_id: int
    span_id: int
    parent_span_id: int
    start_unix_nano: int
    end_unix_nano: int
    failed: bool


class SpanWitness(SpanProcessor):
    """Remembers the newest spans of each operation; 1.2 µs a span."""

    def __init__(self) -> None:
        self._runs: dict[tuple[str, str], deque[Run]] = defaultdict(deque)

    def runs(self, service: str, operation: str) -> list[Run]:
        """The newest spans of an operation, in the order they ended."""
        return list(self._runs.get((service, operation), ()))

    def all_runs(self) -> dict[tuple[str, str], list[Run]]:
        """The same by (service, operation)."""
        return {place: list(runs) for place, runs in self._runs.items()}

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing is known before a span ends."""

    def on_end(self, span: ReadableSpan) -> None:
        context, parent = span.context, span.parent
        service = str(span.resource.attributes["service.name"])
        runs = self._runs[service, span.name]
        runs.append(
            Run(
                context.trace_id,
                context.span_id,
                parent.span_id if parent is not None else 0,
                span.start_time or 0,
                span.end_time or 0,
                span.status.status_code is StatusCode.ERROR,
            )
        )
        oldest_ns = (span.end_time or 0) - REMEMBERED_FOR_NS
        while len(runs) > REMEMBERED_RUNS and (
            runs[0].end_unix_nano < oldest_ns or len(runs) > MAX_REMEMBERED_RUNS
        ):
            runs.popleft()

    def shutdown(self) -> None:
        self._runs.clear()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True
