"""The load of the exchange by hour of the week: quiet nights, quieter weekends. Pure."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

NS_PER_S: Final = 1_000_000_000
PEAK_HOUR: Final = 15  # UTC, when Europe and America are both awake
DAILY_SWING: Final = 0.6
WEEKEND_FACTOR: Final = 0.6
MAX_FACTOR: Final = 1 + DAILY_SWING


def busyness(unix_nano: int) -> float:
    """Orders at that moment as a multiple of the mean working day.

    >>> round(busyness(1_795_532_400 * NS_PER_S), 2)  # a Tuesday at 15:00 UTC
    1.6
    """
    when = datetime.fromtimestamp(unix_nano / NS_PER_S, UTC)
    hour = when.hour + when.minute / 60
    daily = 1 + DAILY_SWING * math.cos((hour - PEAK_HOUR) / 24 * 2 * math.pi)
    return daily * (WEEKEND_FACTOR if when.weekday() >= 5 else 1.0)


def arrivals(rng: random.Random, start_unix_nano: int, end_unix_nano: int, per_hour: float) -> Iterator[int]:
    """Moments of a Poisson process between two times whose rate follows `busyness`.

    Thinning: candidates come at the highest rate and are kept with the probability of their moment (Lewis and
    Shedler 1979).

    Args:
        per_hour: the mean of a working day.
    """
    at = float(start_unix_nano)
    mean_gap_ns = 3_600 * NS_PER_S / (per_hour * MAX_FACTOR)
    while True:
        at += rng.expovariate(1 / mean_gap_ns)
        if at >= end_unix_nano:
            return
        if rng.random() < busyness(int(at)) / MAX_FACTOR:
            yield int(at)
