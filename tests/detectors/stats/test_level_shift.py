from __future__ import annotations

import numpy as np
import pytest

from detectors.stats.level_shift import READY_POINTS, Levels, Shift

RNG_SEEDS = range(5)


def feed(values: np.ndarray, min_change: float = 0.25, noise: float = 0.0) -> list[Shift]:
    """One series, point by point."""
    levels = Levels(min_change)
    levels.grow(1)
    return [
        shift
        for value in values
        for shift in levels.add(np.array([0]), np.array([float(value)]), np.array([noise]))
    ]


def steady(count: int, seed: int = 1) -> np.ndarray:
    return 100 + np.random.default_rng(seed).standard_normal(count)


@pytest.mark.parametrize("seed", RNG_SEEDS)
def test_steady_drifting_and_daily_figures_are_quiet(seed):
    """Noise, a random walk, a slope and a sine raise nothing in 2,000 points."""
    rng = np.random.default_rng(seed)
    walk = 100 * np.exp(0.02 * np.cumsum(rng.standard_normal(2_000)))
    slope = np.linspace(100, 900, 2_000) + rng.standard_normal(2_000)
    day = 100 + 60 * np.sin(np.arange(2_000) / 150) + rng.standard_normal(2_000)
    for values in (steady(2_000, seed), walk, slope, day):
        assert [shift for shift in feed(values) if shift.sigma >= 3] == []


@pytest.mark.parametrize("factor", [0.2, 2.0, 50.0])
def test_level_that_changes_is_reported_once(factor):
    """Up or down, with the third point of the new level, and not again while it stays."""
    values = steady(300)
    values[200:] *= factor
    (found,) = feed(values)
    assert found.sigma >= 3
    assert found.expected == pytest.approx(100, rel=0.02)
    assert found.observed == pytest.approx(100 * factor, rel=0.03)


def test_single_spike_is_no_level():
    """One or two points out of the way are not a new level."""
    values = steady(300)
    values[200:202] = 5_000
    assert feed(values) == []


def test_learning_series_is_not_judged():
    """Before it has shown what is usual, nothing is unusual."""
    values = steady(READY_POINTS - 1)
    values[-4:] = 9_000
    assert feed(values) == []


def test_first_few_events_of_a_counter_are_noise():
    """From nothing to one event each time is what counting allows; to hundreds is not."""
    quiet = np.zeros(100)
    quiet[80:] = 0.2
    assert feed(quiet, noise=0.4) == []
    quiet[80:] = 40.0
    assert len(feed(quiet, noise=0.4)) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_figures_that_are_none_are_left_out(value):
    """NaN and infinity neither count nor raise."""
    values = steady(300)
    values[::7] = value
    assert feed(values) == []


def test_batch_of_points_is_judged_like_single_points():
    """Many series in one batch, each several times, in order."""
    one = steady(200)
    one[150:] *= 3
    levels = Levels(0.25)
    levels.grow(2)
    codes = np.tile([0, 1], 200)
    values = np.stack([one, steady(200, 2)], axis=1).ravel()
    found = levels.add(codes, values, np.zeros(400))
    assert [(shift.code, shift.observed) for shift in found] == [(0, feed(one)[0].observed)]


def test_leak_is_found_though_jumps_are_usual():
    """Collections add half for a while again and again: no level is new, but four equal steps are."""
    values = steady(300) + np.where(np.arange(300) % 40 < 6, 60.0, 0.0)
    assert [shift for shift in feed(values) if shift.sigma >= 3] == []
    values[210:] += 10 * np.arange(90)
    found = [shift for shift in feed(values) if shift.sigma >= 3]
    assert found
    assert (found[0].expected, found[0].observed) == (pytest.approx(100, abs=6), pytest.approx(140, abs=15))
