from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from exchange_ref.exchange import ExchangeConfig
from exchange_ref.outputs import Exporters
from exchange_ref.run import History, RunOptions, run_until

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
