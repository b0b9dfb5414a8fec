from __future__ import annotations

import numpy as np

from datasets.evaluate.replay import batch_numbers

SECOND = 1_000_000_000


def test_passes_are_seconds_without_gaps():
    """Spans of one second share a pass; a quiet hour makes none."""
    ended = np.array([0, 5, SECOND, 3_600 * SECOND, 3_600 * SECOND + 1])
    assert batch_numbers(ended).tolist() == [1, 1, 2, 3, 3]


def test_passes_stay_seconds_however_long_the_folder_is():
    """Ten thousand seconds are ten thousand passes: a longer baseline does not blur what is judged."""
    assert batch_numbers(np.arange(10_000) * SECOND).tolist() == list(range(1, 10_001))
