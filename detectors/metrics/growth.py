"""Growth without end, such as a leak: sigma = Phi^-1(1 - L * P(Binomial(n, 1/2) >= k)), k of n steps upwards.

A stock (memory, descriptors, threads, a queue) is seen as the lowest value in each stretch of time: what is
allocated and freed again comes and goes above it. Stretches of a second, ten seconds, a minute, ten minutes
and an hour are each followed; L corrects for looking at five. For a series that goes up as easily as down,
however it wanders, each step upwards is a toss of a coin. Growth counts when

    - all or all but one of the last 25 steps led upwards, none of them by more than a quarter of the whole;
    - it is a quarter of the level before (in half a minute: all of it), and more than counting explains;
    - it has not levelled off: the last third grew at half of the average or more (a cache that fills slows
      down);
    - it is three times the growth in any such time of the last 25 hours, and the series has been watched
      before for as long again, at least `Scale.known_s`, without a fall by a fifth in one step: a warm-up
      follows a start, and a morning has one the day before. Over 25 steps of an hour a tide has turned:
      nothing of before is asked there. Nor where it has doubled over 50 steps of a minute, and the last third
      kept 80% of the pace: so long no start warms up, and a process may leak from its first minute.

Then it is followed until it has fallen back by half or 25 steps have brought less than a quarter of what it
began with; n and k go on counting. Small growth is a small matter however sure: SEV4 at most below twice the
level before, SEV3 below four times (`bounded_by_growth`).

Sources: the difference-sign test for trend (Moore, Wallis 1943), which no random walk passes more often than
it should; Bonferroni over scales. Kendall's test at 5% takes two of three random walks for a trend.

>>> growths = Growths(Settings())
>>> quiet = [growths.take(0, at * 10**9, 100.0 + at % 3) for at in range(1_200)]
>>> leak = [growths.take(0, (1_200 + at) * 10**9, 100.0 + at / 5) for at in range(400)]
>>> [round(growth.sigma, 1) for growth in [*quiet, *leak] if growth]
[4.5]
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from scipy.special import bdtrc, ndtri

from detectors.model.severity import severity_of
from detectors.settings import Settings

STEPS = 25
_LEAST_GROWTH = 0.25
_LARGEST_STEP = 0.25  # of the growth
_LATE_PACE, _LATE_PACE_ALONE = 0.5, 0.8
_ALONE_S = 60  # at this scale growth needs no earlier growth to compare with
_BEYOND_PAST = 3.0
_FALL = 0.8  # the level that growth of 25% is measured from at least
_PAST_H = 25  # a day, and the hour that is under way
_OVER = 0.25  # of the growth that began it
_SERIES_MAX = 2_000  # 22 kB each
_BELOW = 0.01
_LEAST_P = 1e-300
_STORED_FROM_S = 10
_NEVER = -(10**12)  # the number of a stretch
_NS = 1_000_000_000
_HOUR_S = 3_600


class Scale(NamedTuple):
    """Times in s; known_s: what must have been watched before the growth, None: nothing."""

    stretch_s: int
    least_growth: float
    known_s: int | None


# Services warm up for a quarter of an hour; only a whole day shows the tides of a day.
SCALES = (
    Scale(1, 1.0, 300),
    Scale(10, _LEAST_GROWTH, 900),
    Scale(60, _LEAST_GROWTH, _HOUR_S),
    Scale(600, _LEAST_GROWTH, 24 * _HOUR_S),
    Scale(_HOUR_S, _LEAST_GROWTH, None),
)


class Growth(NamedTuple):
    """A stock that grows: from `level` at `since_unix_nano` to `now`; `steps` of which `upwards`."""

    sigma: float
    level: float
    now: float
    since_unix_nano: int
    steps: int
    upwards: int


@dataclass(slots=True)
class Stretches:
    """One series at one scale."""

    number: int  # of the stretch that is under way
    lowest: float
    begun: int  # the first, or the newest that fell, as after a restart
    floors: deque[float] = field(default_factory=lambda: deque(maxlen=2 * STEPS + 1))
    numbers: deque[int] = field(default_factory=lambda: deque(maxlen=2 * STEPS + 1))
    past: dict[int, float] = field(default_factory=dict)  # hour → the largest growth that ended in it


@dataclass(slots=True)
class Episode:
    """Growth that was found and is followed."""

    scale: int
    level: float
    least: float  # the largest change that counting alone explains
    grown: float  # when it was first seen
    since_unix_nano: int
    steps: int
    upwards: int
    severity: int = 6  # reported so far


class Growths:
    """Follows stocks by code. Not thread-safe, and bounded; `detectors.pipeline.growth_store` keeps it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._series: dict[int, list[Stretches]] = {}
        self._episodes: dict[int, Episode] = {}
        self._changed: set[tuple[int, int]] = set()  # code and scale, since it was stored

    @property
    def growing(self) -> Iterable[int]:
        """The codes of series that grow now and were reported."""
        return self._episodes.keys()

    def restore(self, code: int, stretch_s: int, stretches: Stretches, episode: Episode | None) -> None:
        """Begin one scale of a series from a former run's state; scales that no longer exist are skipped."""
        index = next((i for i, scale in enumerate(SCALES) if scale.stretch_s == stretch_s), None)
        if index is None or (code not in self._series and len(self._series) >= _SERIES_MAX):
            return
        nothing = (Stretches(_NEVER, 0.0, _NEVER) for _ in SCALES)
        self._series.setdefault(code, list(nothing))[index] = stretches
        if episode is not None:
            self._episodes[code] = episode

    def learned(self) -> Iterator[tuple[int, int, Stretches, Episode | None]]:
        """(code, length of a stretch in s, stretches, what is followed) of what has changed since it was
        stored; seconds are over before a restart is."""
        for code, index in sorted(self._changed):
            episode = self._episodes.get(code)
            followed = episode if episode is not None and episode.scale == index else None
            yield code, SCALES[index].stretch_s, self._series[code][index], followed

    def saved(self) -> None:
        self._changed.clear()

    def take(self, code: int, unix_nano: int, figure: float, noise: float = 0.0) -> Growth | None:
        """Take the points of a series in order of time; growth is reported when it is found, and when it gets
        worse.

        Args:
            noise: how far counting alone may carry the figure.
        """
        scales = self._series.get(code)
        if scales is None:
            if len(self._series) >= _SERIES_MAX:
                return None
            numbers = [unix_nano // (scale.stretch_s * _NS) for scale in SCALES]
            self._series[code] = [Stretches(number, figure, number) for number in numbers]
            return None
        found = None
        for index, (scale, stretches) in enumerate(zip(SCALES, scales, strict=True)):
            number = unix_nano // (scale.stretch_s * _NS)
            if number == stretches.number:
                stretches.lowest = min(stretches.lowest, figure)
            elif number > stretches.number or stretches.number - number > STEPS:
                # Nothing came for so long, or a clock had been ahead by as much: a new series.
                if abs(number - stretches.number) > STEPS:
                    scales[index] = Stretches(number, figure, number)
                    if code in self._episodes and self._episodes[code].scale == index:
                        del self._episodes[code]
                    continue
                stretches.floors.append(stretches.lowest)
                stretches.numbers.append(stretches.number)
                stretches.number, stretches.lowest = number, figure
                if scale.stretch_s >= _STORED_FROM_S:
                    self._changed.add((code, index))
                found = self._close(code, index, stretches, noise) or found
        return found

    def _close(self, code: int, index: int, stretches: Stretches, noise: float) -> Growth | None:
        """A stretch is over."""
        floors = stretches.floors
        if len(floors) > 1 and floors[-1] < _FALL * floors[-2]:
            stretches.begun = stretches.numbers[-1]
        if len(floors) <= STEPS:
            return None
        if len(floors) == floors.maxlen:
            hour = stretches.numbers[STEPS] * SCALES[index].stretch_s // _HOUR_S
            _note(stretches.past, hour, floors[STEPS] - floors[0])
        episode = self._episodes.get(code)
        if episode is None:
            episode = self._begin(index, stretches, noise)
            if episode is None:
                return None
            self._episodes[code] = episode
        elif episode.scale != index:
            return None
        else:
            episode.steps += 1
            episode.upwards += floors[-1] > floors[-2]
            fallen = floors[-1] - episode.level < episode.grown / 2
            if fallen or floors[-1] - floors[-1 - STEPS] < _OVER * episode.grown:
                del self._episodes[code]
                return None
        return self._tell(episode, floors[-1])

    def _begin(self, index: int, stretches: Stretches, noise: float) -> Episode | None:
        """Growth that is news, or has gone on for so long that it is no warm-up."""
        scale, floors = SCALES[index], list(stretches.floors)
        first = stretches.numbers[-1 - STEPS]
        known_s = (first - stretches.begun) * scale.stretch_s
        if scale.known_s is None or (stretches.past and known_s >= scale.known_s):
            least = scale.least_growth * abs(floors[-1 - STEPS])
            if scale.known_s is not None:
                least = max(least, _BEYOND_PAST * max(stretches.past.values()))
            upwards = steady_steps(floors[-1 - STEPS :], max(least, 4 * noise), late_pace=_LATE_PACE)
            if upwards:
                return _episode(index, floors[-1 - STEPS :], first, upwards, noise)
        if scale.stretch_s == _ALONE_S and len(floors) == 2 * STEPS + 1:
            upwards = steady_steps(floors, max(abs(floors[0]), 4 * noise), late_pace=_LATE_PACE_ALONE)
            if upwards:
                return _episode(index, floors, stretches.numbers[0], upwards, noise)
        return None

    def _tell(self, episode: Episode, now: float) -> Growth | None:
        p = max(len(SCALES) * float(bdtrc(episode.upwards - 1, episode.steps, 0.5)), _LEAST_P)
        sigma = bounded_by_growth(
            float(-ndtri(min(p, 0.5))), max(abs(episode.level), episode.least), now, self._settings
        )
        severity = severity_of(sigma, self._settings.severity_sigmas()) or 6
        if severity >= episode.severity:
            return None
        episode.severity = severity
        return Growth(sigma, episode.level, now, episode.since_unix_nano, episode.steps, episode.upwards)


def steady_steps(floors: Sequence[float], least: float, late_pace: float) -> int:
    """How many steps lead upwards, where they grow steadily by more than `least`; else 0.

    One in 25 may lead down. The last third must keep `late_pace` of the average.

    >>> even, at_once, levelling = range(26), [0] * 25 + [26], [50 * x**0.2 for x in range(26)]
    >>> [steady_steps(floors, 10.0, 0.5) for floors in (even, at_once, levelling)]
    [25, 0, 0]
    """
    count = len(floors) - 1
    grown = floors[-1] - floors[0]
    if grown <= max(least, 0.0):
        return 0
    steps = [after - before for before, after in pairwise(floors)]
    upwards = sum(step > 0 for step in steps)
    late = count // 3
    if (
        upwards < count - count // STEPS
        or max(steps) > _LARGEST_STEP * grown
        or floors[-1] - floors[-1 - late] < late_pace * late / count * grown
    ):
        return 0
    return upwards


def _episode(index: int, floors: Sequence[float], first: int, upwards: int, noise: float) -> Episode:
    since_unix_nano = first * SCALES[index].stretch_s * _NS
    grown = floors[-1] - floors[0]
    return Episode(index, floors[0], 4 * noise, grown, since_unix_nano, len(floors) - 1, upwards)


def bounded_by_growth(sigma: float, level: float, now: float, settings: Settings) -> float:
    """Sigma, at most what so much growth deserves.

    >>> [bounded_by_growth(9.0, 100.0, now, Settings()) for now in (150.0, 250.0, 500.0)]
    [4.99, 5.99, 6.99]
    """
    _, _, sev3, sev2, sev1 = settings.severity_sigmas()
    most = sev3 if now < 2 * level else sev2 if now < 4 * level else sev1
    return min(sigma, most - _BELOW)


def _note(past: dict[int, float], hour: int, grown: float) -> None:
    past[hour] = max(past.get(hour, 0.0), grown)
    for old in [known for known in past if known <= hour - _PAST_H]:
        del past[old]
