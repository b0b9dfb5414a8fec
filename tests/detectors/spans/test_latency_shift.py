from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

from detectors.baseline.learn import learn_times
from detectors.baseline.models import Baselines
from detectors.model.anomaly import Anomaly
from detectors.settings import Settings
from detectors.spans import latency_shift as shift
from detectors.spans.latency import slow_span
from detectors.spans.latency_shift import Shifted, ShiftWatch, window_sigmas
from detectors.stream.span_groups import group_spans

START_NS = 1_790_000_000 * 10**9
MS = 1_000_000


def table(durations_ms: np.ndarray, starts_s: np.ndarray, service: str = "shop", first: int = 0) -> pa.Table:
    """Root spans of one operation."""
    count = len(durations_ms)
    return pa.table(
        {
            "trace_id": [f"{i + first:032x}" for i in range(count)],
            "span_id": [f"{i + first:016x}" for i in range(count)],
            "parent_span_id": pa.nulls(count, pa.string()),
            "service_name": [service] * count,
            "operation": ["SELECT wallets"] * count,
            "span_kind": ["CLIENT"] * count,
            "start_unix_nano": START_NS + (starts_s * 1e9).astype(np.int64),
            "duration_ns": (durations_ms * MS).astype(np.int64),
            "operation_key": [f"{service}\x1fSELECT wallets\x1fCLIENT"] * count,
            "is_new": [True] * count,
            "flagged": [False] * count,
            "in_incident": [False] * count,
        }
    )


def hiccuping(count: int, share: float = 0.01) -> np.ndarray:
    """0.3 ms, and now and then 70 to 138 ms: a tail so heavy that 120 ms is nothing by itself."""
    rng = np.random.default_rng(3)
    values = 0.3 * np.exp(0.2 * rng.standard_normal(count))
    values[:: round(1 / share)] = rng.uniform(70, 138, len(values[:: round(1 / share)]))
    return values


class Live:
    """An operation with a learned baseline, followed second by second."""

    def __init__(self, service: str = "shop") -> None:
        self.settings = Settings()
        self.baselines = Baselines(self.settings)
        self.baselines.add(learn_times(table(hiccuping(400), np.zeros(400), service)))
        self.watch = ShiftWatch(self.settings, slow_span)
        self.service = service
        self.now_s = 0.0
        self.count = 0
        self.new: list[Anomaly] = []
        self.raised: list[Anomaly] = []

    def run(
        self, seconds: float, duration_ms: float = 0.3, *, rate_per_s: int = 50, batch_s: float = 0.25
    ) -> None:
        """Land batches for so long, with spans of this duration at even intervals."""
        end_ms, step_ms = round((self.now_s + seconds) * 1e3), round(batch_s * 1e3)
        for begin_ms in range(round(self.now_s * 1e3), end_ms, step_ms):
            starts = np.arange(begin_ms, min(begin_ms + step_ms, end_ms)) * rate_per_s
            starts = starts[starts % 1_000 == 0] / rate_per_s / 1e3
            self.now_s = min(begin_ms + step_ms, end_ms) / 1e3
            self.take(table(np.full(len(starts), duration_ms), starts, self.service, self.count))
            self.count += len(starts)

    def take(self, spans: pa.Table) -> Shifted:
        found = self.watch.observe(spans, group_spans(spans, self.baselines.duration), self.now_s)
        self.new += found.new
        self.raised += found.raised
        return found


@pytest.mark.parametrize(("slow", "moments"), [(3, 4), (4, 4), (8, 8), (11, 16), (32, 32)])
def test_sigma_is_the_binomial_tail(slow, moments):
    """k slow moments of n have the σ of the binomial tail, times the four windows tried."""
    pattern = np.zeros(moments, dtype=bool)
    pattern[-slow:] = True
    best = window_sigmas(pattern, np.arange(moments), 0.02)
    expected = max(
        norm.isf(4 * binom.sf(pattern[-n:].sum() - 1, n, 0.02)) for n in (4, 8, 16, 32) if n <= moments
    )
    assert best.sigma[-1] == pytest.approx(expected)


