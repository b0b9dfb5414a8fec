from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import betabinom

from detectors.stats.beta_binomial import Rates, Rule, discoveries, exceedance
from detectors.stats.slots import SLOTS

NOTHING = np.empty(0, dtype=np.int64)


def rates(trials: float, hits: float, rule: Rule | None = None, series: int = 1) -> Rates:
    """Series with this past."""
    made = Rates(rule or Rule())
    made.grow([0] * series, [(trials, hits)] * series)
    return made


def live(made: Rates, seconds: int, trials: float, hits: float, code: int = 0) -> None:
    """The seconds up to 1000 hold so many trials and hits each."""
    ticks = np.arange(1_001 - seconds, 1_001)
    codes = np.full(seconds, code)
    made.add(codes, ticks, np.full(seconds, trials), np.full(seconds, hits))


@pytest.mark.parametrize(("k", "n", "alpha", "beta"), [(0, 10, 1, 9), (3, 10, 1, 9), (20, 400, 0.5, 300)])
def test_exceedance_is_that_of_the_beta_binomial(k, n, alpha, beta):
    """The sum agrees with SciPy's survival function."""
    (found,) = exceedance(np.array([k]), np.array([n]), np.array([alpha]), np.array([beta]))
    assert found == pytest.approx(betabinom.sf(k - 1, n, alpha, beta), rel=1e-9)


def test_rate_that_is_usual_is_no_alarm():
    """One in ten, always: one in ten is nothing."""
    made = rates(10_000, 1_000)
    live(made, 60, 10, 1)
    assert made.judge(np.array([0]), 1_000) == []


def test_more_than_usual_is_an_alarm_with_its_figures():
    """Half failing against one in a thousand."""
    made = rates(10_000, 10)
    live(made, 4, 10, 5)
    (alarm,) = made.judge(np.array([0]), 1_000)
    assert (alarm.hits, alarm.trials, alarm.window_s) == (20, 40, 5)
    assert alarm.sigma > 6
    assert alarm.usual_rate == pytest.approx(0.001, rel=0.1)


def test_what_is_beyond_doubt_needs_no_three_seconds():
    """Half failing for one second: an alarm when it fills four quarters, none when it is one stall."""
    found = []
    for at_ms in ((0, 10, 20, 30, 300), (0, 250, 500, 750)):
        made = rates(10_000, 10)
        live(made, 2, 10, 0)
        live(made, 1, 10, 10)
        moments = 1_000 * 10**9 + np.array(at_ms) * 1_000_000
        made.add_moments(np.zeros(len(at_ms), dtype=np.int64), np.full(len(at_ms), 1_000), moments)
        found.append(made.judge(np.array([0]), 1_000))
    assert found[0] == []
    assert [(alarm.hits, alarm.window_s) for alarm in found[1]] == [(10, 2)]


@pytest.mark.parametrize(
    ("seconds", "trials", "hits"),
    [(1, 100, 50), (4, 1_000, 12), (4, 0.5, 0.25)],
    ids=["one second", "below two points", "too few"],
)
def test_small_matters_are_no_alarm(seconds, trials, hits):
    """Bursts that last a second, are tiny, or rare are not reported."""
    made = rates(100_000, 10)
    live(made, seconds, trials, hits)
    assert made.judge(np.array([0]), 1_000) == []


def test_what_is_over_raises_no_new_alarm():
    """A burst of a minute ago and one hit now is not a burst now."""
    made = rates(10_000, 10)
    ticks = np.arange(945, 955)
    made.add(np.zeros(10, dtype=int), ticks, np.full(10, 10.0), np.full(10, 8.0))
    live(made, 40, 10, 0)
    made.add(np.array([0]), np.array([1_000]), np.array([0.0]), np.array([1.0]))
    assert made.judge(np.array([0]), 1_000) == []


def test_marked_seconds_are_not_learned():
    """An alarm's window stays out of the past; what comes before it is learned."""
    made = rates(1_000, 1)
    live(made, 20, 10, 0)
    live(made, 5, 0, 6)
    assert made.judge(np.array([0]), 1_000)
    made.move(np.arange(900, 1_001), NOTHING)
    assert made.past_trials[0] == 1_000 + 150
    assert made.past_hits[0] == 1


def test_false_alarms_of_500_series_over_a_day_are_rare():
    """Overdispersed errors of one in two hundred, 500 operations, an hour judged each second: none."""
    rng = np.random.default_rng(4)
    made = rates(5_000, 25, series=500)
    codes = np.arange(500)
    found = []
    for second in range(3_600):
        made.move(NOTHING, np.array([second % SLOTS]))
        failing = rng.binomial(10, rng.beta(0.5, 99.5, 500)).astype(float)
        made.add(codes, np.full(500, second), np.full(500, 10.0), failing)
        if second % 3 == 0:
            found += made.judge(np.flatnonzero(failing), second)
    assert len(found) <= 1


def test_discoveries_grow_stricter_with_what_is_watched():
    """The same probability is believed among ten and not among ten thousand."""
    p = np.array([1e-5])
    assert discoveries(p, 10, 1e-3).all()
    assert not discoveries(p, 10_000, 1e-3).any()
