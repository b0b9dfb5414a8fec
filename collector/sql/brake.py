"""Ends a query that takes memory within one step, where DuckDB does not look whether it was interrupted.

`repeat(span_id, 100_000_000)` over 2,048 rows is such a step: it took 6.7 GB in some seconds, and went on.
While queries run, the process may allocate only some more than it has, and a little once they have taken what
they may: the next large allocation then fails, which ends that query with an error.
"""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

_GIB = 1024 * 1024 * 1024
# For all others while queries run: landing and sealing grow by some 100 MB, and one allocation at a time.
OTHERS_BYTES = _GIB
# For all others while the brake is on, for some 0.1 s: small pieces, which malloc mostly holds already.
MARGIN_BYTES = _GIB // 4


class Brake:
    """Of this process; for one thread at a time. Without effect where RLIMIT_DATA has none (macOS)."""

    def __init__(self, query_bytes: int) -> None:
        """
        Args:
            query_bytes: what queries may take; 0: without limit, and no brake.
        """
        self._query_bytes = query_bytes
        self._usual: tuple[int, int] | None = None  # the limits to give back
        self._is_on = False

    def loosen(self) -> None:
        """Allow what queries may take twice, since a growing list is there twice while it is moved."""
        self._is_on = False
        self._allow(2 * self._query_bytes + OTHERS_BYTES)

    def pull(self) -> None:
        """Allow almost nothing more, counted from the first pull."""
        if not self._is_on:
            self._is_on = True
            self._allow(MARGIN_BYTES)

    def release(self) -> None:
        """Give back the limits of before."""
        self._is_on = False
        if self._usual is not None:
            with suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_DATA, self._usual)
            self._usual = None

    def _allow(self, more_bytes: int) -> None:
        if not self._query_bytes:
            return
        with suppress(OSError, ValueError):
            if self._usual is None:
                self._usual = resource.getrlimit(resource.RLIMIT_DATA)
            soft, hard = self._usual
            allowed_bytes = read_data_bytes() + more_bytes
            if soft == resource.RLIM_INFINITY or allowed_bytes < soft:
                resource.setrlimit(resource.RLIMIT_DATA, (allowed_bytes, hard))


def read_data_bytes() -> int:
    """Private memory of this process that may be written, resident or not: what RLIMIT_DATA counts."""
    return int(Path("/proc/self/statm").read_text().split()[5]) * os.sysconf("SC_PAGE_SIZE")
