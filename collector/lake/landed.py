"""When this process first saw each batch landed."""

from __future__ import annotations

from collections import deque

_SECOND_NS = 1_000_000_000


class LandedLog:
    """Remembers the newest batch at each time. After a start all batches count as just landed."""

    def __init__(self, keep_s: float) -> None:
        """
        Args:
            keep_s: the greatest age that will be asked for.
        """
        self._keep_ns = int(keep_s * _SECOND_NS)
        self._looks: deque[tuple[int, int]] = deque()  # (time, newest batch id at that time), oldest first

    def note(self, now_ns: int, batch_id: int) -> None:
        if not self._looks or self._looks[-1][1] != batch_id:
            self._looks.append((now_ns, batch_id))
        while len(self._looks) > 1 and self._looks[1][0] <= now_ns - self._keep_ns:
            self._looks.popleft()

    def settled_batch_id(self, now_ns: int, age_s: float) -> int:
        """The newest batch that has been there for `age_s`; 0 when none has."""
        until_ns = now_ns - int(age_s * _SECOND_NS)
        settled = (batch_id for when_ns, batch_id in reversed(self._looks) if when_ns <= until_ns)
        return next(settled, 0)
