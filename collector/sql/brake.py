"""Ends a query that takes memory within one step, where DuckDB does not look whether it was interrupted.

`repeat(span_id, 100_000_000)` over 2,048 rows is such a step: it took 6.7 GB in some seconds, and went on.
While queries run, the process may allocate only some more than it has, and once they have taken what they
may, no more than was allowed by then: the next large allocation fails, which ends that query with an error.
"""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

_GIB = 1024 * 1024 * 1024
# For all others while queries run: landing and sealing grow by some 100 MB. It also lets most steps that are
# too large end by themselves, since a failing allocation may be anybody's.
OTHERS_BYTES = _GIB
# The query that fails has used up the rest, and gives it back a moment later: others find some meanwhile.
_MORE_BYTES, _MORE_TIMES = _GIB // 16, 8


class Brake:
    """Of this process; for one thread at a time. Without effect where RLIMIT_DATA has none (macOS)."""

    def __init__(self, query_bytes: int) -> None:
        """
        Args:
            query_bytes: what queries may take; 0: without limit, and no brake.
        """
        self._query_bytes = query_bytes
        self._usual: tuple[int, int] | None = None  # the limits to give back
        self._allowed_bytes = 0
        self._more_left = _MORE_TIMES
        self.is_on = False

    def loosen(self) -> None:
        """Allow what queries may take twice, since a growing list is there twice while it is moved."""
        self.is_on, self._more_left = False, _MORE_TIMES
        self._allow(read_data_bytes() + 2 * self._query_bytes + OTHERS_BYTES)

    def hold(self) -> None:
        """Allow no more than the last `loosen` did."""
        self.is_on = True
        if self._allowed_bytes - read_data_bytes() < _MORE_BYTES:
            self.allow_more()

    def allow_more(self) -> None:
        """Memory has run out: some for those that are not to blame, a few times."""
        if self._more_left:
            self._more_left -= 1
            self._allow(self._allowed_bytes + _MORE_BYTES)

    def release(self) -> None:
        """Give back the limits of before."""
        self.is_on = False
        if self._usual is not None:
            with suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_DATA, self._usual)
            self._usual = None

    def _allow(self, allowed_bytes: int) -> None:
        if not self._query_bytes:
            return
        with suppress(OSError, ValueError):
            if self._usual is None:
                self._usual = resource.getrlimit(resource.RLIMIT_DATA)
            soft, hard = self._usual
            if soft == resource.RLIM_INFINITY or allowed_bytes < soft:
                resource.setrlimit(resource.RLIMIT_DATA, (allowed_bytes, hard))
                self._allowed_bytes = allowed_bytes


def read_data_bytes() -> int:
    """Private memory of this process that may be written, resident or not: what RLIMIT_DATA counts."""
    return int(Path("/proc/self/statm").read_text().split()[5]) * os.sysconf("SC_PAGE_SIZE")
