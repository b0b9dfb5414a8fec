from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from detectors.baseline.learn import learn_times
from detectors.baseline.models import Baselines
from detectors.settings import Settings
from detectors.spans.latency import detect_latency, slow_span
from detectors.spans.latency_shift import ShiftWatch
from detectors.stream.span_groups import group_spans

START_NS = 1_790_000_000 * 10**9


def spans(rng: np.random.Generator, count: int, slow_share: float, begin: int) -> pa.Table:
    """20 a second, a median of 50 ms; a share of them is ten times slower."""
    slow = np.where(rng.random(count) < slow_share, 10.0, 1.0)
    duration = 50e6 * slow * np.exp(0.3 * rng.standard_normal(count))
    ids = [f"{number:032x}" for number in range(begin, begin + count)]
    same = {"service_name": "shop", "operation": "buy", "span_kind": "SERVER"}
    return pa.table(
        {
            "trace_id": ids,
            "span_id": ids,
            "parent_span_id": pa.nulls(count, pa.string()),
            **{name: [text] * count for name, text in same.items()},
            "start_unix_nano": START_NS + (begin + np.arange(count)) * 50_000_000,
            "duration_ns": duration.astype(np.int64),
            "operation_key": ["shop\x1fbuy\x1fSERVER"] * count,
            **{name: [name == "is_new"] * count for name in ("is_new", "flagged", "in_incident")},
        }
    )


@pytest.mark.parametrize("poisoned", [0.0, 0.01, 0.05])
def test_a_poisoned_baseline_still_catches_its_poison(poisoned):
    """With 5% of the baseline ten times slower, nine in ten spans of a minute that is so are flagged."""
    rng = np.random.default_rng(2)
    settings, baselines = Settings(), Baselines(Settings())
    baselines.add(learn_times(spans(rng, 5_000, poisoned, 0)))
    judged = spans(rng, 1_200, 1.0, 5_000)
    watch, flagged = ShiftWatch(settings, slow_span), set()
    for begin in range(0, judged.num_rows, 20):
        batch = judged.slice(begin, 20)
        groups = group_spans(batch, baselines.duration)
        shifted = watch.observe(batch, groups, begin / 20.0)
        alone = detect_latency(batch, groups, settings)
        flagged |= {anomaly.trace_id for anomaly in (*alone, *shifted.new, *shifted.raised)}
    assert len(flagged) >= 0.9 * judged.num_rows
