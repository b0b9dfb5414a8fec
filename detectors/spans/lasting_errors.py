"""Failures that go on at a low rate: P(BetaBinomial(n, alpha, beta) >= k) of minutes, combined by Fisher.

How often calls fail varies from minute to minute without a fault, so one minute with 3% failed calls where
0.1% is usual proves little: the spread of the rate limits it to 1e-4, however many calls the minute has. But
that spread has no reason to be the same in minute after minute. So minutes whose rate is high enough to
matter are followed while they come one after the other, each compared with what was usual before the first of
them; else those minutes would make the next ones look usual. Of 28,800 simulated hours of operations whose
rates are drawn anew each minute, as widely as is allowed for, one raised an alarm.

Of 4,000 calls a minute 120 that fail, usually 5 of 5,000, are found after two minutes; 150, usually 50 of
5,000, after three.

Source: Fisher 1932, Statistical Methods for Research Workers, combination of independent tests.

>>> [f"{together([1.3e-4] * minutes):.0e}" for minutes in (1, 2, 3)]
['1e-04', '3e-07', '9e-10']
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import chdtrc, ndtri

from detectors.stats.beta_binomial import Alarm, Rates, exceedance

_MINUTE_S = 60
_LAG_S = 5  # spans of the minute still land
_MINUTES_MAX = 10  # that are combined; a rate that lasts is in an incident by then
_LEAST_MINUTES = 2
_LEAST_P = 1e-300


def together(chances: Sequence[float]) -> float:
    """The chance of independent tests, all of them at least this improbable."""
    return float(chdtrc(2 * len(chances), -2 * np.log(np.maximum(chances, _LEAST_P)).sum()))


@dataclass(slots=True)
class _Run:
    """Minutes of one series, one after the other, in which more failed than matters.

    alpha, beta: what was learned before the first of them.
    """

    alpha: float
    beta: float
    minute: int
    chances: list[float] = field(default_factory=list)
    hits: list[int] = field(default_factory=list)
    trials: list[int] = field(default_factory=list)

    def add(self, minute: int, hits: int, trials: int, chance: float) -> None:
        self.minute = minute
        self.chances.append(chance)
        self.hits.append(hits)
        self.trials.append(trials)
        for figures in (self.chances, self.hits, self.trials):
            del figures[:-_MINUTES_MAX]


class LastingErrors:
    """Follows the whole minutes of all series. Not thread-safe; memory only."""

    def __init__(self) -> None:
        self._runs: dict[int, _Run] = {}
        self._judged = -1  # the newest whole minute

    def observe(self, rates: Rates, head: int) -> list[Alarm]:
        """Judge the newest whole minute, once.

        Args:
            head: the newest second, counted in `rates`.
        """
        minute = (head - _LAG_S + 1) // _MINUTE_S - 1
        if minute <= self._judged:
            return []
        self._judged = minute
        slots = np.arange(minute * _MINUTE_S, (minute + 1) * _MINUTE_S)
        runs = {code: run for code, run in self._runs.items() if run.minute == minute - 1}
        self._runs = {}
        found = []
        codes, trials, hits, seconds = rates.in_slots(slots)
        for place, code in enumerate(codes.tolist()):
            alpha, beta = rates.learned(code)
            run = runs.get(code) or _Run(alpha, beta, minute)
            counts = int(hits[place]), int(trials[place])
            usual = run.alpha / (run.alpha + run.beta)
            if seconds[place] < rates.rule.min_seconds or not rates.rule.matters(*counts, usual):
                continue
            args = (np.array([float(value)]) for value in (*counts, *rates.as_strong(run.alpha, run.beta)))
            run.add(minute, *counts, float(exceedance(*args)[0]))
            self._runs[code] = run
            alarm = self._alarm(code, run, rates)
            found += [alarm] if alarm else []
        return found

    def forget(self, code: int) -> None:
        """Begin anew with a series: its usual rate is another one from now on."""
        self._runs.pop(code, None)

    def _alarm(self, code: int, run: _Run, rates: Rates) -> Alarm | None:
        p = together(run.chances)
        # One look a minute, where windows are looked at each second.
        allowed = rates.rule.discovery_rate * _MINUTE_S / max(rates.ready_count(), 1)
        if len(run.chances) < _LEAST_MINUTES or p > allowed:
            return None
        length_s = len(run.chances) * _MINUTE_S
        sigma = float(-ndtri(max(p, _LEAST_P)))
        usual = run.alpha / (run.alpha + run.beta)
        learned = int(rates.past(code)[0])
        return Alarm(code, sigma, length_s, sum(run.hits), sum(run.trials), usual, learned)
