"""The end of a thread that may be in the middle of a statement."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

import duckdb


def interrupt_until_end(
    thread: threading.Thread, working: Callable[[], duckdb.DuckDBPyConnection | None], timeout_s: float
) -> None:
    """Interrupt what the thread's connection does until the thread has ended, or the time has.

    Args:
        working: the connection that is in use now. It is asked again and again, since between two statements
            there is nothing to interrupt.
    """
    deadline_s = monotonic() + timeout_s
    while thread.is_alive() and monotonic() < deadline_s:
        connection = working()
        if connection is not None:
            connection.interrupt()
        thread.join(0.05)
