from __future__ import annotations

import numpy as np
import pytest

from detectors.stats.slots import SLOTS, last
from detectors.stream.event_time import SETTLE_S, Ring

S = 1_000_000_000
NOW = 1_790_000_000


def steps(ring: Ring, *seconds: int) -> list[tuple[list[int], list[int], int]]:
    """(ticks, settled seconds, head) of each step of a batch."""
    ends = np.array(seconds, dtype=np.int64) * S
    return [(step.ticks.tolist(), step.settled.tolist(), step.head) for step in ring.steps(ends)]


def test_seconds_settle_once_and_in_order():
    """However batches are cut, each second is learned exactly once."""
    ring = Ring()
    settled = [second for at in range(0, 200, 3) for step in steps(ring, NOW + at) for second in step[1]]
    assert settled == list(range(NOW + 1, NOW + 198 - SETTLE_S + 1))


def test_span_that_is_far_ahead_counts_as_present():
    """A single clock that is ahead does not move time."""
    ring = Ring()
    ((ticks, _, head),) = steps(ring, *[NOW] * 19, NOW + 10**8)
    assert (set(ticks), head) == ({NOW}, NOW)


def test_span_that_is_late_counts_as_present():
    """Beyond the ring's memory there is only now."""
    ring = Ring()
    steps(ring, NOW)
    ((ticks, _, _),) = steps(ring, *[NOW] * 19, NOW - SLOTS)
    assert set(ticks) == {NOW}


def test_batch_across_a_second_is_one_step():
    """Seconds that a step neither learns nor clears are counted with it; older ones before they settle."""
    ring = Ring()
    steps(ring, NOW)
    assert [ticks for ticks, _, _ in steps(ring, NOW, NOW + 1, NOW + 2)] == [[NOW, NOW + 1, NOW + 2]]
    old = NOW + 2 - SETTLE_S + 1
    found = [ticks for ticks, _, _ in steps(ring, *[NOW + 3] * 19, old)]
    assert found == [[old], [NOW + 3] * 19]


def test_long_batch_is_taken_in_steps():
    """Two minutes that land at once are judged as they would have been live."""
    ring = Ring()
    steps(ring, NOW)
    heads = [head for _, _, head in steps(ring, *range(NOW + 1, NOW + 121))]
    assert heads == [NOW + 32, NOW + 64, NOW + 96, NOW + 120]


@pytest.mark.parametrize("jump_s", [-1_000, 1_000])
def test_jump_begins_the_ring_anew(jump_s):
    """After a jump, backwards or forwards, nothing of before is taken for the present."""
    ring = Ring()
    steps(ring, NOW)
    (step,) = list(ring.steps(np.array([NOW + jump_s], dtype=np.int64) * S))[-1:]
    assert step.head == NOW + jump_s
    assert sorted(step.cleared.tolist()) == list(range(SLOTS))


def test_last_slots_end_with_the_lag():
    """A window leaves out the seconds that still fill."""
    assert (last(SLOTS + 9, 3, 2) == [5, 6, 7]).all()


def test_batch_from_another_century_moves_time_only_when_the_next_one_agrees():
    """A sender whose clock is wrong may be alone in its batch: the ring keeps its seconds."""
    ring = Ring()
    steps(ring, NOW)
    far = NOW + 10**9
    ((ticks, _, head),) = steps(ring, far)
    assert (ticks, head) == ([NOW], NOW)
    assert steps(ring, NOW + 1)[0][2] == NOW + 1
    steps(ring, far)
    assert steps(ring, far)[-1][2] == far
