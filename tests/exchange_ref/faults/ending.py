"""Ends the load of a test when its faults are over, so that a machine that stalls skips none."""

from __future__ import annotations

import asyncio

from exchange_ref.faults.runner import FaultRunner
from exchange_ref.faults.schedule import Schedule
from tests.pace import patience_s

_LOOK_S = 0.05
_FAULT_S = 30.0  # a fault that cannot happen has no label


async def stop_after(load_s: float, schedule: Schedule, runner: FaultRunner, stop: asyncio.Event) -> None:
    """Set `stop` after so long, and not before every fault that should be over by then has its label."""
    loop = asyncio.get_running_loop()
    due = sum(planned.at_s + getattr(planned.fault, "for_s", 0.0) <= load_s for planned in schedule.faults)
    await asyncio.sleep(load_s)
    until_s = loop.time() + patience_s(_FAULT_S)
    while len(runner.labels()) < due and loop.time() < until_s:
        await asyncio.sleep(_LOOK_S)
    stop.set()