@pytest.mark.parametrize("slow", [1, 2])
def test_two_slow_moments_are_below_three_sigma(slow):
    """One stall, two slow moments at most, is nothing, however many ordinary moments lie around it."""
    pattern = np.zeros(40, dtype=bool)
    pattern[20 : 20 + slow] = True
    assert (window_sigmas(pattern, np.arange(40), 0.02).sigma == -np.inf).all()


def test_moments_over_minutes_are_a_window_of_rare_calls_alone():
    """Moments far apart in time are no window, unless the operation is called as rarely as that."""
    slow = np.arange(34) >= 30
    far = np.r_[np.arange(30), 30 + np.arange(4) * 70]
    assert (window_sigmas(slow, far, 0.02).sigma == -np.inf).all()
    near = np.r_[np.arange(30), 30 + np.arange(4) * 30]
    assert (window_sigmas(slow, near, 0.02).sigma[-4:] > 4).all()
    assert (window_sigmas(np.ones(4, dtype=bool), np.arange(4) * 120, 0.02).sigma > 4).all()


def test_shift_is_sustained():
    """One slow moment in three is improbable, but no shift; one in two is."""
    third = np.arange(32) % 3 == 0
    assert (window_sigmas(third, np.arange(32), 0.02).sigma == -np.inf).all()
    half = np.tile([True, False], 16)
    assert (window_sigmas(half, np.arange(32), 0.02).sigma[half] > 5).all()


def test_what_was_slow_by_chance_before_is_no_part_of_a_shift():
    """Two moments long before lie in the same window; one just before a shift that wanes belongs to it."""
    slow = np.zeros(32, dtype=bool)
    slow[[2, 9]] = True
    slow[[16, *range(18, 32)]] = True
    sigma = window_sigmas(slow, np.arange(32), 0.02).sigma
    assert (sigma[[2, 9]] == -np.inf).all()
    assert (sigma[[16, *range(18, 32)]] > 5).all()


def test_many_calls_of_one_trace_are_one_witness():
    """Two traces that call a slow operation for seconds are no shift; as many calls of as many traces are."""
    live, other = Live(), Live()
    for watched, trace_count in ((live, 2), (other, 200)):
        watched.run(10)
        spans = table(np.full(200, 120.0), 10 + np.arange(200) * 0.02)
        traces = pa.array([f"{i % trace_count:032x}" for i in range(200)])
        watched.take(spans.set_column(0, "trace_id", traces))
    assert live.new == []
    assert len(other.new) == 200


def test_sustained_slowness_is_flagged_within_two_seconds():
    """120 ms each time where 1% took as long before: flagged in 2 s, all of its spans, SEV1 in 6 s."""
    live = Live()
    live.run(20)
    assert live.new == []
    live.run(2.0, 120)
    assert len(live.new) >= 75
    live.run(4.0, 120)
    assert len(live.new) == 300
    assert {a.severity for a in live.new[-50:]} == {1}
    final = {a.anomaly_id: a for a in [*live.new, *live.raised]}
    assert {a.severity for a in final.values()} == {1}
    assert min(a.start_unix_nano for a in live.new) == START_NS + 20 * 10**9


def test_flag_states_what_it_rests_on():
    """Window, threshold and the span's own σ are in the details, the median is expected."""
    live = Live()
    live.run(10)
    live.run(3, 120)
    anomaly = live.new[-1]
    assert anomaly.detector == "latency"
    assert anomaly.expected == pytest.approx(0.3 * MS, rel=0.05)
    assert anomaly.details["rule"] == "shift"
    assert (anomaly.details["exceeding_moments"], anomaly.details["moments"]) == (6, 8)
    assert anomaly.details["window_s"] == 4.0
    assert 0 < anomaly.span_sigma < 3 < anomaly.shift_sigma == pytest.approx(anomaly.sigma, abs=1e-3)
    assert 5 * MS < anomaly.details["threshold_ns"] < 70 * MS


