"""Estimates the spread of an operation with few samples from the other operations of its service.

On the log scale an operation has a location m (its median) and a spread b (the mean log excess over the
median of the half above it). Both differ between operations; the shape in units of the spread, z = (log x -
m) / b, hardly does. So from all operations of a service and kind that have some samples,

    log b_i ~ Normal(mu, tau^2 + 1/k_i),    z pooled over all of them, with a tail of its own

and an operation with n samples, k of them above its median, is expected to exceed x with

    S(x) = E[ G((log x - m) / b) ],  log b ~ Normal((mu/tau^2 + k log b^) / (1/tau^2 + k), 1/(1/tau^2 + k)),
                                     m ~ Normal(m^, 2 b^2 / n)

by quadrature. With many samples only G comes from the pool; with none everything does.

Source: normal-normal empirical Bayes (Efron & Morris 1975) on log spreads; location-scale families.

>>> rng = np.random.default_rng(1)
>>> others = [Sketch.of(10.0**i * np.exp(0.2 * rng.standard_normal(300))) for i in range(1, 9)]
>>> shape = pool(others)
>>> few = shape.expected(Sketch.of([5e6, 5.5e6, 6e6]))
>>> [f"{p:.0e}" for p in few.survival(np.array([7e6, 12e6, 60e6]))]
['1e-01', '2e-03', '3e-05']
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from detectors.stats.arrays import FloatArray
from detectors.stats.sketch import MIN_VALUE, Sketch, bucket_of, value_of
from detectors.stats.tail import Tail, fit_tail

_SAMPLES_MIN = 10  # of an operation in a pool: fewer say little about the spread
_SAMPLES_MAX = 2_000  # counted of one operation, so that the busiest one does not dominate the pool
_WINSORISED = 0.9  # one stall among ten samples must not set their spread
# With k = .65 (n - 1), operations with 100 samples had .49 of the ideal share beyond 3σ (now .55), with 10,
# 20 and 50 1.64, .75, .53 (now 1.56, .81, .61; tests/benchmarks/calibration.py, log-normal).
_CAP_SAMPLES = 8.0
# In a pool of few operations: their spreads differ by this much (the log's standard deviation) …
_PRIOR_TAU, _PRIOR_TAU_OPERATIONS = 0.7, 1.0
_TAU_MIN = 0.1
# … and in a pool of none: p99 is about 2 medians.
_PRIOR_LOG_SPREAD = math.log(0.25)
_PRIOR_SPREAD_OPERATIONS = 1.0
_SPREADS, _WEIGHTS = (array.astype(np.float64) for array in np.polynomial.hermite_e.hermegauss(7))
_SPREAD_SHARES = _WEIGHTS / _WEIGHTS.sum()
_PLACES, _WEIGHTS = (array.astype(np.float64) for array in np.polynomial.hermite_e.hermegauss(3))
_PLACE_SHARES = _WEIGHTS / _WEIGHTS.sum()
_GRID = np.geomspace(0.02, 2_000.0, 96)  # spreads above the median
_SMALLEST_P = 1e-300
_PLACE_VARIANCE = 2.0
_SPREAD_MIN = 0.01  # half a bucket of the sketch
_Z_MIN = 0.01
_SHAPE_SAMPLES_MIN = 100  # below, the shape is taken for exponential
_UNSEEN_SPREADS = 5.0  # how far from the median an unseen regime of a pool lies, in spreads


@dataclass(frozen=True, slots=True)
class Pool:
    """What the operations of a group have in common.

    log_spread, log_spread_sd: mu and tau; shape: G, in units of the spread; sample_count: samples behind G.
    """

    log_spread: float
    log_spread_sd: float
    shape: Tail | None
    sample_count: int

    def expected(self, sketch: Sketch) -> Expected:
        """The expected distribution of an operation with these samples; at least one sample."""
        place, spread, k = place_and_spread(sketch)
        precision = 1.0 / self.log_spread_sd**2
        log_spread = (precision * self.log_spread + k * math.log(spread)) / (precision + k)
        deviation = math.sqrt(1.0 / (precision + k))
        spreads = np.exp(log_spread + deviation * _SPREADS)
        excess = _GRID * math.exp(log_spread)
        off = _PLACES * math.sqrt(_PLACE_VARIANCE / sketch.sample_count)
        z = excess[:, None, None] / spreads[None, :, None] - off[None, None, :]
        beyond = np.einsum(
            "gij,i,j->g", self._beyond(z.ravel()).reshape(z.shape), _SPREAD_SHARES, _PLACE_SHARES
        )
        return Expected(place + excess, np.log(np.maximum(beyond, _SMALLEST_P)))

    def _beyond(self, z: FloatArray) -> FloatArray:
        """G(z)."""
        if self.shape is None:  # half of all lie above the median, exponentially
            return np.asarray(0.5 * np.exp(-np.maximum(z, 0.0)), dtype=np.float64)
        return np.minimum(self.shape.survival(np.maximum(z, _Z_MIN)), 0.5)


@dataclass(frozen=True, slots=True)
class Expected:
    """The predictive distribution of one operation, on a grid of log x; log S is linear between points."""

    log_x: FloatArray
    log_survival: FloatArray

    def survival(self, x: FloatArray) -> FloatArray:
        """P(X > x), for x above the median; x in the unit of the samples."""
        at = np.interp(np.log(np.maximum(x, MIN_VALUE)), self.log_x, self.log_survival)
        return np.asarray(np.exp(at), dtype=np.float64)


def pool(sketches: Iterable[Sketch]) -> Pool:
    """The pool of these operations of a service and kind; those with few samples are left out."""
    logs, weights, places, counts = [], [], [], []
    for sketch in sketches:
        n = sketch.sample_count
        if n < _SAMPLES_MIN:
            continue
        place, spread, k = place_and_spread(sketch)
        logs.append(math.log(spread))
        weights.append(k)
        z = (np.log(value_of(sketch.buckets)) - place) / spread
        places.append(bucket_of(np.maximum(z, _Z_MIN)))
        counts.append(sketch.counts * min(1.0, _SAMPLES_MAX / n))
    if not logs:
        return Pool(_PRIOR_LOG_SPREAD, _PRIOR_TAU, None, 0)
    found, k_of = np.array(logs), np.array(weights)
    between = max(float(((found - found.mean()) ** 2).sum() - (1.0 / k_of).sum()), 0.0)
    tau2 = (between + _PRIOR_TAU_OPERATIONS * _PRIOR_TAU**2) / (len(found) + _PRIOR_TAU_OPERATIONS)
    trust = 1.0 / (tau2 + 1.0 / k_of)
    prior = _PRIOR_SPREAD_OPERATIONS / _PRIOR_TAU**2
    log_spread = (float(trust @ found) + prior * _PRIOR_LOG_SPREAD) / (float(trust.sum()) + prior)
    together = np.concatenate(counts)
    buckets, inverse = np.unique(np.concatenate(places), return_inverse=True)
    total = np.rint(np.bincount(inverse, weights=together)).astype(np.int64)
    shape = Sketch(buckets[total > 0], total[total > 0])
    size = shape.sample_count
    if size < _SHAPE_SAMPLES_MIN:
        return Pool(log_spread, max(math.sqrt(tau2), _TAU_MIN), None, size)
    tail = fit_tail(shape, regime_scale_min=_UNSEEN_SPREADS)
    return Pool(log_spread, max(math.sqrt(tau2), _TAU_MIN), tail, size)


def place_and_spread(sketch: Sketch) -> tuple[float, float, float]:
    """(m, b, number of samples behind b) of an operation on the log scale; b is winsorised and unbiased."""
    n = sketch.sample_count
    logs = np.log(value_of(sketch.buckets))
    place = math.log(sketch.quantile(0.5))
    cap = max(math.log(sketch.quantile(_WINSORISED)) - place, 0.0)
    # Half of the samples lie above the median. Their winsorised mean has a relative variance of 1/n where
    # they are exponential and .72/n where they are half-normal; of few samples the cap is uncertain too.
    k = (n - 1) * n / (n + _CAP_SAMPLES)
    if k <= 0:
        return place, 1.0, 0.0
    excess = np.minimum(np.maximum(logs - place, 0.0), cap)
    mean = float(excess @ sketch.counts) / (n / 2)
    return place, max(mean, _SPREAD_MIN) * math.exp(min(0.5 / k, 1.0)), k
