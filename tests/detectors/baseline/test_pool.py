from __future__ import annotations

import numpy as np
import pytest

from detectors.baseline.pool import pool
from detectors.stats.arrays import FloatArray
from detectors.stats.sketch import Sketch
from detectors.stats.tail import THREE_SIGMA_P, fit_tail

SAMPLE_COUNTS = (10, 20, 50, 100, 1_000)
SEEDS = 12


def system(seed: int) -> list[tuple[float, float]]:
    """(median in ns, log-sd) of twelve operations: they differ in place more than in spread."""
    rng = np.random.default_rng(seed)
    return [
        (float(10 ** rng.uniform(6, 8.5)), float(0.4 * np.exp(0.4 * rng.standard_normal())))
        for _ in range(12)
    ]


def durations(rng: np.random.Generator, of: tuple[float, float], count: int) -> FloatArray:
    found: FloatArray = of[0] * np.exp(of[1] * rng.standard_normal(count))
    return found


@pytest.mark.parametrize("sample_count", SAMPLE_COUNTS)
def test_few_samples_are_as_calibrated_as_many(sample_count):
    """Of spans of operations with 10 to 1,000 samples 0.135% are beyond 3 sigma, within a factor of two."""
    beyond = judged = 0
    for seed in range(SEEDS):
        rng = np.random.default_rng([seed, sample_count])
        operations = system(seed)
        others = pool(Sketch.of(durations(rng, of, 400)) for of in operations)
        for of in system(100 + seed):
            sketch = Sketch.of(durations(rng, of, sample_count))
            tail = fit_tail(
                sketch,
                regime_scale_min=20e6,
                pooled=others.expected(sketch),
                pooled_count=others.sample_count,
            )
            sigma = tail.sigma(durations(rng, of, 4_000))
            beyond, judged = beyond + int((sigma >= 3).sum()), judged + len(sigma)
    assert 0.5 <= beyond / judged / THREE_SIGMA_P <= 2.0


def test_a_pool_sharpens_what_few_samples_say():
    """Ten samples among steady operations make three times the median an anomaly; alone they do not."""
    rng = np.random.default_rng(4)
    steady = pool(Sketch.of(durations(rng, (10.0**n, 0.1), 500)) for n in range(5, 10))
    sketch = Sketch.of(durations(rng, (50e6, 0.1), 10))
    alone = fit_tail(sketch, regime_scale_min=20e6)
    among = fit_tail(
        sketch, regime_scale_min=20e6, pooled=steady.expected(sketch), pooled_count=steady.sample_count
    )
    assert float(alone.sigma(150e6)) < 3 <= float(among.sigma(150e6))


@pytest.mark.parametrize(("sample_count", "most"), [(1, 2.0), (5, 3.1), (20, 4.1), (100, 5.1), (1_000, 6.3)])
def test_samples_bound_what_is_claimed(sample_count, most):
    """A value beyond all bounds is no surer than so many samples allow."""
    tail = fit_tail(
        Sketch.of(durations(np.random.default_rng(1), (1e7, 0.1), sample_count)), regime_scale_min=20e6
    )
    assert float(tail.sigma(1e30)) <= most
