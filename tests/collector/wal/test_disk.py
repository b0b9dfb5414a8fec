from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from collector.errors import Unavailable
from collector.wal.disk import DiskWatch


class Disk:
    """A disk whose state a test sets."""

    def __init__(self) -> None:
        self.free_bytes, self.flags, self.now_s, self.asked = 10_000_000, 0, 0.0, 0
        self.watch = DiskWatch(
            Path("/"), reserve_bytes=5_000_000, statvfs=self.statvfs, clock_s=lambda: self.now_s
        )

    def statvfs(self, _: Path) -> SimpleNamespace:
        self.asked += 1
        self.now_s += 1
        return SimpleNamespace(f_bavail=self.free_bytes // 4096, f_frsize=4096, f_flag=self.flags)


@pytest.fixture
def disk() -> Disk:
    return Disk()


def test_reserve(disk: Disk) -> None:
    """Below the reserve nothing is taken; above it again, all is well again."""
    disk.watch.check()
    disk.free_bytes = 4_999_999
    with pytest.raises(Unavailable, match=r"4 MiB are free on the disk, 4 MiB are kept in reserve"):
        disk.watch.check()
    disk.free_bytes = 6_000_000
    disk.watch.check()


def test_read_only(disk: Disk) -> None:
    """A disk that turned read-only is reported before anything is written to it."""
    disk.flags = os.ST_RDONLY
    assert disk.watch.status()["failure"] == "the disk is read-only"


def test_asks_rarely(disk: Disk) -> None:
    """Within a quarter of a second the answer is remembered."""
    disk.watch.status()
    disk.now_s -= 0.9
    disk.watch.status()
    assert disk.asked == 1
