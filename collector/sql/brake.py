"""Ends a query that takes memory within one step, where DuckDB does not look whether it was interrupted.

`repeat(span_id, 100_000_000)` over 2,048 rows is such a step: it took 6.7 GB in some seconds, and went on.
While queries run, the process may allocate only some more than it has, and once they have taken what they
may, no more than was allowed by then: the next large allocation fails, which ends that query with an error.
"""

from __future__ import annotations

import os
import resource
import threading
from contextlib import suppress
from pathlib import Path

_GIB = 1024 * 1024 * 1024
# For all others while queries run: landing and sealing grow by some 100 MB. It also lets most steps that are
# too large end by themselves, since a failing allocation may be anybody's.
OTHERS_BYTES = _GIB
# The query that fails has used up the rest, and gives it back a moment later: others find some meanwhile.
_MORE_BYTES, _MORE_TIMES = _GIB // 16, 8


# Of the whole process, whose limit it is, and before any brake touched it.
_USUAL = resource.getrlimit(resource.RLIMIT_DATA)
_guard = threading.Lock()
_allowed: dict[int, int] = {}  # by brake, bytes that it allows; the most generous counts


class Brake:
    """Without effect where RLIMIT_DATA has none (macOS)."""

    def __init__(self, query_bytes: int) -> None:
        """
        Args:
            query_bytes: what queries may take; 0: without limit, and no brake.
        """
        self._query_bytes = query_bytes
        self._more_left = _MORE_TIMES
        self.is_on = False

    def loosen(self) -> None:
        """Allow what queries may take twice, since a growing list is there twice while it is moved."""
        self.is_on, self._more_left = False, _MORE_TIMES
        if self._query_bytes:
            self._allow(read_data_bytes() + 2 * self._query_bytes + OTHERS_BYTES)

    def hold(self) -> None:
        """Allow no more than the last `loosen` did."""
        self.is_on = True
        if _allowed.get(id(self), 0) - read_data_bytes() < _MORE_BYTES:
            self.allow_more()

    def allow_more(self) -> None:
        """Memory has run out: some for those that are not to blame, a few times."""
        allowed_bytes = _allowed.get(id(self))
        if self._more_left and allowed_bytes is not None:
            self._more_left -= 1
            self._allow(allowed_bytes + _MORE_BYTES)

    def release(self) -> None:
        """Allow what was allowed without this brake."""
        self.is_on = False
        with _guard:
            _allowed.pop(id(self), None)
            _apply()

    def _allow(self, allowed_bytes: int) -> None:
        with _guard:
            _allowed[id(self)] = allowed_bytes
            _apply()


def _apply() -> None:
    soft, hard = _USUAL
    bytes_most = max(_allowed.values(), default=soft)
    if soft != resource.RLIM_INFINITY:
        bytes_most = min(bytes_most, soft)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (bytes_most, hard))


def read_data_bytes() -> int:
    """Private memory of this process that may be written, resident or not: what RLIMIT_DATA counts."""
    return int(Path("/proc/self/statm").read_text().split()[5]) * os.sysconf("SC_PAGE_SIZE")
