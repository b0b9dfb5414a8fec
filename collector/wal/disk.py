"""Watches the free space of the data folder's disk, so that sending stops before the disk is full."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

from collector.errors import Unavailable

_MIB = 1024 * 1024
_FRESH_S = 0.25  # at 90 MB/s of telemetry that is 23 MB, far less than the reserve


class DiskWatch:
    """Thread-safe; asks the kernel four times a second at most."""

    def __init__(
        self,
        folder: Path,
        *,
        reserve_bytes: int,
        statvfs: Callable[[Path], Any] = os.statvfs,
        clock_s: Callable[[], float] = monotonic,
    ) -> None:
        """
        Args:
            reserve_bytes: free space below which nothing new is taken, so that what was acknowledged before
                can still land.
        """
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self._statvfs = statvfs
        self._clock_s = clock_s
        self._guard = threading.Lock()
        self._asked_s = float("-inf")
        self._free_bytes = 0
        self._failure = ""

    def check(self) -> None:
        """
        Raises:
            Unavailable: nothing more should be taken; the message says why.
        """
        failure = self.status()["failure"]
        if failure:
            raise Unavailable(f"the data folder takes nothing more ({failure})", hint="retry later")

    def status(self) -> dict[str, object]:
        """`free_bytes`, and `failure`, empty while all is well."""
        with self._guard:
            now_s = self._clock_s()
            if now_s - self._asked_s >= _FRESH_S:
                self._asked_s = now_s
                self._ask()
            return {"free_bytes": self._free_bytes, "failure": self._failure}

    def _ask(self) -> None:
        try:
            answer = self._statvfs(self._folder)
        except OSError as error:
            self._failure = f"the disk cannot be asked: {error.strerror or error}"
            return
        self._free_bytes = answer.f_bavail * answer.f_frsize
        if answer.f_flag & os.ST_RDONLY:
            self._failure = "the disk is read-only"
        elif self._free_bytes < self._reserve_bytes:
            self._failure = (
                f"{self._free_bytes // _MIB} MiB are free on the disk,"
                f" {self._reserve_bytes // _MIB} MiB are kept in reserve"
            )
        else:
            self._failure = ""
