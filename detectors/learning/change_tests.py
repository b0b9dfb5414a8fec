"""Tests whether a change of level lasts: pure functions over a history (`detectors.learning.level_history`).

Drift: with r50 and r90 of the last 24 hours, both medians off to the same side by more than one bucket of
the sketches (2%) and more than twice their standard error, but by less than a step. The median over a day
is moved by no trouble that lasts less than half of it.

Step: the newest quarters lie at another level c, and so do all before them back to its beginning: each is
nearer to c than to the old level. It is *stable* when the first and the last third of it agree in both
quantiles and hardly a quarter strays: what rises on and on, such as a leak, is no level.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from detectors.learning.level_history import COUNT, FAILED, R50, R90, SLOT, SLOTS_PER_DAY, STEP_LOG
from detectors.stats.arrays import FloatArray
from detectors.stats.sketch import LOG_GAMMA

_DRIFT_SLOTS_MIN = 24
_DRIFT_REACH_MIN = SLOTS_PER_DAY // 2  # from the first to the last of them
_CORRELATED = 4.0  # neighbouring quarters share their noise: this many count as one
_NEWEST = 4
_AGREE50, _AGREE90 = math.log(1.1), math.log(1.25)
_STRAY50 = math.log(1.3)
_STRAY_SHARE = 0.1
_GAP_SLOTS = 24  # an operation that was silent for six hours has no lasting level
_BLOCKS = 4  # stretches in which a lasting error rate must be about equal
_ERROR_RATIO, _ERROR_EXCESS = 3.0, 0.02


class Step(NamedTuple):
    """A level that is not the baseline's. Slots are quarters of an hour since 1970."""

    first_slot: int
    last_slot: int
    begun_before: bool  # the old level was seen before it, so its beginning is known
    stable: bool
    log_ratio50: float
    log_ratio90: float
    sample_count: int
    failed_count: int
    before_count: int  # spans of the quarters before it, and those of them that failed
    before_failed: int

    @property
    def slot_count(self) -> int:
        return self.last_slot - self.first_slot + 1


def drift(levels: FloatArray) -> float:
    """The log ratio by which the level has drifted from the baseline within a day; 0 for none.

    >>> rng = np.random.default_rng(3)
    >>> def day(log_ratio):
    ...     r = log_ratio + 0.03 * rng.standard_normal(96)
    ...     return np.column_stack([np.arange(96), np.full(96, 200), np.zeros(96), r, r])
    >>> [round(drift(day(r)), 2) for r in (0.0, 0.03, 0.5)]
    [0.0, 0.03, 0.0]
    """
    recent = levels[levels[:, SLOT] > levels[-1, SLOT] - SLOTS_PER_DAY] if len(levels) else levels
    if len(recent) < _DRIFT_SLOTS_MIN or recent[-1, SLOT] - recent[0, SLOT] < _DRIFT_REACH_MIN:
        return 0.0
    moved = np.median(recent[:, [R50, R90]], axis=0)
    mad = np.median(np.abs(recent[:, [R50, R90]] - moved), axis=0)
    error = 1.2533 * 1.4826 * mad / math.sqrt(len(recent) / _CORRELATED)
    same_side = moved[0] * moved[1] > 0
    significant = (np.abs(moved) > np.maximum(LOG_GAMMA, 2 * error)).all()
    if not same_side or not significant or abs(moved[0]) >= 2 * STEP_LOG:
        return 0.0
    return float(moved[np.argmin(np.abs(moved))])


def step(levels: FloatArray) -> Step | None:
    """The present level of the operation, when it differs from the baseline's; None when it does not."""
    if len(levels) < _NEWEST:
        return None
    r50 = levels[:, R50]
    level = float(np.median(r50[-_NEWEST:]))
    if abs(level) < STEP_LOG:
        return None
    there = np.abs(r50 - level) < abs(level) / 2
    there[1:] &= np.diff(levels[:, SLOT]) <= _GAP_SLOTS
    away = np.flatnonzero(~there)
    first = int(away[-1]) + 1 if len(away) else 0
    run = levels[first:]
    if len(run) < _NEWEST:
        return None
    before = levels[max(first - 1 - _NEWEST * 2, 0) : max(first - 1, 0)]
    return Step(
        first_slot=int(run[0, SLOT]),
        last_slot=int(run[-1, SLOT]),
        begun_before=first > 0,
        stable=_is_stable(run[1:]),  # the change itself lies within the first quarter
        log_ratio50=float(np.median(run[1:, R50])),
        log_ratio90=float(np.median(run[1:, R90])),
        sample_count=int(run[:, COUNT].sum()),
        failed_count=int(run[:, FAILED].sum()),
        before_count=int(before[:, COUNT].sum()),
        before_failed=int(before[:, FAILED].sum()),
    )


class ErrorLevel(NamedTuple):
    """A share of failed calls that has lasted."""

    first_slot: int
    call_count: int
    failed_count: int


def error_level(levels: FloatArray, usual: float, hours: float) -> ErrorLevel | None:
    """The failed calls of the last hours, when clearly more than usual and about as many all the time.

    Clearly is what `detectors.spans.error_rate` calls an anomaly: three times and two points more.

    >>> day = np.column_stack([np.arange(96), np.full(96, 200), np.full(96, 20), *np.zeros((2, 96))])
    >>> error_level(day, usual=0.01, hours=24)
    ErrorLevel(first_slot=0, call_count=19200, failed_count=1920)
    >>> error_level(day, usual=0.08, hours=24), error_level(day[48:], usual=0.01, hours=24)
    (None, None)
    """
    slots = hours * SLOTS_PER_DAY / 24
    recent = levels[levels[:, SLOT] > levels[-1, SLOT] - slots] if len(levels) else levels
    if len(recent) < _NEWEST * _BLOCKS or recent[-1, SLOT] - recent[0, SLOT] < slots - 2:
        return None
    calls, failed = recent[:, COUNT].sum(), recent[:, FAILED].sum()
    share = failed / calls
    if share < max(_ERROR_RATIO * usual, usual + _ERROR_EXCESS):
        return None
    for block in np.array_split(recent, _BLOCKS):
        own = block[:, FAILED].sum() / block[:, COUNT].sum()
        if not share / 1.5 - 0.01 <= own <= share * 1.5 + 0.01:
            return None
    return ErrorLevel(int(recent[0, SLOT]), int(calls), int(failed))


def errors_rose(found: Step) -> bool:
    """Whether clearly more calls fail at the new level: twice the share before, or a point more."""
    before = found.before_failed / max(found.before_count, 1)
    return found.failed_count / max(found.sample_count, 1) > max(2 * before, before + 0.01)


def _is_stable(run: FloatArray) -> bool:
    third = max(len(run) // 3, 1)
    change = np.abs(np.median(run[-third:, [R50, R90]], axis=0) - np.median(run[:third, [R50, R90]], axis=0))
    strays = np.abs(run[:, R50] - np.median(run[:, R50])) > _STRAY50
    return bool(change[0] <= _AGREE50 and change[1] <= _AGREE90 and strays.mean() <= _STRAY_SHARE)
