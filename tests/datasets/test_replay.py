from __future__ import annotations

import numpy as np

from datasets.replay import batch_numbers

SECOND = 1_000_000_000


def test_passes_are_seconds_without_gaps():
    """Spans of one second share a pass; a quiet hour makes none."""
    ended = np.array([0, 5, SECOND, 3_600 * SECOND, 3_600 * SECOND + 1])
    assert batch_numbers(ended).tolist() == [1, 1, 2, 3, 3]


def test_long_folders_are_judged_in_longer_passes():
    """Ten thousand seconds make at most six hundred passes."""
    numbers = batch_numbers(np.arange(10_000) * SECOND)
    assert numbers[0] == 1
    assert numbers[-1] <= 600
    assert set(np.diff(numbers).tolist()) == {0, 1}
