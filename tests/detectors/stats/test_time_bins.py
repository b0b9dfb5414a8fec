from __future__ import annotations

import numpy as np
import pytest

from detectors.stats.time_bins import CHANCE_MIN, MOMENT_NS, Moments

CHECKOUT = ("shop", "checkout", "SERVER")
START = 1_790_000_000 * 10**9


def filled(slow_share: float = 0.0, *, moments: int = 10, spans: int = 20, p50_ns: float = 1e6) -> Moments:
    """One operation with as many spans in each moment, the first ones of each being slow."""
    made = Moments(span_chance=0.05)
    code = made.code(CHECKOUT, p50_ns)
    width = round(made.width_s(code) * 1e9)
    starts = START + np.repeat(np.arange(moments) * width, spans)
    slow = np.tile(np.arange(spans) < slow_share * spans, moments)
    made.add(np.full(len(starts), code), starts, slow, now_s=0.0)
    return made


@pytest.mark.parametrize(("slow_share", "expected"), [(0.0, 0), (0.5, 0), (0.55, 10), (1.0, 10)])
def test_moment_is_slow_when_most_of_its_spans_are(slow_share, expected):
    """Half is not most."""
    assert filled(slow_share).series(0).slow.sum() == expected


def test_moment_is_at_least_twice_the_median_long():
    """Spans of two seconds are all hit by one stall, so their moments are longer."""
    widths = [filled(p50_ns=ns).width_s(0) for ns in (3e5, 250e6, 251e6, 2e9)]
    assert widths == [0.5, 0.5, 1.0, 4.0]


def test_newest_moment_waits_until_it_is_half_full():
    """A moment that has only begun says nothing yet; an earlier thin one has said all it has."""
    moments = filled(moments=5, spans=20)
    after = START + 5 * MOMENT_NS
    moments.add(np.zeros(9, dtype=int), np.full(9, after), np.ones(9, dtype=bool), now_s=1.0)
    assert len(moments.series(0).at) == 5
    moments.add(np.zeros(1, dtype=int), np.array([after]), np.ones(1, dtype=bool), now_s=1.0)
    assert len(moments.series(0).at) == 6
    assert moments.series(0).slow[-1]


def test_memory_is_bounded():
    """A day of one operation in one batch leaves little, silence after it less, and in the end nothing."""
    moments = filled(moments=24 * 7_200, spans=1)
    moments.forget(0.0)
    assert len(moments.series(0).at) == 64
    assert moments.series(0).at[-1] == START // MOMENT_NS + 24 * 7_200 - 1
    moments.forget(61.0)
    assert len(moments.series(0).at) == 12
    moments.forget(1_801.0)
    assert len(moments.series(0).at) == 0


def test_newest_moments_of_rare_calls_are_kept():
    """A job that runs once a minute is judged by its newest twelve runs."""
    moments = Moments(0.05)
    code = moments.code(CHECKOUT, 1e6)
    for minute in range(40):
        at = np.array([START + minute * 60 * 10**9])
        moments.add(np.array([code]), at, np.array([True]), now_s=60.0 * minute)
        moments.forget(60.0 * minute)
    assert len(moments.series(code).at) == 12
    assert moments.suspicious(np.array([code]), ((4, 4),)).tolist() == [code]


def test_clock_that_jumped_ahead_and_back_is_outlived():
    """Moments from the future are forgotten as soon as others, and do not displace the present."""
    moments = filled(moments=64)
    jumped = START + 10**18 + np.arange(64) * MOMENT_NS
    moments.add(np.zeros(64, dtype=int), jumped, np.zeros(64, dtype=bool), now_s=10.0)
    back = START + np.arange(64) * MOMENT_NS
    moments.add(np.zeros(64, dtype=int), back, np.zeros(64, dtype=bool), now_s=11.0)
    moments.forget(11.0)
    assert moments.series(0).at[-1] == START // MOMENT_NS + 63


def test_chance_is_learned_from_the_past_but_never_from_a_shift():
    """An operation that is often slow for a moment is believed less; a shift teaches nothing."""
    calm, rough, shifted = filled(), filled(moments=2_000), filled(1.0, moments=2_000)
    assert calm.series(0).chance == CHANCE_MIN
    slow = np.arange(2_000) % 5 == 0
    starts = START + 10**13 + np.arange(2_000) * MOMENT_NS
    rough.add(np.zeros(2_000, dtype=int), starts, slow, now_s=1.0)
    rough.forget(1.0)
    assert rough.series(0).chance == pytest.approx(0.1, rel=0.1)
    shifted.mark(shifted.series(0).keys)
    shifted.forget(0.0)
    assert shifted.series(0).chance == CHANCE_MIN


def test_thin_moments_are_slow_by_chance_more_often():
    """The one span of a moment is above q95 in 5%, most of twenty are never."""
    assert filled(spans=1).series(0).chance == pytest.approx(0.05)
    assert filled(spans=20).series(0).chance == CHANCE_MIN
