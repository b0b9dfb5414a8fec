from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from detectors.spans.lasting_errors import LastingErrors
from detectors.stats.beta_binomial import Alarm, Rates, Rule
from detectors.stats.slots import SLOTS

MINUTE_S = 60
CALLS = 4_000  # a minute


class Service:
    """One operation of which the past is known; lives through minutes of calls."""

    def __init__(self, usually_failed: int = 5, calls: int = 5_000) -> None:
        self.rates = Rates(Rule(min_trials=20))
        self.rates.grow([0], [(float(calls), float(usually_failed))])
        self.lasting = LastingErrors()
        self.head = 0

    def live(self, failed_by_minute: Sequence[int], seconds: int = 60) -> list[list[Alarm]]:
        """The alarms of each minute; its failures lie in so many of its seconds."""
        return [self._minute(failed, seconds) for failed in failed_by_minute]

    def _minute(self, failed: int, seconds: int) -> list[Alarm]:
        found: list[Alarm] = []
        for second in range(MINUTE_S):
            now = np.array([self.head])
            # What is a minute old is learned, as live: also minutes that will turn out to be odd.
            self.rates.move(now[: self.head >= MINUTE_S] - MINUTE_S, now % SLOTS)
            hits = failed // seconds + (second < failed % seconds) if second < seconds else 0
            self.rates.add(np.array([0]), now, np.array([CALLS / MINUTE_S]), np.array([float(hits)]))
            found += self.lasting.observe(self.rates, self.head)
            self.head += 1
        return found


def test_three_percent_that_go_on_are_found() -> None:
    """One minute of it proves little; after the second it is an alarm, told against what was usual before."""
    found = Service().live([4, 4, 120, 120, 120, 4])
    assert [len(alarms) for alarms in found] == [0, 0, 0, 0, 1, 1]  # each minute is judged in the next
    (alarm,) = found[4]
    assert (alarm.hits, alarm.trials, alarm.window_s) == (240, 2 * CALLS, 2 * MINUTE_S)
    assert alarm.usual_rate < 0.002
    (later,) = found[5]
    assert later.hits == 360
    assert later.sigma > alarm.sigma > 4


@pytest.mark.parametrize(
    "failed",
    [
        [120, 4, 120, 4, 120, 4],  # never two minutes one after the other
        [70, 70, 70, 70, 70, 70],  # less than two points above what is usual
    ],
)
def test_what_does_not_go_on_or_matter_is_quiet(failed: list[int]) -> None:
    """Single bad minutes and small rises raise nothing."""
    assert not any(Service().live([*failed, 4]))


def test_a_stall_in_each_minute_is_no_lasting_rate() -> None:
    """Failures in two seconds of a minute are the windows' to judge."""
    assert not any(Service().live([120, 120, 120, 4], seconds=2))


def test_a_wider_spread_needs_more_minutes() -> None:
    """Where 1% is usual, 3.5% for two minutes may be chance; they are not for longer."""
    found = Service(usually_failed=50).live([40, *[140] * 6])
    first = next(minute for minute, alarms in enumerate(found) if alarms)
    assert first >= 4  # the second odd minute is judged in the minute 3


def test_usual_failures_stay_quiet_for_hours() -> None:
    """An operation whose rate is drawn anew each minute, as widely as is allowed for, raises nothing."""
    rng = np.random.default_rng(3)
    service = Service(usually_failed=50)
    rates = rng.beta(0.01 * 200, 0.99 * 200, 300)
    assert not any(service.live([int(failed) for failed in rng.binomial(CALLS, rates)]))
