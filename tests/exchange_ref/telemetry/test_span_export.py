from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from exchange_ref.telemetry.span_export import BoundedSpanExport
from exchange_ref.telemetry.tracing import WALLET, Telemetry
from tests.pace import until


class Endpoint(SpanExporter):
    """An OTLP endpoint that can be closed for a while, or fail."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.failing = False
        self.names: list[str] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.open.wait()
        if self.failing:
            raise ConnectionError("gone")
        self.names += [span.name for span in spans]
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.open.set()


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
def export(endpoint: Endpoint) -> Iterator[BoundedSpanExport]:
    """A queue of ten spans, in batches of four."""
    made = BoundedSpanExport(endpoint, max_queued_spans=10, schedule_delay_ms=20, max_batch_spans=4)
    yield made
    made.shutdown()


def end_spans(export: BoundedSpanExport, number: int) -> None:
    tracer = Telemetry(export).tracer(WALLET)
    for index in range(number):
        tracer.start_span(str(index)).end()


def test_a_flush_sends_everything_in_order(export: BoundedSpanExport, endpoint: Endpoint) -> None:
    """After a flush all spans have arrived once, in the order they ended, and are counted."""
    end_spans(export, 10)
    assert export.force_flush(2_000)
    assert endpoint.names == [str(index) for index in range(10)]
    assert (export.exported_spans, export.dropped_spans) == (10, 0)


def test_spans_leave_by_themselves(export: BoundedSpanExport, endpoint: Endpoint) -> None:
    """Without a flush or a full batch a span is exported after the delay."""
    end_spans(export, 1)
    asyncio.run(until(lambda: export.exported_spans == 1))


def test_a_full_queue_drops_and_counts(export: BoundedSpanExport, endpoint: Endpoint) -> None:
    """While the endpoint stands still the queue holds its bound, and every span beyond it is counted."""
    endpoint.open.clear()
    end_spans(export, 30)
    assert not export.force_flush(50)
    held = 30 - export.dropped_spans
    assert 10 <= held <= 14  # the queue, and one batch in the exporter's hands
    endpoint.open.set()
    assert export.force_flush(2_000)
    assert (export.exported_spans, len(endpoint.names)) == (held, held)


def test_a_failing_endpoint_is_counted_and_said_once(
    export: BoundedSpanExport, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    """Spans that could not be exported count as dropped; one warning is logged; later spans go through."""
    endpoint.failing = True
    end_spans(export, 8)
    assert export.force_flush(2_000)
    assert (export.exported_spans, export.dropped_spans) == (0, 8)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    endpoint.failing = False
    end_spans(export, 2)
    assert export.force_flush(2_000)
    assert (export.exported_spans, export.dropped_spans) == (2, 8)


def test_after_shutdown_spans_are_dropped(export: BoundedSpanExport) -> None:
    """A span that ends after the shutdown is counted and goes nowhere."""
    export.shutdown()
    end_spans(export, 3)
    assert export.dropped_spans == 3
