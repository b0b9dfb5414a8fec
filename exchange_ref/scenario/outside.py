"""What happens around the exchange: others take the host's processors, or its telemetry does not leave it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from exchange_ref.load.arrivals import wait_for_event

HOST_SATURATED, SENDER_STOPPED = "host_saturated", "sender_stopped"
# A loop that ends with its time, or with the recorder, whatever becomes of either.
_BURN = """
import os, sys, time
ends_s, parent = time.monotonic() + float(sys.argv[1]), os.getppid()
while time.monotonic() < ends_s and os.getppid() == parent:
    for _ in range(100_000):
        pass
"""


@dataclass(slots=True)
class Sender:
    """The way that telemetry takes out of the process; while it is stopped all that would leave is lost."""

    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Outside:
    """One happening.

    Args:
        at_s: seconds after the baseline began.
        burners: processes that compute; 0 for one on each processor.
    """

    kind: str
    at_s: float
    for_s: float
    burners: int = 0


@dataclass(slots=True)
class Happened:
    """When it was there, ns since 1970."""

    outside: Outside
    start_unix_nano: int = 0
    end_unix_nano: int = 0


async def happen(outside: Outside, after_s: float, sender: Sender, stop: asyncio.Event) -> Happened:
    """Wait, begin, end; early when `stop` is set."""
    await wait_for_event(stop, after_s)
    found = Happened(outside, time.time_ns())
    with _burning(outside) if outside.kind == HOST_SATURATED else _stopped(sender):
        await wait_for_event(stop, outside.for_s)
        found.end_unix_nano = time.time_ns()
    return found


@contextmanager
def _burning(outside: Outside) -> Iterator[None]:
    command = [sys.executable, "-I", "-S", "-c", _BURN, str(outside.for_s)]
    count = outside.burners or os.cpu_count() or 1
    burners = [subprocess.Popen(command) for _ in range(count)]  # noqa: S603 - our own loop
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


@contextmanager
def _stopped(sender: Sender) -> Iterator[None]:
    sender.stopped = True
    try:
        yield
    finally:
        sender.stopped = False
