from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.learning.change_tests import drift, step
from detectors.learning.level_history import STEP_LOG
from detectors.stats.sketch import LOG_GAMMA


def history(*stretches: tuple[int, float], noise: float = 0.02, seed: int = 4) -> np.ndarray:
    """Levels of a quarter of an hour each: (how many, log ratio to the baseline)."""
    rng = np.random.default_rng(seed)
    r = np.concatenate([np.full(count, log_ratio) for count, log_ratio in stretches])
    columns = [np.arange(len(r)), np.full(len(r), 200.0), np.zeros(len(r))]
    return np.column_stack([*columns, *(r + noise * rng.standard_normal((2, len(r))))])


def test_a_creeping_level_is_drift():
    """4% above the baseline, all day, in both quantiles."""
    assert drift(history((96, 0.04))) == pytest.approx(0.04, abs=0.01)
    assert drift(history((96, -0.04))) == pytest.approx(-0.04, abs=0.01)


def test_trouble_of_some_hours_is_no_drift():
    """The median of a day does not see eleven bad hours."""
    assert abs(drift(history((52, 0.0), (44, 1.0)))) < LOG_GAMMA


def test_one_quantile_alone_is_no_drift():
    """A median that moves while p90 stays, or a tail that grows, is another shape and no other level."""
    levels = history((96, 0.0))
    levels[:, 3] += 0.06
    assert drift(levels) == 0.0


@given(st.integers(0, 2**32 - 1))
def test_noise_is_no_drift(seed):
    """A level that only wanders stays where it is."""
    assert drift(history((96, 0.0), noise=0.05, seed=seed)) == 0.0


def test_a_step_is_found_where_it_began():
    """Its first quarter, its size, and what was before it."""
    found = step(history((20, 0.0), (9, math.log(2))))
    assert found is not None
    assert (found.first_slot, found.last_slot, found.begun_before, found.stable) == (20, 28, True, True)
    assert found.log_ratio50 == pytest.approx(math.log(2), abs=0.03)
    assert (found.sample_count, found.before_count) == (1800, 1600)


def test_ramps_and_seesaws_are_not_stable():
    """A level that rises on, or one that comes and goes within the hour, has not settled."""
    ramp = history((20, 0.0), *((1, 0.5 + 0.1 * i) for i in range(12)))
    assert (found := step(ramp)) is None or not found.stable
    seesaw = history((20, 0.0), *((1, 0.7 if i % 3 else 1.3) for i in range(12)))
    assert (found := step(seesaw)) is None or not found.stable


@given(st.floats(-STEP_LOG * 0.7, STEP_LOG * 0.7))
def test_small_changes_are_no_step(log_ratio):
    """Below a tenth a change is left to drift."""
    assert step(history((20, 0.0), (20, log_ratio))) is None


def test_a_history_that_begins_within_a_level_does_not_know_its_start():
    """Without a quarter before it nobody can say what was deployed then."""
    found = step(history((20, 0.5)))
    assert found is not None
    assert not found.begun_before
