"""Calibrated σ from a sketch: empirical inside, an extreme-value tail beyond, and a term for few samples.

With n samples, of which k(x) lie above x, threshold u (about the k-th largest) and y = log(x / u), the
survival is what was observed, updated from what the fit expects:

    S(x) = (k(x) + 1) / (n + 1 / max(F(x), k(x)/n))  +  ¼ · 1/(n+1) · (1 + (x - u) / r)^(-3)
    F(x) = k(u)/n · (1 + ξ y / β)^(-1/ξ)

With few samples, F comes mostly from the other operations of the service (`detectors.baseline.pool`).
F is a generalised Pareto tail on the log scale (peaks over threshold: Pickands 1975; ξ by L-moments,
Hosking & Wallis 1987). It is shrunk towards a prior where k is small and widened by 1/k for the uncertainty
of β, as the predictive distribution of an exponential with unknown rate is. ξ is only known up to its own
error, so F is the mean over ξ ~ Normal(ξ^, k/(k + 50)²), by quadrature: with the best ξ alone, a tail that
looked short by chance gave too small probabilities. The rate of exceedances is a Gamma
with F as its prior, worth one exceedance (Gamma-Poisson shrinkage: Clayton & Kaldor 1987): F decides where
Where no sample was seen, F decides; where many were, the samples do, since no smooth tail fits the effect of
stalls. Inside the observed range S is never below the observed share.
The last term is the part that n samples cannot exclude: a regime that none of them has shown (a pause of the
scheduler or of a collector), of scale r. No S is below 1/4 · (n + 1)^-3, so that 5 samples allow for 3σ at
most, 20 for 4σ, 100 for 5σ and 1,000 for 6σ. So the first 30 ms hiccup of a 1 ms operation is minor, while
150 ms again and again, or 5 s once, is not. σ is the normal quantile of S: 3σ means 0.135% on any
distribution.

A fine cell, such as an hour of the week, has too few samples for a tail of its own, and they come from few
stretches of time. There the prior is the operation's S, worth two exceedances:

    S_cell(x) = (k(x) + 2) / (n + 2 / max(S_operation(x), k(x)/n))

With many samples above x the cell's own samples decide. With none, S_cell is 2/n or the operation's S,
whichever is less, so that three quiet hours do not exclude durations that the operation has every other day.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from detectors.errors import CannotFit
from detectors.stats.arrays import FloatArray
from detectors.stats.sketch import GAMMA, Sketch, upper_of, value_of

THREE_SIGMA_P = 0.0013498980316301
_EXCEEDANCE_SHARE = 0.10
_EXCEEDANCES_MIN = 20
_EXCEEDANCES_MAX = 400  # with more, a higher threshold is better than a closer fit
_PRIOR_EXCEEDANCES = 10.0
_PRIOR_LOG_EXCESS = 0.25  # a typical latency tail: p99 about 1.8 × p90
_SHAPE_PRIOR_EXCEEDANCES = 50.0
# Beyond a high quantile of a normal law the shape is -.2 and rises to 0. A fit that continues the shape seen
# there ends the tail too early. From -.3 on, three log-normals in one operation (9,000 samples) had 1.8, 2.4
# and 2.5 times too many beyond 4, 4.3 and 4.6σ; from -.1 on .2, 0, 0; at 3σ .9 either way.
_SHAPE_SHRUNK_MIN = -0.1
_SHAPE_RANGE = (-0.3, 0.5)
# Normal samples beyond 4, 4.5 and 5σ as a multiple of the ideal, for operations with 3,000 samples. With one
# ξ: log-normal (log sd .4) 2.3, 11, 0; (1.0) 3.6, 18, 120; exponential 1.5, 5.6, 35; Pareto 2.3, 5, 16. With
# the mean over ξ: 0 to 1 for all of them (tests/benchmarks/calibration.py).
_SHAPE_NODES, _SHAPE_WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
_SHAPE_WEIGHTS = _SHAPE_WEIGHTS / _SHAPE_WEIGHTS.sum()
_SHAPE_LEAST = 1e-6  # a ξ nearer to 0 is treated as an exponential
_REGIME_EXPONENT = 3.0
# A quarter of one sample may belong to a regime that n samples have not shown: with it, held-out halves of
# real normal spans (100 to 200 samples an operation) exceed 3σ in 0.13%; without it in 0.34%, with a whole
# sample in 0.02% (tests/benchmarks/calibration.py; the ideal is 0.135%).
_REGIME_SAMPLES = 0.25
# Share beyond 3σ as a multiple of the ideal. Durations with stalls (2,000 samples): 1.0; with the larger of
# fit and observation 0.04. Log-normal durations: 1.2 and 0.9. At 200 samples: 0.4 to 1.8, as before.
_PRIOR_OF_FIT = 1.0
# The same for cells of 600 to 1,500 samples of ordinary, stalling and daily changing durations: 0.5 to 1.3
# (0.13 where the 600 come from hours ten times apart); a tail fitted to each cell gave 0.05 to 1.3. With a
# prior worth one exceedance: up to 4.7, where the samples come from three stretches of time.
_PRIOR_OF_OPERATION = 2.0
# The other operations of a service count as so many samples …
_POOL_WORTH = 300.0
# … and their chance for a value that none of them has shown is reduced, as if an operation had so many more
# samples.
_POOLED_SAMPLES_MAX = 1_000
_GRID_POINTS = 400
_GRID_LOG_SPAN = 12.0  # up to e^12 = 160,000 × the threshold
_SMALLEST_P = 1e-300


class Predictive(Protocol):
    """`detectors.baseline.pool.Expected`."""

    def survival(self, x: FloatArray) -> FloatArray: ...


@dataclass(frozen=True, slots=True)
class Tail:
    """A fitted distribution of one cell, in the unit of its samples.

    `shape`, `shape_sd` and `scale` are ξ, its error and β above. `edges` are the upper edges of the occupied
    buckets, and `survivals` the share of samples above each. `restored_share` is the share of samples that
    were kept out of the sketch; all of them lie above the kept ones.
    """

    sample_count: int
    p50: float
    threshold: float
    threshold_share: float
    shape: float
    shape_sd: float
    scale: float
    regime_scale: float
    edges: FloatArray
    survivals: FloatArray
    restored_share: float = 0.0
    coarser: Tail | None = None
    pooled: Predictive | None = None
    pooled_count: int = 0

    def survival(self, x: npt.ArrayLike) -> FloatArray:
        """P(X > x) for each x."""
        points = np.asarray(x, dtype=np.float64)
        if points.ndim == 0:
            return np.asarray(self.survival(points[None])[0], dtype=np.float64)
        # The bucket below that of x: samples in x's own bucket may all be larger than x.
        step = np.searchsorted(self.edges, points, side="left") - 1
        observed = np.where(step < 0, 1.0, self.survivals[np.maximum(step, 0)])
        if self.coarser is not None:
            own = self._updated(self.coarser.survival, points, observed, _PRIOR_OF_OPERATION)
            return np.clip(own, _SMALLEST_P, 1.0)
        above = points > self.threshold
        if not above.any():
            return np.clip(observed, _SMALLEST_P, 1.0)
        far = points[above]
        excess = far - self.threshold
        regime = _REGIME_SAMPLES / (self.sample_count + min(self.pooled_count, _POOLED_SAMPLES_MAX) + 1)
        unseen = regime * (1.0 + excess / self.regime_scale) ** -_REGIME_EXPONENT
        edge = int(np.searchsorted(self.edges, self.threshold, side="left")) - 1
        at_threshold = 1.0 if edge < 0 else self.survivals[edge]
        updated = self._updated(self._expected, far, observed[above], _PRIOR_OF_FIT)
        own = observed.copy()
        least = _REGIME_SAMPLES / (self.sample_count + 1) ** 3
        own[above] = np.minimum(np.maximum(updated + unseen, least), at_threshold)
        return np.clip(own, _SMALLEST_P, 1.0)

    def _expected(self, points: FloatArray) -> FloatArray:
        """The fit, mixed with the fit of the other operations where it rests on few samples."""
        fitted = self._fitted(points)
        if self.pooled is None:
            return fitted
        own = self.sample_count / (self.sample_count + _POOL_WORTH)
        others = np.log(self.pooled.survival(points))
        # On the log scale the smaller weight stays the smaller one, however heavy its tail is.
        return np.asarray(np.exp(own * np.log(np.maximum(fitted, _SMALLEST_P)) + (1.0 - own) * others))

    def _fitted(self, points: FloatArray) -> FloatArray:
        y = np.log(np.maximum(points, self.threshold) / self.threshold)
        shapes = self.shape + self.shape_sd * _SHAPE_NODES[:, None]
        shapes = np.where(np.abs(shapes) < _SHAPE_LEAST, _SHAPE_LEAST, shapes)
        with np.errstate(divide="ignore", over="ignore", under="ignore"):
            beyond = np.maximum(1.0 + shapes * (y / self.scale), 0.0) ** (-1.0 / shapes)
        fitted: FloatArray = self.threshold_share * (_SHAPE_WEIGHTS @ beyond)
        return fitted

    def _updated(
        self,
        expected: Callable[[FloatArray], FloatArray],
        points: FloatArray,
        observed: FloatArray,
        worth: float,
    ) -> FloatArray:
        """The posterior mean of a survival; the prior counts as so many exceedances."""
        prior = np.maximum(expected(points), _SMALLEST_P)
        if self.restored_share:
            # Where large samples were kept out, their absence is no evidence.
            largest = np.asarray(self.edges[-1])
            share = np.minimum(prior / np.maximum(expected(largest), _SMALLEST_P), 1.0)
            observed = np.where(points > largest, self.restored_share * share, observed)
        n = self.sample_count
        updated: FloatArray = (n * observed + worth) / (n + worth / np.maximum(prior, observed))
        return updated

    def sigma(self, x: npt.ArrayLike) -> FloatArray:
        """The calibrated σ of each x: the normal quantile of its survival (negative below the median)."""
        return -ndtri(np.minimum(self.survival(x), 1 - 1e-12))

    def quantile(self, q: float) -> float:
        """The observed value below which a share `q` lies."""
        edge = self.edges[int(np.argmax(self.survivals <= 1.0 - q))]
        return float(edge * 2 / (1 + GAMMA))

    def value_at(self, sigma: float) -> float:
        """The smallest x on a fine grid (3%) that reaches this σ; +inf when none does."""
        return self.values_at([sigma])[0]

    def values_at(self, sigmas: Sequence[float]) -> list[float]:
        """The same for several σ at once."""
        grid = self.threshold * np.exp(np.linspace(-1.0, _GRID_LOG_SPAN, _GRID_POINTS))
        found = self.sigma(grid)
        reached = [np.flatnonzero(found >= sigma) for sigma in sigmas]
        return [float(grid[places[0]]) if len(places) else math.inf for places in reached]


def fit_tail(
    sketch: Sketch,
    *,
    regime_scale_min: float,
    left_out_count: int = 0,
    coarser: Tail | None = None,
    pooled: Predictive | None = None,
    pooled_count: int = 0,
    best_shape: bool = False,
) -> Tail:
    """Fit one cell.

    Args:
        regime_scale_min: least scale of an unseen regime, in the samples' unit; the median is used when
        larger.
        left_out_count: flagged samples that were kept out of the sketch. The ordinary ones among them
            (at most the 0.135% beyond 3σ) are restored as censored observations. Otherwise a tail that is
            cut again and again would shrink.
        coarser: the tail of the larger cell that contains this one.
        best_shape: take ξ as it was fitted, without its error: for values that end where people stop.

    Raises:
        CannotFit: an empty sketch.
    """
    if not len(sketch.buckets):
        raise CannotFit("no samples to fit a tail to", hint="let the operation run until it has a baseline")
    n = sketch.sample_count
    values = value_of(sketch.buckets)
    above = n - np.cumsum(sketch.counts)  # samples in higher buckets
    restored = min(float(left_out_count), THREE_SIGMA_P * n)
    wanted = min(max(_EXCEEDANCE_SHARE * n, _EXCEEDANCES_MIN), _EXCEEDANCES_MAX, n / 3)
    edge = int(np.flatnonzero(above <= wanted)[0])
    threshold = float(upper_of(sketch.buckets[edge]))
    counts = sketch.counts[edge + 1 :].astype(np.float64)
    log_excess = np.log(values[edge + 1 :] / threshold)
    k = float(counts.sum())
    shape, mean = _log_excess_moments(log_excess, counts, restored)
    if not best_shape:
        shape = max(shape, _SHAPE_SHRUNK_MIN)
    dof = k + _PRIOR_EXCEEDANCES
    widened = shape + 1.0 / dof
    p50 = sketch.quantile(0.5)
    # Restored samples lie beyond all kept ones. The fitted tail estimates how far.
    beyond = np.where(np.arange(len(above)) < len(above) - 1, restored, 0.0)
    return Tail(
        sample_count=n,
        p50=p50,
        threshold=threshold,
        threshold_share=(k + restored + 0.5) / (n + restored + 1),
        shape=widened,
        shape_sd=0.0 if best_shape else math.sqrt(k) / (k + _SHAPE_PRIOR_EXCEEDANCES),
        scale=mean * (1.0 - shape),
        regime_scale=max(regime_scale_min, p50),
        edges=upper_of(sketch.buckets),
        survivals=(above + beyond) / (n + restored),
        restored_share=restored / (n + restored),
        coarser=coarser,
        pooled=pooled,
        pooled_count=pooled_count,
    )


def _log_excess_moments(log_excess: FloatArray, counts: FloatArray, restored: float) -> tuple[float, float]:
    """(ξ, mean of the log excess), both shrunk towards the prior by the number of exceedances.

    ξ = 2 - λ1/λ2 for a generalised Pareto with first two L-moments λ1, λ2. Restored samples count as censored
    at the largest observed excess. The end of a censored tail cannot be observed, so then ξ ≥ 0.
    """
    k = float(counts.sum())
    total = float(counts @ log_excess)
    censored = restored * float(log_excess[-1]) if len(log_excess) else 0.0
    mean = (total + censored + _PRIOR_EXCEEDANCES * _PRIOR_LOG_EXCESS) / (k + _PRIOR_EXCEEDANCES)
    if k < 3 or total <= 0:
        return 0.0, mean
    ranks = (np.cumsum(counts) - counts / 2) / k  # mid rank of each bucket
    second = float((2 * ranks - 1) @ (counts * log_excess)) / k
    if second <= 0:
        return 0.0, mean
    # A tail that was cut seems to end at the cut.
    least = 0.0 if restored else _SHAPE_RANGE[0]
    raw = min(max(2.0 - (total / k) / second, least), _SHAPE_RANGE[1])
    return raw * k / (k + _SHAPE_PRIOR_EXCEEDANCES), mean
