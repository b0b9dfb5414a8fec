from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime

from exchange_ref.load.rhythm import NS_PER_S, arrivals, busyness

MONDAY = int(datetime(2026, 11, 16, tzinfo=UTC).timestamp()) * NS_PER_S
DAY_NS = 86_400 * NS_PER_S


def test_nights_and_weekends_are_quiet() -> None:
    """The afternoon is busier than the night, and Sunday than neither."""
    assert busyness(MONDAY + 15 * DAY_NS // 24) > 3 * busyness(MONDAY + 3 * DAY_NS // 24)
    assert busyness(MONDAY + 6 * DAY_NS) < busyness(MONDAY)


def test_arrivals_follow_the_rhythm() -> None:
    """Over a week the moments are in order, as many as asked for, and more of them by day than by night."""
    moments = list(arrivals(random.Random(1), MONDAY, MONDAY + 7 * DAY_NS, 60.0))
    assert moments == sorted(moments)
    assert MONDAY <= moments[0] <= moments[-1] < MONDAY + 7 * DAY_NS
    expected = 60 * 24 * (5 + 2 * 0.6)
    assert 0.95 < len(moments) / expected < 1.05
    hours = Counter(datetime.fromtimestamp(moment / NS_PER_S, UTC).hour for moment in moments)
    assert hours[15] > 2.5 * hours[3] > 0
