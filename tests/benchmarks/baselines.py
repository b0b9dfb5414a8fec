"""What baselines cost, and what they survive.

    uv run python tests/benchmarks/baselines.py [--spans 10000000] [--json]

Cost: so many spans of 500 operations over all 168 hours of a week are learned in the learner's chunks, and a
model is fitted for each operation and hour that has enough samples.
Poisoning: so many of the learned spans are ten times slower and unflagged; of a minute of spans that are ten
times slower after that, how many are still caught, by themselves or by the shift of their operation.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detectors.baseline.learn import learn_times
from detectors.baseline.models import Baselines
from detectors.baseline.sketch_index import DURATION, SeriesKey
from detectors.settings import Settings
from detectors.spans.latency import detect_latency, slow_span
from detectors.spans.latency_shift import ShiftWatch
from detectors.stats.seasonality import HOURS_PER_WEEK, cell_names
from detectors.stream.span_groups import group_spans

_START_NS = 1_790_000_000 * 10**9
_HOUR_NS = 3_600 * 10**9
_CHUNK = 200_000  # the default of `detect_chunk_spans`


def cost(span_count: int, operation_count: int = 500) -> dict[str, Any]:
    """CPU seconds to learn and to fit."""
    rng = np.random.default_rng(1)
    names = pa.array([f"operation {n:03d}" for n in range(operation_count)])
    services = pa.array([f"service {n % 25:02d}" for n in range(operation_count)])
    medians_ns = 1e6 * np.exp(1.5 * rng.standard_normal(operation_count))
    baselines = Baselines(Settings())
    learned_s = 0.0
    for begin in range(0, span_count, _CHUNK):
        count = min(_CHUNK, span_count - begin)
        number = rng.integers(operation_count, size=count)
        # Time goes on as it would: a chunk is a few minutes of a week.
        start = _START_NS + ((begin + np.arange(count)) * HOURS_PER_WEEK * _HOUR_NS // span_count)
        duration = (medians_ns[number] * np.exp(0.4 * rng.standard_normal(count))).astype(np.int64)
        chosen = pa.array(number)
        table = _spans(begin, services.take(chosen), names.take(chosen), start, duration)
        began = time.process_time()
        baselines.add(learn_times(table))
        learned_s += time.process_time() - began
    began = time.process_time()
    fitted = 0
    for number in range(operation_count):
        for hour in range(HOURS_PER_WEEK):
            model = baselines.duration(services[number].as_py(), names[number].as_py(), "SERVER", hour)
            fitted += model is not None and model.cell == cell_names(hour)[0]
    fit_s = time.process_time() - began
    return {
        "spans": span_count,
        "operations": operation_count,
        "cells_fitted": fitted,
        "learn_cpu_s": round(learned_s, 2),
        "fit_cpu_s": round(fit_s, 2),
        "total_cpu_s": round(learned_s + fit_s, 2),
        "learn_us_per_span": round(1e6 * learned_s / span_count, 3),
    }


def poisoned(share: float, log_sd: float, learned_count: int = 5_000) -> dict[str, Any]:
    """An operation: `share` of its baseline is ten times slower, then for a minute all of it is."""
    rng = np.random.default_rng(2)

    def durations(count: int, slow_share: float) -> np.ndarray[Any, np.dtype[np.int64]]:
        slow = np.where(rng.random(count) < slow_share, 10.0, 1.0)
        return (50e6 * slow * np.exp(log_sd * rng.standard_normal(count))).astype(np.int64)

    def one(count: int, slow_share: float, begin: int) -> pa.Table:
        start = _START_NS + (begin + np.arange(count)) * 50_000_000  # 20 a second
        fixed = [pa.repeat(text, count) for text in ("service", "operation")]
        return _spans(begin, *fixed, start, durations(count, slow_share))

    settings = Settings()
    baselines = Baselines(settings)
    baselines.add(learn_times(one(learned_count, share, 0)))
    judged = one(1_200, 1.0, learned_count)
    watch = ShiftWatch(settings, slow_span)
    alone, together = set(), set()
    for begin in range(0, judged.num_rows, 20):
        batch = judged.slice(begin, 20)
        groups = group_spans(batch, baselines.duration)
        alone |= {a.trace_id for a in detect_latency(batch, groups, settings)}
        shifted = watch.observe(batch, groups, begin / 20.0)
        together |= {a.trace_id for a in (*shifted.new, *shifted.raised)}
    model = baselines.duration("service", "operation", "SERVER", 0)
    assert model is not None
    assert model.key == SeriesKey(DURATION, "service", "operation", "SERVER")
    return {
        "poisoned_share": share,
        "log_sd": log_sd,
        "caught_alone": round(len(alone) / judged.num_rows, 4),
        "caught": round(len(alone | together) / judged.num_rows, 4),
    }


def _spans(
    begin: int,
    services: pa.Array,
    names: pa.Array,
    start: np.ndarray[Any, np.dtype[np.int64]],
    duration: np.ndarray[Any, np.dtype[np.int64]],
) -> pa.Table:
    count = len(start)
    ids = pa.array([f"{n:032x}" for n in range(begin, begin + count)])
    flags = {name: pa.repeat(name == "is_new", count) for name in ("is_new", "flagged", "in_incident")}
    key = pc.binary_join_element_wise(services, names, "SERVER", "\x1f")
    return pa.table(
        {
            "trace_id": ids,
            "span_id": ids,
            "parent_span_id": pa.nulls(count, pa.string()),
            "service_name": services,
            "operation": names,
            "span_kind": pa.repeat("SERVER", count),
            "start_unix_nano": start,
            "duration_ns": duration,
            "operation_key": key,
            **flags,
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--spans", type=int, default=10_000_000)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    result = {
        "poisoning": [poisoned(share, sd) for sd in (0.2, 0.5) for share in (0.0, 0.01, 0.05, 0.10)],
        "cost": cost(arguments.spans),
    }
    if arguments.json:
        print(json.dumps(result, indent=2))
        return
    for row in result["poisoning"]:
        print(", ".join(f"{name} {value}" for name, value in row.items()))
    print(", ".join(f"{name} {value}" for name, value in result["cost"].items()))


if __name__ == "__main__":
    main()
