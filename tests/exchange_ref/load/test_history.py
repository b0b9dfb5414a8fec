from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from pathlib import Path
from typing import cast

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from exchange_ref.exchange import ExchangeConfig
from exchange_ref.load.arrivals import Load, Mix
from exchange_ref.load.history import BackDatedSpans, BackDating, play_back
from exchange_ref.load.population import Population
from exchange_ref.run import History, RunOptions, run_until
from exchange_ref.telemetry.outputs import Exporters

DAY_S = 86_400


def test_a_history_has_true_times_and_real_durations(tmp_path: Path) -> None:
    """Two days of orders, written in a second: whole traces, spread over the two days until now, each as long
    as it really took, its spans in their order."""
    memory = InMemorySpanExporter()
    options = RunOptions(ExchangeConfig(tmp_path), None, 150.0, 3, history=History(2 * DAY_S, 4.0))
    begun_s = time.time()
    report = asyncio.run(run_until(options, Exporters(memory), lambda _: None))
    took_s = time.time() - begun_s
    traces: dict[int, list[ReadableSpan]] = defaultdict(list)
    for span in memory.get_finished_spans():
        traces[span.context.trace_id].append(span)

    assert len(traces) == report["orders_accepted"] > 60
    starts_s = []
    for spans in traces.values():
        assert len(spans) == 17
        by_id = {span.context.span_id: span for span in spans}
        for span in spans:
            if span.parent:
                assert span.start_time >= by_id[span.parent.span_id].start_time
        root = next(span for span in spans if span.parent is None)
        assert 0 < (root.end_time - root.start_time) / 1e9 < took_s
        starts_s.append(root.start_time / 1e9)
    assert begun_s - 2 * DAY_S - 10 < min(starts_s) < begun_s - 1.5 * DAY_S
    assert begun_s - 0.5 * DAY_S < max(starts_s) <= begun_s + took_s


def test_gamblers_makers_transfers_and_cancels_have_a_past(tmp_path: Path) -> None:
    """A history holds all that the present does, none of it dated now, and what a gambler does with one
    position lies together."""
    memory = InMemorySpanExporter()
    options = RunOptions(
        ExchangeConfig(tmp_path),
        None,
        150.0,
        3,
        history=History(2 * DAY_S, 6.0),
        mix=Mix(transfer_share=0.1, cancel_share=0.1),
        population=Population(makers=0.2, gamblers=0.1),
    )
    begun_s = time.time()
    report = asyncio.run(run_until(options, Exporters(memory), lambda _: None))
    spans = memory.get_finished_spans()
    starts_s = [span.start_time / 1e9 for span in spans if span.parent is None]
    assert min(report[kind] for kind in ("transfers", "cancels", "trades")) > 5
    assert sum(start_s < begun_s - 3_600 for start_s in starts_s) > 0.9 * len(starts_s)
    met_s: dict[object, list[float]] = defaultdict(list)
    for span in spans:
        if "cfd.id" in span.attributes:
            met_s[span.attributes["cfd.id"]].append(span.start_time / 1e9)
    assert max(max(times) - min(times) for times in met_s.values()) < 60


class OnePosition:
    """A load of one arrival that opens a position."""

    arrivals_per_s = 1e6

    def __init__(self, provider: TracerProvider) -> None:
        self.tracer = provider.get_tracer("test")

    def arrive(self) -> None:
        with self.tracer.start_as_current_span("open", context=Context()) as span:
            span.set_attribute("cfd.id", "p-1")


def test_a_position_that_its_price_ends_stays_where_it_was_opened() -> None:
    """The trace that nobody asked for lies as long after the opening as it really did; a stranger's now."""
    memory, dating, provider = InMemorySpanExporter(), BackDating(), TracerProvider()
    provider.add_span_processor(dating)
    provider.add_span_processor(SimpleSpanProcessor(BackDatedSpans(memory, dating)))
    load = OnePosition(provider)
    moment = time.time_ns() - DAY_S * 10**9
    began_ns = time.time_ns()
    asyncio.run(play_back(cast(Load, load), iter([moment]), random.Random(1), asyncio.Event()))
    for position in ("p-1", "p-2"):
        with load.tracer.start_as_current_span("end", context=Context(), attributes={"cfd.id": position}):
            pass
    opened, ended, foreign = (span.start_time for span in memory.get_finished_spans())
    assert moment <= opened <= ended <= moment + time.time_ns() - began_ns
    assert foreign > moment + 10**12
