"""Days of history in minutes: real orders, executed now, whose spans are dated back.

Every trace is moved as a whole, so durations, gaps and order stay as they were measured; so are the traces
that come of one arrival, such as a position that is opened, held, and closed or ended by its price.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from exchange_ref.load.arrivals import Load, wait_for_event

# Longer than any trace is under way: 5 minutes at 200 orders/s.
MAX_REMEMBERED_TRACES = 60_000
# Longer than positions are held: an hour of 3 a second.
MAX_REMEMBERED_POSITIONS = 10_000
# A position that its price ends is known by it alone: nobody asked for its trace.
POSITION = "cfd.id"

_shift_ns: ContextVar[int | None] = ContextVar("shift_ns", default=None)


async def play_back(load: Load, moments: Iterator[int], rng: random.Random, stop: asyncio.Event) -> int:
    """Let somebody arrive at each moment, at the load's rate; returns how many."""
    loop = asyncio.get_running_loop()
    next_at_s = loop.time()
    sent = 0
    for moment in moments:
        next_at_s += rng.expovariate(load.arrivals_per_s)
        if await wait_for_event(stop, next_at_s - loop.time()):
            break
        # The tasks that come of it inherit it, and so do the root spans that they start.
        token = _shift_ns.set(moment - time.time_ns())
        load.arrive()
        _shift_ns.reset(token)
        sent += 1
    return sent


class BackDating(SpanProcessor):
    """Notes by how much each trace is to be moved, when its root begins."""

    def __init__(self) -> None:
        self._shifts_ns: OrderedDict[int, int] = OrderedDict()
        self._positions: OrderedDict[object, int] = OrderedDict()  # where each was opened, as a shift

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if span.parent is not None:
            return
        shift_ns = _shift_ns.get()
        if shift_ns is None:
            shift_ns = self._positions.get((span.attributes or {}).get(POSITION))
        if shift_ns is not None:
            _remember(self._shifts_ns, span.context.trace_id, shift_ns, MAX_REMEMBERED_TRACES)

    def on_end(self, span: ReadableSpan) -> None:
        """Notes which position a trace opened; spans are moved when they are exported."""
        position = (span.attributes or {}).get(POSITION)
        shift_ns = self._shifts_ns.get(span.context.trace_id)
        if position is not None and shift_ns is not None:
            _remember(self._positions, position, shift_ns, MAX_REMEMBERED_POSITIONS)

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


def _remember(shifts_ns: OrderedDict[Any, int], key: object, shift_ns: int, most: int) -> None:
    shifts_ns[key] = shift_ns
    if len(shifts_ns) > most:
        shifts_ns.popitem(last=False)


class BackDatedSpans(SpanExporter):
    """An exporter that gets every span at its place in history."""

    def __init__(self, exporter: SpanExporter, dating: BackDating) -> None:
        self._exporter = exporter
        self._dating = dating

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([self._dating.moved(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()
