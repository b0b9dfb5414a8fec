"""What this process and its children use; the generator's process among them is left out by its id."""

from __future__ import annotations

import os
from pathlib import Path

_RESOURCE_TRACKER = "resource_tracker"  # of multiprocessing, for the benchmark's own queue


def tree_cpu_s(others: set[int | None]) -> float:
    """User and system time so far, in seconds."""
    ticks = 0
    for pid in _server_pids(others):
        fields = _text(pid, "stat").rpartition(")")[2].split()
        if not fields:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def tree_rss_bytes(others: set[int | None]) -> int:
    """Resident memory; what processes share counts for each."""
    pages = (_text(pid, "statm").split() for pid in _server_pids(others))
    return sum(int(fields[1]) for fields in pages if fields) * os.sysconf("SC_PAGE_SIZE")


def _text(pid: int, name: str) -> str:
    """Empty when the process has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


def _children(thread: Path) -> str:
    try:
        return (thread / "children").read_text()
    except OSError:  # it ended meanwhile
        return ""


def _server_pids(others: set[int | None]) -> list[int]:
    threads = Path(f"/proc/{os.getpid()}/task").iterdir()
    children = {int(pid) for thread in threads for pid in _children(thread).split()}
    own = [pid for pid in children - others if _RESOURCE_TRACKER not in _text(pid, "cmdline")]
    return [os.getpid(), *own]
