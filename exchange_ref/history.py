"""Days of history in minutes: real orders, executed now, whose spans are dated back.

Every trace is moved as a whole, so durations, gaps and order stay as they were measured.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextvars import ContextVar

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from exchange_ref.load import Load, wait_for_event

# Longer than any trace is under way: 5 minutes at 200 orders/s.
MAX_REMEMBERED_TRACES = 60_000

_moment: ContextVar[int | None] = ContextVar("moment", default=None)


async def play_back(load: Load, moments: Iterator[int], rng: random.Random, stop: asyncio.Event) -> int:
    """Send one order for each moment, at the load's rate; returns how many."""
    loop = asyncio.get_running_loop()
    next_at_s = loop.time()
    sent = 0
    for moment in moments:
        next_at_s += rng.expovariate(load.rate_per_s)
        if await wait_for_event(stop, next_at_s - loop.time()):
            break
        # The task that sends the order inherits it, and so does the root span that it starts.
        token = _moment.set(moment)
        load.send(load.traders.next_order())
        _moment.reset(token)
        sent += 1
    return sent


class BackDating(SpanProcessor):
    """Notes by how much each trace is to be moved, when its root begins."""

    def __init__(self) -> None:
        self._shifts_ns: OrderedDict[int, int] = OrderedDict()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        moment = _moment.get()
        if span.parent is None and moment is not None and span.start_time is not None:
            self._shifts_ns[span.context.trace_id] = moment - span.start_time
            if len(self._shifts_ns) > MAX_REMEMBERED_TRACES:
                self._shifts_ns.popitem(last=False)

    def on_end(self, span: ReadableSpan) -> None:
        """Spans are moved when they are exported."""

    def moved(self, span: ReadableSpan) -> ReadableSpan:
        """The same span at its place in history; itself when it belongs to the present."""
        shift_ns = self._shifts_ns.get(span.context.trace_id)
        if shift_ns is None or span.start_time is None or span.end_time is None:
            return span
        return ReadableSpan(
            name=span.name,
            context=span.context,
            parent=span.parent,
            resource=span.resource,
            attributes=span.attributes,
            events=[Event(event.name, event.attributes, event.timestamp + shift_ns) for event in span.events],
            links=span.links,
            kind=span.kind,
            status=span.status,
            start_time=span.start_time + shift_ns,
            end_time=span.end_time + shift_ns,
            instrumentation_scope=span.instrumentation_scope,
        )


class BackDatedSpans(SpanExporter):
    """An exporter that gets every span at its place in history."""

    def __init__(self, exporter: SpanExporter, dating: BackDating) -> None:
        self._exporter = exporter
        self._dating = dating

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([self._dating.moved(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()
