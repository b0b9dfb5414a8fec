from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from detectors.errors import CannotFit
from detectors.stats.sketch import EMPTY, Sketch, merge
from detectors.stats.tail import THREE_SIGMA_P, Tail, fit_tail

MS = 1e6


def log_normal(count: int, log_sd: float, seed: int = 1, median: float = 100 * MS) -> np.ndarray:
    return median * np.exp(log_sd * np.random.default_rng(seed).standard_normal(count))


def fit(values: object, left_out_count: int = 0) -> Tail:
    return fit_tail(Sketch.of(values), regime_scale_min=20 * MS, left_out_count=left_out_count)


@pytest.mark.parametrize("log_sd", [0.5, 1.0])
@pytest.mark.parametrize("count", [2_000, 20_000])
def test_three_sigma_means_a_seventh_of_a_percent(log_sd, count):
    """On skewed data that was not learned, 0.135% lie beyond 3σ, within a factor of 2."""
    shares = [
        (fit(log_normal(count, log_sd, seed)).sigma(log_normal(50_000, log_sd, 100 + seed)) >= 3).mean()
        for seed in range(8)
    ]
    assert THREE_SIGMA_P / 2 < np.mean(shares) < THREE_SIGMA_P * 2


def test_sigma_of_a_known_distribution():
    """The 2σ point of a log-normal is given 2σ, its median 0σ."""
    sigma = fit(log_normal(200_000, 0.5)).sigma([100 * MS, 100 * MS * np.exp(0.5 * 2)])
    assert sigma == pytest.approx([0.0, 2.0], abs=0.06)


def test_few_samples_claim_little():
    """Beyond 100 samples of 1 ms a pause of 30 ms is SEV5 at most, 150 ms is flagged, and none is SEV1."""
    pause, slow, second = fit(log_normal(100, 0.2, median=MS)).sigma([30 * MS, 150 * MS, 1000 * MS])
    assert pause < 4
    assert 4 < slow < second < 7


def test_left_out_samples_do_not_make_the_tail_creep():
    """A stationary stream whose flagged samples stay out keeps its false-alarm rate within a factor of 2."""
    rng = np.random.default_rng(3)
    sketch, left_out, shares = Sketch.of(log_normal(2_000, 0.5)), 0, []
    for _ in range(60):
        tail = fit_tail(sketch, regime_scale_min=20 * MS, left_out_count=left_out)
        values = 100 * MS * np.exp(0.5 * rng.standard_normal(5_000))
        flagged = tail.sigma(values) >= 3
        left_out += int(flagged.sum())
        shares.append(flagged.mean())
        sketch = merge([sketch, Sketch.of(values[~flagged])])
    assert np.mean(shares[30:]) < 2 * THREE_SIGMA_P


def test_rare_slow_mode_is_normal_when_it_was_seen():
    """An operation that takes 50 ms once in a hundred is not anomalous when it does so again."""
    rng = np.random.default_rng(4)
    values = np.where(rng.random(5_000) < 0.01, 50 * MS, MS) * np.exp(0.1 * rng.standard_normal(5_000))
    assert fit(values).sigma(50 * MS) < 3


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(1, 1e13), min_size=1, max_size=300),
    st.lists(st.floats(0, 1e15), min_size=2, max_size=20),
    st.integers(0, 50),
)
def test_sigma_never_falls_as_values_rise(values, points, left_out):
    """Any sketch gives finite, rising σ; nothing raises."""
    sigma = fit(values, left_out).sigma(np.sort(points))
    assert np.all(np.isfinite(sigma))
    assert np.all(np.diff(sigma) >= -1e-9)


def test_constant_operation_is_fitted():
    """An operation that always takes the same time has a tail, and twice that time is not yet proof."""
    tail = fit(np.full(500, 10 * MS))
    assert tail.p50 == pytest.approx(10 * MS, rel=0.01)
    assert tail.sigma(10 * MS) < 3 < tail.sigma(500 * MS)


def test_value_at_is_where_sigma_is_reached():
    """The threshold for 3σ and the σ of that threshold agree."""
    tail = fit(log_normal(5_000, 0.5))
    assert tail.sigma(tail.value_at(3.0)) >= 3.0 > tail.sigma(tail.value_at(3.0) / 1.04)


def test_empty_sketch_is_refused():
    """No samples, no tail."""
    with pytest.raises(CannotFit):
        fit_tail(EMPTY, regime_scale_min=1.0)


