"""Growth without end: what an engineer wants to hear of, and what not."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.metrics.growth import SCALES, Growth, Growths
from detectors.metrics.resource import is_stock
from detectors.settings import Settings

S = 1_000_000_000
BEGIN = 1_790_000_000
HOUR, DAY = 3_600, 86_400
MB = 1e6


def follow(figures: Iterable[float], every_s: int = 10, noise: float = 0.0) -> list[tuple[int, Growth]]:
    """The reports on a series, each with the seconds since its begin."""
    growths = Growths(Settings())
    told = []
    for number, figure in enumerate(figures):
        growth = growths.take(7, (BEGIN + number * every_s) * S, figure, noise)
        if growth is not None:
            told.append((number * every_s, growth))
    return told


def steady(count: int, level: float = 200 * MB, spread: float = 0.01, seed: int = 1) -> np.ndarray:
    return level * (1 + spread * np.random.default_rng(seed).standard_normal(count))


def then_leaking(every_s: int, quiet_s: int, leak_s: int, share_an_hour: float) -> np.ndarray:
    """A quiet series, and one that gains a share of its level each hour."""
    count = leak_s // every_s
    leak = 200 * MB * (1 + share_an_hour * np.arange(count) * every_s / HOUR)
    return np.r_[steady(quiet_s // every_s), leak * (1 + 0.002 * np.random.default_rng(2).random(count))]


@pytest.mark.parametrize(
    ("every_s", "quiet_s", "share_an_hour", "within_s"),
    [
        (1, HOUR, 5.0, 400),
        (10, HOUR, 5.0, 400),
        (60, 2 * HOUR, 1.2, 2_400),
        (60, 30 * HOUR, 0.12, 5 * HOUR),
        (60, HOUR, 0.02, 27 * HOUR),
    ],
)
def test_leak_is_told_once_while_it_is_small(every_s, quiet_s, share_an_hour, within_s):
    """At any pace from a doubling in minutes to half of it in a day, as SEV4, with where it began."""
    leak = then_leaking(every_s, quiet_s, within_s, share_an_hour)
    told = follow(leak[leak < 400 * MB], every_s)
    assert len(told) == 1
    at_s, growth = told[0]
    assert quiet_s < at_s <= quiet_s + within_s
    assert 4 <= growth.sigma < 5
    assert growth.level == pytest.approx(200 * MB, rel=0.1)
    assert growth.now > 1.2 * growth.level


def test_leak_of_seconds_is_told_within_half_a_minute():
    """A process that gains a twelfth of its memory each second has a minute to live."""
    at_s, growth = follow(then_leaking(1, HOUR, 60, 300.0), 1)[0]
    assert HOUR < at_s <= HOUR + 30
    assert growth.now >= 2 * growth.level


def test_leak_that_becomes_large_is_told_again():
    """SEV4, beyond twice the level SEV3, beyond four times SEV2."""
    told = follow(then_leaking(10, HOUR, 2 * HOUR, 4.0))
    assert [math.floor(growth.sigma) for _, growth in told] == [4, 5, 6]
    assert [growth.now >= size * growth.level for (_, growth), size in zip(told, (1, 2, 4), strict=True)]


def test_end_of_a_leak_is_noticed():
    """A figure that falls or levels off no longer grows."""
    for after in (steady(60), np.full(60, 400 * MB)):
        growths = Growths(Settings())
        grown = np.r_[then_leaking(10, HOUR, 600, 5.0), after]
        states = []
        for number, figure in enumerate(grown):
            growths.take(7, (BEGIN + number * 10) * S, figure)
            states.append(7 in growths.growing)
        assert any(states)
        assert not states[-1]


def test_garbage_that_is_collected_hides_no_leak():
    """A sawtooth of half the level whose floor rises."""
    leak = then_leaking(1, HOUR, 600, 5.0)
    sawtooth = 100 * MB * (np.arange(len(leak)) % 7) / 6
    assert len(follow(leak + sawtooth, 1)) == 1


@pytest.mark.parametrize("seed", range(3))
def test_ordinary_resources_are_quiet(seed):
    """Noise, a random walk, a sawtooth, tides of days, and steps."""
    rng = np.random.default_rng(seed)
    count = 4 * DAY // 60
    at = np.arange(count) * 60
    tide = 100 * (2 - np.cos(2 * np.pi * at / DAY)) * (1 + 0.01 * rng.standard_normal(count))
    walk = 100 * np.exp(0.02 * np.cumsum(rng.standard_normal(count)))
    saw = 100 + 80 * (at % 7_200) / 7_200
    steps = 100 * 1.5 ** (at // DAY) + rng.standard_normal(count)
    for series in (steady(count, seed=seed), walk, saw, tide, steps):
        assert follow(series, 60) == []


@pytest.mark.parametrize("every_s", [1, 10, 60])
@pytest.mark.parametrize("warm_s", [30, 300, 1_800])
def test_warming_up_after_a_start_is_quiet(every_s, warm_s):
    """A process that begins at a fifth of what it comes to, and caches that fill until they are full."""
    at = np.arange(0, 4 * HOUR, every_s)
    rng = np.random.default_rng(3)
    warm = 500 * MB * (1 - 0.8 * np.exp(-at / warm_s)) * (1 + 0.003 * rng.standard_normal(len(at)))
    full = np.minimum(100 * MB + 400 * MB * at / warm_s, 500 * MB)
    assert follow(warm, every_s) == []
    assert follow(full, every_s) == []


@pytest.mark.parametrize("every_s", [1, 10, 60])
@pytest.mark.parametrize("from_share", [0.1, 0.6])
@pytest.mark.parametrize("warm_s", [20, 300, 600])
def test_restart_of_what_is_long_known_is_quiet(every_s, from_share, warm_s):
    """It falls, and warms up at an even pace; one of the processes behind a series is enough."""
    at = np.arange(0, HOUR, every_s)
    warm = 200 * MB * np.minimum(from_share + (1 - from_share) * at / warm_s, 1.0)
    noise = 1 + 0.002 * np.random.default_rng(5).random(len(at))
    assert follow(np.r_[steady(2 * HOUR // every_s), warm * noise], every_s) == []


@pytest.mark.parametrize("every_s", [10, 60])
@pytest.mark.parametrize("known_s", [0, 2 * HOUR])
def test_leak_from_the_first_minute_is_found_within_an_hour(known_s, every_s):
    """A process that has never been otherwise, or a new version of one."""
    at = np.arange(0, 90 * 60, every_s)
    leak = 100 * MB * (1 + 0.05 * at / 60) * (1 + 0.001 * np.random.default_rng(6).random(len(at)))
    at_s, growth = follow(np.r_[steady(known_s // every_s), leak], every_s)[0]
    assert 900 <= at_s - known_s <= HOUR
    assert 99 * MB < growth.level < growth.now / 1.25


def test_figure_of_counts_that_chance_explains_is_quiet():
    """A queue from none to ten messages."""
    queue = np.r_[np.zeros(200), np.arange(0, 10, 0.3)]
    assert follow(queue, 10, noise=math.sqrt(10)) == []
    assert follow(np.r_[np.zeros(200), np.arange(0, 300, 3)], 10, noise=math.sqrt(300)) != []


@settings(deadline=None, max_examples=25)
@given(st.floats(1e-3, 1e12), st.integers(0, 10**9))
def test_unit_and_time_do_not_matter(unit, later_s):
    """The same series in another unit, or at another time of the same hour, is reported alike."""
    series = then_leaking(10, HOUR, 600, 5.0)
    later_ns = later_s // HOUR * HOUR * S
    whole, scaled = Growths(Settings()), Growths(Settings())
    for number, figure in enumerate(series):
        at = (BEGIN + number * 10) * S
        one, other = whole.take(0, at, figure), scaled.take(0, at + later_ns, figure * unit)
        assert (one is None) == (other is None)
        if one and other:
            assert (one.sigma, one.steps, one.upwards) == (other.sigma, other.steps, other.upwards)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 10**12), st.floats(-1e9, 1e9)), max_size=200))
def test_any_times_and_figures_are_taken(points):
    """Clocks that jump either way, zeros and negative figures."""
    growths = Growths(Settings())
    for at, figure in points:
        growths.take(0, at * 1_000_000, figure)


def test_long_silence_begins_anew():
    """After a gap, figures before it are no step."""
    growths = Growths(Settings())
    for number, figure in enumerate(then_leaking(10, HOUR, 200, 5.0)):
        assert growths.take(0, (BEGIN + number * 10) * S, figure) is None
    after = BEGIN + 40 * DAY
    assert all(growths.take(0, (after + at * 10) * S, 900 * MB + at) is None for at in range(100))


def test_scales_double_check_each_other():
    """Each is longer than the one before, and asks for a longer past but the last, which sees a whole day."""
    assert [scale.stretch_s for scale in SCALES] == sorted(scale.stretch_s for scale in SCALES)
    assert SCALES[-1].known_s is None
    assert SCALES[-1].stretch_s * 25 > DAY


@pytest.mark.parametrize(
    ("name", "unit", "held"),
    [
        ("process.memory.usage", "By", True),
        ("process.open_file_descriptor.count", "{count}", True),
        ("jvm.thread.count", "{thread}", True),
        ("db.client.connection.count", "{connection}", True),
        ("kx.queue.depth", "{message}", True),
        ("go_goroutines", "", True),
        ("process.uptime", "s", False),
        ("process.cpu.time", "s", False),
        ("k8s.container.memory_limit", "By", False),
        ("kx.price.age", "s", False),
        ("kx.orders.resting", "{order}", False),
    ],
)
def test_what_is_held_is_known_by_its_name(name, unit, held):
    """Memory, descriptors, threads, connections and queues; neither clocks nor limits nor business."""
    assert is_stock(name, unit) is held


def test_one_point_from_another_century_does_not_blind_a_series():
    """A leak is reported although a clock was once ahead by years."""
    growths, told = Growths(Settings()), []
    growths.take(7, (BEGIN + 10**9) * S, 200 * MB)
    for number, figure in enumerate(then_leaking(10, HOUR, 400, 5.0)):
        growth = growths.take(7, (BEGIN + number * 10) * S, figure)
        if growth is not None:
            told.append(growth)
    assert len(told) == 1
