"""Seconds as slots of a ring."""

from __future__ import annotations

import numpy as np

from detectors.stats.arrays import IntArray

SLOTS = 128  # seconds that are remembered; twice the longest window


def last(head: int, length_s: int, lag_s: int = 0) -> IntArray:
    """The slots of the newest seconds, oldest first, leaving out the `lag_s` newest."""
    return np.arange(head - lag_s - length_s + 1, head - lag_s + 1) % SLOTS