def test_a_fine_cell_leans_on_the_operation_until_it_has_seen_enough() -> None:
    """500 samples of quiet hours do not make a stall a wonder that the operation meets now and then; 100,000
    do."""
    rng = np.random.default_rng(4)
    quiet = 5e6 * np.exp(0.3 * rng.standard_normal(100_000))
    met = np.concatenate([quiet[:20_000], np.full(120, 90e6)])
    operation = fit_tail(Sketch.of(met), regime_scale_min=20e6)
    stall = 90e6
    sigmas = {}
    for count in (500, 100_000):
        sketch = Sketch.of(quiet[:count])
        alone = fit_tail(sketch, regime_scale_min=20e6).sigma(stall)
        leaning = fit_tail(sketch, regime_scale_min=20e6, coarser=operation).sigma(stall)
        sigmas[count] = alone, leaning
    few_alone, few = sigmas[500]
    assert few < 3 < few_alone
    assert sigmas[100_000][1] > 3.5


def stalling(count: int, seed: int) -> np.ndarray:
    """5 ms, and in 1.5% somewhere within a stall of half a second."""
    rng = np.random.default_rng(seed)
    usual = log_normal(count, 0.5, seed, 5 * MS)
    return np.where(rng.random(count) < 0.015, usual + rng.uniform(0, 500 * MS, count), usual)


@pytest.mark.parametrize("draw", [stalling, lambda count, seed: log_normal(count, 0.5, seed)])
@pytest.mark.parametrize("count", [500, 1_500])
def test_fine_cells_are_calibrated(draw, count):
    """Of what was not learned in cells of few samples, 0.135% lie beyond 3σ, within a factor of 2."""
    hours = [draw(count, hour) for hour in range(24)]
    operation = fit(np.concatenate(hours))
    cells = [fit_tail(Sketch.of(hour), regime_scale_min=20 * MS, coarser=operation) for hour in hours]
    shares = [(cell.sigma(draw(20_000, 100 + n)) >= 3).mean() for n, cell in enumerate(cells)]
    assert THREE_SIGMA_P / 2 <= np.mean(shares) <= THREE_SIGMA_P * 2


def test_an_hour_of_its_own_is_judged_by_its_own():
    """In an hour five times slower than the others its usual spans are usual, in the others they are not."""
    others = [log_normal(2_000, 0.3, seed, 10 * MS) for seed in range(23)]
    slow = log_normal(2_000, 0.3, 50, 50 * MS)
    operation = fit(np.concatenate([*others, slow]))
    own = fit_tail(Sketch.of(slow), regime_scale_min=20 * MS, coarser=operation)
    fast = fit_tail(Sketch.of(others[0]), regime_scale_min=20 * MS, coarser=operation)
    assert own.sigma(90 * MS) < 2.5
    assert fast.sigma(90 * MS) > 2.9


def test_what_was_left_out_says_nothing_of_beyond_the_largest():
    """Where larger samples are kept out, that none is seen beyond the largest kept one proves nothing."""
    kept = np.sort(log_normal(5_000, 0.5))[:-5]
    beyond = 1.02 * float(kept[-1])
    assert fit(kept, 0).sigma(beyond) > fit(kept, 5).sigma(beyond)
    assert fit(kept, 5).sigma(beyond) > 2.9
    assert fit(kept, 5).sigma(beyond).ndim == 0


def test_a_tail_that_was_cut_does_not_end_there():
    """With the longest stalls left out, one of three times the longest that is left is less of a wonder.

    With none left out it is one in a hundred thousand: that a tail of 400 stalls ends is never believed.
    """
    rng = np.random.default_rng(2)
    usual = log_normal(24_600, 0.4, 3, 0.3 * MS)
    kept = np.concatenate([usual, 50 * MS * np.exp(rng.beta(1.0, 2.0, 500))])
    beyond = 3 * float(kept.max())
    assert 3 < fit(kept, 20).sigma(beyond) < 4 < fit(kept, 0).sigma(beyond)


def test_a_tail_claims_no_more_than_its_shape_is_known():
    """Of normal samples no more lie beyond 4 and 4.5σ than twice the ideal, whatever tail they have."""
    rng = np.random.default_rng(11)
    draws = {
        "log-normal": lambda n: 5 * MS * np.exp(rng.standard_normal(n)),
        "exponential": lambda n: 20 * MS * rng.exponential(size=n),
        "Pareto": lambda n: 5 * MS * (1 + rng.pareto(2, n)),
    }
    for name, draw in draws.items():
        beyond = np.zeros(2)
        for _ in range(25):
            tail = fit_tail(Sketch.of(draw(3_000)), regime_scale_min=20 * MS)
            beyond += [(draw(100_000) > tail.value_at(sigma)).mean() / 25 for sigma in (4.0, 4.5)]
        assert (beyond / ndtr([-4.0, -4.5]) < 2).all(), name
