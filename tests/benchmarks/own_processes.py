"""What this process and its children use; the generator's process among them is left out by its id."""

from __future__ import annotations

import os
from pathlib import Path

_RESOURCE_TRACKER = b"resource_tracker"  # of multiprocessing, for the benchmark's own queue


def tree_cpu_s(others: set[int | None]) -> float:
    """User and system time so far, in seconds."""
    ticks = 0
    for pid in _server_pids(others):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def tree_rss_bytes(others: set[int | None]) -> int:
    """Resident memory; what processes share counts for each."""
    pages = (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in _server_pids(others))
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")


def _server_pids(others: set[int | None]) -> list[int]:
    threads = Path(f"/proc/{os.getpid()}/task").iterdir()
    children = {int(pid) for thread in threads for pid in (thread / "children").read_text().split()}
    own = [
        pid for pid in children - others if _RESOURCE_TRACKER not in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return [os.getpid(), *own]
