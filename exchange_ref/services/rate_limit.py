"""Requests a second for each user, by token buckets."""

from __future__ import annotations

from collections import OrderedDict

# Who has been silent for long has a full bucket anyway.
MAX_KEPT = 10_000


class RateLimit:
    """`rate_per_s` requests a second, as many at once.

    >>> limit = RateLimit(2.0)
    >>> [limit.take("ann", 0.0) for _ in range(3)], limit.take("ann", 0.5)
    ([0.0, 0.0, 0.5], 0.0)
    """

    def __init__(self, rate_per_s: float) -> None:
        self.rate_per_s = rate_per_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now_s: float) -> float:
        """Seconds to wait; 0 where the request may go on, which is then counted."""
        left, at_s = self._buckets.pop(key, (self.rate_per_s, now_s))
        left = min(self.rate_per_s, left + (now_s - at_s) * self.rate_per_s)
        wait_s = 0.0 if left >= 1 else (1 - left) / self.rate_per_s
        self._buckets[key] = (left if wait_s else left - 1, now_s)
        if len(self._buckets) > MAX_KEPT:
            self._buckets.popitem(last=False)
        return wait_s
