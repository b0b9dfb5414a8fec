from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from detectors.baseline.learn import learn_times
from detectors.baseline.models import Baselines
from detectors.model.anomaly import ERROR, Anomaly
from detectors.settings import Settings
from detectors.spans.speedup import FasterWatch
from detectors.stream.span_groups import group_spans

START_NS = 1_790_000_000 * 10**9
MS = 1_000_000


def table(
    durations_ms: np.ndarray, starts_s: np.ndarray, first: int = 0, trace: str | None = None
) -> pa.Table:
    """Root spans of one operation; all of one trace where it is named."""
    count = len(durations_ms)
    return pa.table(
        {
            "trace_id": [trace or f"{i + first:032x}" for i in range(count)],
            "span_id": [f"{i + first:016x}" for i in range(count)],
            "parent_span_id": pa.nulls(count, pa.string()),
            "service_name": ["shop"] * count,
            "operation": ["SELECT carts"] * count,
            "span_kind": ["CLIENT"] * count,
            "start_unix_nano": START_NS + (starts_s * 1e9).astype(np.int64),
            "duration_ns": (durations_ms * MS).astype(np.int64),
            "operation_key": ["shop\x1fSELECT carts\x1fCLIENT"] * count,
            **{name: [name == "is_new"] * count for name in ("is_new", "flagged", "in_incident")},
        }
    )


class Live:
    """An operation of about 50 ms, followed in passes of half a second."""

    def __init__(self, learned_ms: np.ndarray | None = None) -> None:
        self.rng = np.random.default_rng(6)
        usual = 50 * np.exp(0.2 * self.rng.standard_normal(2_000)) if learned_ms is None else learned_ms
        self.baselines = Baselines(Settings())
        self.baselines.add(learn_times(table(usual, np.zeros(len(usual)))))
        self.watch = FasterWatch(Settings())
        self.now_s, self.count = 0.0, 0
        self.found: list[Anomaly] = []

    def run(
        self,
        seconds: float,
        p50_ms: float,
        *,
        fast_share: float = 0.0,
        trace: str | None = None,
        others: tuple[Anomaly, ...] = (),
    ) -> list[Anomaly]:
        """20 spans a second; a share of them takes a tenth. Returns what this stretch revealed."""
        before = len(self.found)
        for _ in range(int(seconds * 2)):
            ms = p50_ms * np.exp(0.2 * self.rng.standard_normal(10))
            ms = np.where(self.rng.random(10) < fast_share, ms / 10, ms)
            spans = table(ms, self.now_s + np.arange(10) / 20, self.count, trace)
            self.now_s, self.count = self.now_s + 0.5, self.count + 10
            groups = group_spans(spans, self.baselines.duration)
            self.found += self.watch.judge(spans, groups, self.now_s, others)
        return self.found[before:]


def test_a_cache_that_answers_errors_is_found_within_seconds():
    """Ten times faster from one moment to the next: a hint within nine seconds, at a few stored spans."""
    live = Live()
    live.run(30, 50)
    assert live.found == []
    found = live.run(9, 5)
    assert 1 <= len(found) <= 3
    assert {(a.detector, a.severity, a.details["direction"]) for a in found} == {("latency", 5, "faster")}
    assert all(a.observed < a.expected / 2 for a in found)
    assert "times faster" in found[0].text
    assert found[0].span_sigma == 0.0  # so that it opens no incident


def test_it_is_said_once_while_it_lasts():
    """A minute of it is no wall of anomalies."""
    live = Live()
    live.run(10, 50)
    assert len(live.run(60, 5)) <= 3


@pytest.mark.parametrize("failing", [False, True])
def test_with_errors_it_weighs_more(failing):
    """SEV4 where calls of the operation fail at the same time, SEV5 else."""
    live = Live()
    live.run(10, 50)
    example = live_example()
    others = (replace(example, detector=ERROR),) if failing else ()
    assert {a.severity for a in live.run(12, 5, others=others)} == {4 if failing else 5}


def live_example() -> Anomaly:
    """Any anomaly of the operation."""
    live = Live()
    live.run(5, 50)
    return live.run(10, 5)[0]


def test_a_little_faster_is_nothing():
    """Two thirds of the time is no reason to look."""
    live = Live()
    assert live.run(60, 34) == []


def test_a_short_operation_cannot_be_faster_by_enough():
    """From 3 ms to nothing is less than matters."""
    live = Live(3 * np.exp(0.2 * np.random.default_rng(1).standard_normal(2_000)))
    assert live.run(30, 0.1) == []


def test_a_cache_that_hits_more_often_is_nothing():
    """Where one in five was fast already, fast is normal, and half of them too."""
    rng = np.random.default_rng(2)
    learned = 50 * np.exp(0.2 * rng.standard_normal(2_000)) * np.where(rng.random(2_000) < 0.2, 0.1, 1.0)
    live = Live(learned)
    assert live.run(120, 50, fast_share=0.5) == []


def test_one_trace_is_one_witness():
    """A batch job that finds its thousand rows in a cache is one event."""
    live = Live()
    live.run(10, 50)
    assert live.run(20, 5, trace="a" * 32) == []


def test_a_clock_that_steps_back_is_not_fast():
    """Durations below zero are no speed."""
    live = Live()
    live.run(10, 50)
    assert live.run(20, -5) == []


def test_its_time_is_kept_for_learning():
    """From the first fast moment to the newest fast span."""
    live = Live()
    live.run(10, 50)
    live.run(12, 5)
    (episode,) = live.watch.episodes
    assert episode.operation == ("shop", "SELECT carts", "CLIENT")
    assert (episode.since_unix_nano - START_NS) / 1e9 == pytest.approx(10, abs=0.6)
    assert (episode.until_unix_nano - START_NS) / 1e9 == pytest.approx(22, abs=0.6)