@pytest.mark.parametrize("phase_s", [0.0, 0.1, 0.25, 0.4])
@pytest.mark.parametrize("stall_s", [0.05, 0.3, 0.6])
def test_one_stall_is_nothing(phase_s, stall_s):
    """Everything is slow for up to 600 ms, at any phase: no shift."""
    live = Live()
    live.run(10 + phase_s, batch_s=0.05)
    live.run(stall_s, 400, batch_s=0.05)
    live.run(10, batch_s=0.05)
    assert live.new == []


def test_slow_traffic_is_judged_too():
    """One span a second: flagged after some spans."""
    live = Live()
    live.run(60, rate_per_s=1, batch_s=1.0)
    live.run(8, 120, rate_per_s=1, batch_s=1.0)
    assert len(live.new) == 8


def test_small_shift_does_not_matter():
    """Four milliseconds more, for long, are below the minimum effect."""
    live = Live()
    live.run(10)
    live.run(20, 4.3)
    assert live.new == []


def test_learning_operation_is_not_judged():
    """Without a baseline there is no shift."""
    live = Live()
    live.baselines = Baselines(live.settings)
    live.run(10, 900)
    assert live.new == []


def test_empty_batch_is_quiet():
    """No spans, nothing found, no error."""
    assert Live().take(table(np.empty(0), np.empty(0))) == Shifted()


def test_names_do_not_matter():
    """Another service name changes nothing but the name."""
    sigmas = []
    for service in ("a", "ünïcödé ☃"):
        live = Live(service)
        live.run(5)
        live.run(4, 120)
        sigmas.append([a.sigma for a in live.new])
    assert sigmas[0] == sigmas[1] != []


def test_replay_in_one_batch_finds_the_same_spans():
    """A recording that lands at once is judged as it would have been live."""
    live = Live()
    live.run(20)
    live.run(6, 120)
    live.run(10)
    replay = Live()
    starts = np.arange(0, 36, 0.02)
    replay.take(table(np.where((starts >= 20) & (starts < 26), 120.0, 0.3), starts))
    assert {a.start_unix_nano for a in replay.new} == {a.start_unix_nano for a in live.new}
    assert len(live.new) == 300


@settings(deadline=None)  # the first example pays for imports
@given(seed=st.integers(0, 2**32), batch_count=st.integers(1, 5))
def test_order_inside_a_moment_does_not_matter(seed, batch_count):
    """Spans of one moment may arrive in any order and in any number of batches."""
    starts = np.arange(0, 4, 0.02)
    spans = table(np.where(starts >= 1.2, 120.0, 0.3), starts)
    shuffler = random.Random(seed)
    ordered, shuffled = Live(), Live()
    for moment in range(8):
        rows = list(range(moment * 25, moment * 25 + 25))
        ordered.take(spans.take(pa.array(rows)))
        shuffler.shuffle(rows)
        for batch in range(batch_count):
            shuffled.take(spans.take(pa.array(rows[batch::batch_count], pa.int64())))
    outcomes = [{a.span_id: a.severity for a in [*live.new, *live.raised]} for live in (ordered, shuffled)]
    assert outcomes[0] == outcomes[1] != {}


@pytest.mark.parametrize("start_s", [-1e9, 7e9])
def test_strange_times_are_survived(start_s):
    """Spans from before 1970 or two centuries ahead raise nothing and hide nothing."""
    live = Live()
    live.run(10)
    live.take(table(np.array([0.3, 900.0]), np.array([start_s, start_s + 1])))
    live.run(3, 120)
    assert len(live.new) >= 100


@pytest.mark.parametrize(("factor", "worst"), [(2.5, 4), (6, 3), (100, 1)])
def test_severity_is_bounded_by_the_size_of_the_shift(factor: float, worst: int) -> None:
    """However long it lasts, 2.5 × the median is SEV4 at most and 6 × SEV3; 100 × reaches SEV1."""
    found = np.array([9.0, 3.4])
    bounded = shift.bounded_by_size(found, np.array([factor, factor]), Settings())

    assert shift.severity_of(float(bounded[0]), Settings().severity_sigmas()) == worst
    assert bounded[1] == 3.4
