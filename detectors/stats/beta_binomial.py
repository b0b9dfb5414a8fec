"""Rates of hits among trials: learned for each series, judged in sliding windows.

A series is anything with trials and hits: calls and failed calls, parents and unseen children, log lines
and lines of one template. Its history gives a Beta distribution for the rate,

    alpha = K + s * p_group,   beta = N - K + s * (1 - p_group)

with K hits in N learned trials and s = 30 trials' worth of the group's rate, which is itself shrunk towards
the rate of all groups. Hits come in clusters, so the strength alpha + beta is capped: a window's rate may
vary. The window's sigma is the normal quantile of P(X >= k), X Beta-Binomial over its n trials, times the
number of window lengths. A window counts when several of its seconds have hits and its rate is a multiple
above the usual. Where the evidence is overwhelming (below 1e-9), hits in four quarters of a second are
enough: one stall is one event however many calls it hits, and fills one or two quarters. Of all watched
series, those are kept whose probability passes Benjamini-Hochberg.

Sources: Beta-Binomial shrinkage (Casella 1985, empirical Bayes); Benjamini, Hochberg 1995.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import betaln, gammaln, ndtri

from detectors.stats.arrays import FloatArray, IntArray
from detectors.stats.slots import SLOTS, last

WINDOWS_S = (5, 15, 60)
_EARLY_WINDOW_S = 2
EARLY_MOMENTS = 4  # quarters of a second with hits
_EARLY_P = 1e-9
MOMENT_NS = 250_000_000
_MOMENTS_IN = np.array([bits.bit_count() for bits in range(16)])  # quarters in the four bits of a second
_SHRINK_TRIALS = 30.0
_GROUP_SHRINK_TRIALS = 100.0
_PRIOR_RATE = 0.002  # prior rate of a system without any hit
_STRENGTH_MAX = 200.0  # rates vary without a fault: 5% by 1.5 points, 1% by 0.7
_PAST_TRIALS_MAX = 200_000.0  # beyond this, all counts are halved
_SUM_TERMS_MAX = 4_000
_LEAST_P = 1e-300
_Counts = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]


class Alarm(NamedTuple):
    """One series whose window is improbable."""

    code: int
    sigma: float
    window_s: int
    hits: int
    trials: int
    usual_rate: float
    learned_trials: int


@dataclass(frozen=True, slots=True)
class Rule:
    """When a window matters: its rate against the usual one, and how many of its seconds need hits."""

    min_trials: int = 100  # learned trials; with fewer a series is learning and never scored
    min_hits: int = 3
    min_seconds: int = 3
    min_ratio: float = 3.0
    min_excess: float = 0.02
    lag_s: int = 0  # the newest seconds still fill
    # The rate for one pass over all series. With a pass a second, 1e-5 gives one false discovery in a day.
    discovery_rate: float = 1e-5
    prior_rate: float | None = None  # prior rate of a series without hits; None: the rate of its group

    def matters(self, hits: int, trials: int, usual: float) -> bool:
        """Whether so many hits are far enough above the usual rate."""
        share = hits / max(trials, 1)
        return hits >= self.min_hits and share >= max(self.min_ratio * usual, usual + self.min_excess)


def exceedance(k: FloatArray, n: FloatArray, alpha: FloatArray, beta: FloatArray) -> FloatArray:
    """P(X >= k) of Beta-Binomials.

    >>> exceedance(np.array([1.0]), np.array([1.0]), np.array([1.0]), np.array([9.0])).round(3)
    array([0.1])
    """
    found = np.empty(len(k))
    for i in range(len(k)):
        hits, trials = float(k[i]), float(n[i])
        if trials > _SUM_TERMS_MAX:  # fewer trials at the same rate: never surer than the exact value
            hits, trials = np.floor(hits * _SUM_TERMS_MAX / trials), float(_SUM_TERMS_MAX)
        x = np.arange(max(hits, 0.0), trials + 1)
        log_p = (
            gammaln(trials + 1) - gammaln(x + 1) - gammaln(trials - x + 1)
            + betaln(x + alpha[i], trials - x + beta[i]) - betaln(alpha[i], beta[i])
        )  # fmt: skip
        found[i] = np.exp(log_p).sum()
    return np.clip(found, _LEAST_P, 1.0)


def discoveries(p: FloatArray, watched: int, rate: float) -> npt.NDArray[np.bool_]:
    """Which of the smallest probabilities of `watched` tests pass (Benjamini-Hochberg).

    >>> discoveries(np.array([1e-6, 0.04, 2e-5]), 100, 0.01)
    array([ True, False,  True])
    """
    order = np.argsort(p)
    passed = p[order] <= rate * np.arange(1, len(p) + 1) / max(watched, len(p), 1)
    kept = np.zeros(len(p), dtype=bool)
    if passed.any():
        kept[order[: int(np.flatnonzero(passed)[-1]) + 1]] = True
    return kept


class Rates:
    """Trials and hits of many series over the ring, and their learned counts. Not thread-safe."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._trials: _Counts = np.zeros((64, SLOTS), dtype=np.float32)
        self._hits: _Counts = np.zeros((64, SLOTS), dtype=np.float32)
        self._marked = np.zeros((64, SLOTS), dtype=bool)
        self._moments = np.zeros((64, SLOTS), dtype=np.uint8)  # the quarters of each second that had hits
        self._group: IntArray = np.zeros(64, dtype=np.int64)
        self.past_trials: FloatArray = np.zeros(64)
        self.past_hits: FloatArray = np.zeros(64)
        self.changed = np.zeros(64, dtype=bool)  # series that changed since they were stored
        self.count = 0

    def grow(self, groups: Sequence[int], past: Sequence[tuple[float, float]] | None = None) -> None:
        """Add series, with the group and the learned counts of each."""
        first, self.count = self.count, self.count + len(groups)
        while self.count > len(self._group):
            for name in (
                *("_trials", "_hits", "_marked", "_moments", "_group"),
                *("past_trials", "past_hits", "changed"),
            ):
                array = getattr(self, name)
                setattr(self, name, np.concatenate([array, np.zeros_like(array)]))
        self._group[first : self.count] = groups
        if past is not None:
            self.past_trials[first : self.count] = [trials for trials, _ in past]
            self.past_hits[first : self.count] = [hits for _, hits in past]

    def move(self, settled: IntArray, cleared: IntArray, held: Sequence[int] = ()) -> None:
        """Learn some seconds, except marked slots and the series in `held`; then clear some slots."""
        n = self.count
        settled = settled % SLOTS
        if len(settled):
            kept = ~self._marked[:n, settled]
            kept[list(held)] = False
            trials = (self._trials[:n, settled] * kept).sum(axis=1)
            self.past_trials[:n] += trials
            self.past_hits[:n] += (self._hits[:n, settled] * kept).sum(axis=1)
            self.changed[:n] |= trials > 0
            fade = np.where(self.past_trials[:n] > _PAST_TRIALS_MAX, 0.5, 1.0)
            self.past_trials[:n] *= fade
            self.past_hits[:n] *= fade
        for array in (self._trials, self._hits, self._marked, self._moments):
            array[:, cleared] = 0

    def add(self, codes: IntArray, ticks: IntArray, trials: FloatArray, hits: FloatArray) -> None:
        # Flat indices of one type are numpy's fast path; pairs of indices take twenty times as long.
        places = codes * SLOTS + ticks % SLOTS
        np.add.at(self._trials.reshape(-1), places, trials.astype(np.float32))
        np.add.at(self._hits.reshape(-1), places, hits.astype(np.float32))

    def add_moments(self, codes: IntArray, ticks: IntArray, unix_nano: IntArray) -> None:
        """Note the quarters of the second that had hits: without them a series is never judged early."""
        bits = np.left_shift(1, unix_nano % 1_000_000_000 // MOMENT_NS).astype(np.uint8)
        np.bitwise_or.at(self._moments, (codes, ticks % SLOTS), bits)

    def leave_out(self, codes: IntArray, slots: BoolArray) -> None:
        """Mark slots of the ring (True; one row a series) that are not learned."""
        self._marked[codes] |= slots

    def judge(
        self, codes: IntArray, head: int, unknown: BoolArray | None = None, rule: Rule | None = None
    ) -> list[Alarm]:
        """Score the windows that end now of these series, and mark what is found.

        Args:
            unknown: slots of the ring whose calls are not known; one row a series.
            rule: of these series, where it is another one.
        """
        rule = rule or self.rule
        all_hits, all_trials = self._hits[codes], self._trials[codes]
        if unknown is not None:
            all_hits, all_trials = np.where(unknown, 0, all_hits), np.where(unknown, 0, all_trials)
        recent = last(head, WINDOWS_S[-1], rule.lag_s)
        chosen = np.flatnonzero(
            (self.past_trials[codes] >= rule.min_trials) & (all_hits[:, recent].sum(axis=1) >= rule.min_hits)
        )
        codes, all_hits, all_trials = codes[chosen], all_hits[chosen], all_trials[chosen]
        if not len(codes):
            return []
        alpha, beta = self._learned(codes)
        usual = alpha / (alpha + beta)
        strength = np.minimum(1.0, _STRENGTH_MAX / (alpha + beta))
        best = np.ones(len(codes))
        length, k, n = (np.zeros(len(codes), dtype=np.int64) for _ in range(3))
        for window_s in (_EARLY_WINDOW_S, *WINDOWS_S):
            slots = last(head, window_s, rule.lag_s)
            hits = all_hits[:, slots]
            trials = np.maximum(all_trials[:, slots].sum(axis=1), hits.sum(axis=1))
            total = hits.sum(axis=1)
            share = total / np.maximum(trials, 1)
            lasting = (hits > 0).sum(axis=1) >= rule.min_seconds
            early = _MOMENTS_IN[self._moments[np.ix_(codes, slots)]].sum(axis=1) >= EARLY_MOMENTS
            enough = (total >= rule.min_hits) & (lasting | early)
            # A window that is over raises no new alarm: its newest quarter must have its share of the hits.
            newest = hits[:, -max(window_s // 4, rule.min_seconds) :].sum(axis=1)
            enough &= newest * 8 >= total
            enough &= (share >= rule.min_ratio * usual) & (share >= usual + rule.min_excess)
            rows = np.flatnonzero(enough)
            p = exceedance(total[rows], trials[rows], (alpha * strength)[rows], (beta * strength)[rows])
            p = np.where(lasting[rows] | (p <= _EARLY_P), p, 1.0)
            better = rows[p < best[rows]]
            best[better] = p[p < best[rows]]
            length[better], k[better], n[better] = window_s, total[better], trials[better]
        p = np.minimum(best * (1 + len(WINDOWS_S)), 1.0)
        watched = self.ready_count(rule.min_trials)
        found = np.flatnonzero(discoveries(p, watched, rule.discovery_rate) & (length > 0))
        alarms = []
        for i in found.tolist():
            self._marked[codes[i], last(head, int(length[i]) + rule.lag_s)] = True
            sigma = float(-ndtri(max(p[i], _LEAST_P)))
            learned = int(self.past_trials[codes[i]])
            alarms.append(
                Alarm(int(codes[i]), sigma, int(length[i]), int(k[i]), int(n[i]), float(usual[i]), learned)
            )
        return alarms

    def recent_trials(self, codes: IntArray, head: int, window_s: int) -> FloatArray:
        """How many trials each of these series has in its newest seconds."""
        return np.asarray(self._trials[codes][:, last(head, window_s)].sum(axis=1), dtype=np.float64)

    def judge_calls(
        self,
        code: int,
        windows: Sequence[tuple[int, int]],
        seconds: int,
        own: tuple[int, int],
    ) -> Alarm | None:
        """Score the newest trials of one series, whatever time they span.

        Args:
            windows: (trials, hits) of the newest trials, one pair for each length.
            seconds: the number of different seconds with hits.
            own: trials and hits of all windows, which may have been learned already.

        Returns:
            An alarm without its `window_s`: the caller that counts the trials knows their times.
        """
        rule = self.rule
        if self.past_trials[code] < rule.min_trials or seconds < rule.min_seconds:
            return None
        alpha, beta = self.learned(code)
        learned = min(own[1], self.past_hits[code])
        alpha, beta = alpha - learned, max(beta - (own[0] - own[1]), 1.0)
        usual, strong = alpha / (alpha + beta), self.as_strong(alpha, beta)
        best: tuple[float, int, int] = (1.0, 0, 0)
        for trials, hits in windows:
            if not rule.matters(hits, trials, usual):
                continue
            chance = exceedance(*(np.array([float(x)]) for x in (hits, trials, *strong)))
            best = min(best, (float(chance[0]), hits, trials))
        p = min(best[0] * len(windows), 1.0)
        if p > rule.discovery_rate / max(self.ready_count(), 1):
            return None
        sigma = float(-ndtri(max(p, _LEAST_P)))
        return Alarm(code, sigma, 0, best[1], best[2], usual, int(self.past_trials[code]))

    def in_slots(self, ticks: IntArray) -> tuple[IntArray, FloatArray, FloatArray, IntArray]:
        """(code, trials, hits, seconds with hits) of each series that is known and had enough hits then.

        Args:
            ticks: seconds that the ring still has.
        """
        slots = ticks % SLOTS
        hits = self._hits[: self.count, slots]
        total = hits.sum(axis=1)
        ready = self.past_trials[: self.count] >= self.rule.min_trials
        codes = np.flatnonzero(ready & (total >= self.rule.min_hits))
        trials = np.maximum(self._trials[codes][:, slots].sum(axis=1), total[codes])
        seconds = (hits[codes] > 0).sum(axis=1)
        return codes, trials.astype(np.float64), total[codes].astype(np.float64), seconds

    def learned(self, code: int) -> tuple[float, float]:
        """(alpha, beta) of a series."""
        alpha, beta = self._learned(np.array([code]))
        return float(alpha[0]), float(beta[0])

    @staticmethod
    def as_strong(alpha: float, beta: float) -> tuple[float, float]:
        """The same rate, no surer than windows vary."""
        strength = min(1.0, _STRENGTH_MAX / (alpha + beta))
        return alpha * strength, beta * strength

    def past(self, code: int) -> tuple[float, float]:
        """Learned (trials, hits) of a series."""
        return float(self.past_trials[code]), float(self.past_hits[code])

    def ready_count(self, least: int | None = None) -> int:
        """How many series have at least so many trials; None: as many as the rule asks for."""
        return int((self.past_trials[: self.count] >= (least or self.rule.min_trials)).sum())

    def usual(self, codes: IntArray) -> FloatArray:
        alpha, beta = self._learned(codes)
        return alpha / (alpha + beta)

    def _learned(self, codes: IntArray) -> tuple[FloatArray, FloatArray]:
        hits = np.minimum(self.past_hits[codes], self.past_trials[codes])
        prior = self._group_rates(codes) if self.rule.prior_rate is None else self.rule.prior_rate
        alpha = hits + _SHRINK_TRIALS * prior
        return alpha, self.past_trials[codes] - hits + _SHRINK_TRIALS * (1 - prior)

    def _group_rates(self, codes: IntArray) -> FloatArray:
        n = self.count
        groups, inverse = np.unique(self._group[codes], return_inverse=True)
        size = int(self._group[:n].max()) + 1
        group_trials = np.bincount(self._group[:n], weights=self.past_trials[:n], minlength=size)[groups]
        group_hits = np.bincount(self._group[:n], weights=self.past_hits[:n], minlength=size)[groups]
        everything = (self.past_hits[:n].sum() + _PRIOR_RATE * 1_000) / (self.past_trials[:n].sum() + 1_000)
        group_rate = (group_hits + _GROUP_SHRINK_TRIALS * everything) / (group_trials + _GROUP_SHRINK_TRIALS)
        rates: FloatArray = group_rate[inverse]
        return rates
