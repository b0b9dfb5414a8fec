"""Level shifts of many series of figures: how far the newest points lie from those before, in usual changes.

    D = median of the 3 newest points - median of the 12 before
    s = max(1.4826 * MAD(D), Q99|D| / 2.6, floor)   over the D of the last 96 points
    sigma = Phi^-1(1 - P(|T| > |D| / s)),           T Student's t with 4 degrees of freedom

Changes are compared with usual changes of the same series, not levels with levels: a price or a memory that
drifts, or follows the hours of the day, does so in its history too. All newest points must lie outside the
range of the 12 before, and the change must be half as large again as any in the history. The heavy tail
allows for only 96 points, which overlap and are no independent draws.

Steady growth, such as a leak, is no jump, and jumps in its history say nothing about it. So the newest four
steps have a test of their own: R, the least of them, is compared with R everywhere in the history. R must be
three times as large as any before, and the four steps together at least the least change that matters. A jump
has one large step, and therefore no R.

A series of fewer than 48 points has shown little of its usual behaviour. Where its figures change at every
point, such as prices, it may be judged from half as many points on, if the change is five times as large as
any before.

A certain change need not wait for three points (`Levels.early`): it is certain when all newer figures lie
three times as far from the 12 before as any point of the history ever did.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import ndtri, stdtr

from detectors.stats.arrays import FloatArray, IntArray

KEPT = 96
NEWEST, BEFORE = 3, 12
READY_POINTS = 48
_TAIL_DOF = 4
_BEYOND_HISTORY = 1.5
_BEYOND_YOUTH = 5.0  # a Student's-4 tail exceeds five times its largest of two once in 600
_EARLY_BEYOND = 3.0
_CLIMB = 4  # steps
# Share of the least change: a figure that never changed may still change a little.
_FLOOR_SHARE = 0.1
_LEAST_P = 1e-300


class Shift(NamedTuple):
    """One series whose level has changed."""

    code: int
    sigma: float
    observed: float
    expected: float
    point_count: int


class Levels:
    """The newest points of each series. Not thread-safe.

    Args:
        min_change: least change that matters, as a share of the level before.
        least_sigma: a shift below it is not reported, and does not silence a surer shift that it may become.
        young_points: from so many points on, a change counts that is five times as large as any before.
    """

    def __init__(self, min_change: float, least_sigma: float = 0.0, young_points: int = READY_POINTS) -> None:
        self._min_change = min_change
        self._young_points = young_points
        self._least_sigma = least_sigma
        self._values: FloatArray = np.zeros((64, KEPT))
        self._counts: IntArray = np.zeros(64, dtype=np.int64)
        self._quiet_until: IntArray = np.zeros(64, dtype=np.int64)  # in points: a shift is reported once
        self._matters: FloatArray = np.full(
            64, min_change
        )  # of a series, where it differs from the common one
        self.changed = np.zeros(64, dtype=bool)  # series that changed since they were stored
        self.count = 0

    def restore(self, code: int, points: FloatArray, quiet_count: int) -> None:
        """Start a series with its newest points, oldest first."""
        kept = points[-KEPT:]
        self._values[code, : len(kept)] = kept
        self._counts[code] = len(kept)
        self._quiet_until[code] = len(kept) + quiet_count

    def quiet_count(self, code: int) -> int:
        """The number of points until a shift of this series may be reported again."""
        return max(int(self._quiet_until[code] - self._counts[code]), 0)

    def grow(self, count: int) -> None:
        self.count = max(self.count, count)
        while self.count > len(self._counts):
            for name in ("_values", "_counts", "_quiet_until", "changed"):
                array = getattr(self, name)
                setattr(self, name, np.concatenate([array, np.zeros_like(array)]))
            self._matters = np.r_[self._matters, np.full(len(self._matters), self._min_change)]

    def set_min_change(self, code: int, min_change: float) -> None:
        """Set the least change of one series."""
        self._matters[code] = min_change

    def add(self, codes: IntArray, values: FloatArray, noise: FloatArray) -> list[Shift]:
        """Add points in order of time, any number of each series; returns the shifts.

        Args:
            noise: least usual change of each series, for figures that count events.
        """
        finite = np.flatnonzero(np.isfinite(values))
        codes, values, noise = codes[finite], values[finite], noise[finite]
        found = []
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], codes[order], side="left")
        rounds = np.empty(len(codes), dtype=np.int64)
        rounds[order] = np.arange(len(codes)) - starts  # 0 for the first point of a series, 1 for the next
        for number in range(int(rounds.max()) + 1 if len(rounds) else 0):
            rows = np.flatnonzero(rounds == number)
            self._values[codes[rows], self._counts[codes[rows]] % KEPT] = values[rows]
            self._counts[codes[rows]] += 1
            self.changed[codes[rows]] = True
            found += self._judge(codes[rows], noise[rows])
        return found

    def early(self, code: int, newest: FloatArray, least: float) -> Shift | None:
        """A shift that is certain from figures newer than all points; later points do not report it again.

        Args:
            newest: figures; all of them must lie beyond the history.
            least: least change that matters, in the unit of the figures.
        """
        ready = max(self._young_points, int(self._quiet_until[code]))
        if code >= self.count or self._counts[code] < ready or not len(newest):
            return None
        series = self.newest_points(code)
        level = float(np.median(series[-BEFORE:]))
        changes = newest - level
        together = bool((np.sign(changes) == np.sign(changes[0])).all())
        change = float(changes[np.argmin(np.abs(changes))]) if together else 0.0
        blocks = sliding_window_view(series, BEFORE + 1)
        steps = blocks[:, BEFORE] - np.median(blocks[:, :BEFORE], axis=1)
        beyond = _EARLY_BEYOND if self._counts[code] >= READY_POINTS else _BEYOND_YOUTH
        if abs(change) < max(least, beyond * float(np.abs(steps).max())):
            return None
        shift = _shift(
            code, np.r_[series, newest[-NEWEST:]], float(change), level, noise=0.0, floor=0.0, least=least / 8
        )
        if shift is None or shift.sigma < self._least_sigma:
            return None
        self._quiet_until[code] = self._counts[code] + BEFORE
        return shift

    def newest_points(self, code: int) -> FloatArray:
        """The kept points of a series, oldest first."""
        size = int(min(self._counts[code], KEPT))
        return np.asarray(self._values[code, (self._counts[code] - 1 - np.arange(size)[::-1]) % KEPT])

    def _judge(self, codes: IntArray, noise: FloatArray) -> list[Shift]:
        ready = (self._counts[codes] >= self._young_points) & (
            self._counts[codes] >= self._quiet_until[codes]
        )
        codes, noise = codes[ready], noise[ready]
        if not len(codes):
            return []
        newest_at = (self._counts[codes] - 1)[:, None]
        recent = self._values[codes[:, None], (newest_at - np.arange(NEWEST + BEFORE)[::-1]) % KEPT]
        before, now = recent[:, :BEFORE], recent[:, BEFORE:]
        outside = (now.min(axis=1) > before.max(axis=1)) | (now.max(axis=1) < before.min(axis=1))
        level = np.median(before, axis=1)
        change = np.median(now, axis=1) - level
        large = np.abs(change) >= np.maximum(self._matters[codes] * np.abs(level), 2 * noise)
        found = []
        for i in np.flatnonzero(outside & large).tolist():  # only these few series need their whole history
            shift = _shift(
                int(codes[i]),
                self.newest_points(int(codes[i])),
                float(change[i]),
                float(level[i]),
                noise=float(noise[i]),
                floor=_FLOOR_SHARE * float(self._matters[codes[i]]),
                beyond=_BEYOND_HISTORY if self._counts[codes[i]] >= READY_POINTS else _BEYOND_YOUTH,
            )
            if shift is not None and shift.sigma >= self._least_sigma:
                self._quiet_until[codes[i]] = self._counts[codes[i]] + BEFORE
                found.append(shift)
        told = {shift.code for shift in found}
        found += [shift for shift in self._climbing(codes, recent, noise) if shift.code not in told]
        return found

    def _climbing(self, codes: IntArray, recent: FloatArray, noise: FloatArray) -> list[Shift]:
        """Series whose newest four steps all lead upwards by more than any four steps before."""
        if self._min_change <= 0:
            return []
        first = recent[:, -_CLIMB - 1]
        least_step = np.diff(recent[:, -_CLIMB - 1 :], axis=1).min(axis=1)
        matters = np.maximum(self._matters[codes] * np.abs(first), 2 * noise) / _CLIMB
        found = []
        for i in np.flatnonzero((least_step >= matters) & (least_step > 0)).tolist():
            series = self.newest_points(int(codes[i]))
            steps = sliding_window_view(np.diff(series[:-_CLIMB]), _CLIMB).min(axis=1)
            spread = 1.4826 * float(np.median(np.abs(steps - np.median(steps))))
            usual = max(float(steps.max()) / 2.6, spread, _FLOOR_SHARE * float(matters[i]), 1e-12)
            if least_step[i] < _EARLY_BEYOND * float(steps.max()):
                continue
            p = max(2.0 * float(stdtr(_TAIL_DOF, -float(least_step[i]) / usual)), _LEAST_P)
            sigma = float(-ndtri(p))
            if sigma >= self._least_sigma:
                self._quiet_until[codes[i]] = self._counts[codes[i]] + BEFORE
                found.append(Shift(int(codes[i]), sigma, float(series[-1]), float(first[i]), len(series)))
        return found


def _shift(
    code: int,
    series: FloatArray,
    change: float,
    level: float,
    *,
    noise: float,
    floor: float,
    least: float = 1e-12,
    beyond: float = _BEYOND_HISTORY,
) -> Shift | None:
    """Compare a change with those in the history, the newest points left out."""
    past = series[:-NEWEST]
    steps = usual_changes(past)
    spread = 1.4826 * float(np.median(np.abs(steps - np.median(steps))))
    scale = max(spread, float(np.quantile(np.abs(steps), 0.99)) / 2.6, noise, floor * abs(level), least)
    if abs(change) < beyond * float(np.abs(steps).max()):
        return None
    p = max(2.0 * float(stdtr(_TAIL_DOF, -abs(change) / scale)), _LEAST_P)
    return Shift(code, float(-ndtri(p)), level + change, level, len(series))


def usual_changes(past: npt.NDArray[np.float64]) -> FloatArray:
    """D at every place of a history."""
    blocks = sliding_window_view(past, NEWEST + BEFORE)
    changes = np.median(blocks[:, BEFORE:], axis=1) - np.median(blocks[:, :BEFORE], axis=1)
    return np.asarray(changes, dtype=np.float64)
