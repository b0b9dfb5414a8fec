"""Let each fault of a schedule happen at its time and write its label when it is over."""

from __future__ import annotations

import asyncio
import logging
import random

from exchange_ref.faults.fault import Occurrence, Target
from exchange_ref.faults.labels import LabelFile
from exchange_ref.faults.schedule import Planned, Schedule
from exchange_ref.load import wait_for_event

logger = logging.getLogger(__name__)


class FaultRunner:
    """`start` is the moment the load begins; setting `stop` ends running faults and skips those to come."""

    def __init__(self, schedule: Schedule, target: Target, labels: LabelFile, stop: asyncio.Event) -> None:
        self._schedule = schedule
        self._target = target
        self._labels = labels
        self._stop = stop
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._happen(number, planned), name=f"fault-{number}")
            for number, planned in enumerate(self._schedule.faults, start=1)
        ]

    async def finish(self) -> None:
        """Wait until every fault is over and labelled."""
        await asyncio.gather(*self._tasks)

    async def _happen(self, number: int, planned: Planned) -> None:
        fault_id = f"{planned.kind}-{number}"
        if await wait_for_event(self._stop, planned.at_s):
            logger.warning("%s at %g s did not happen: the exchange stopped before", fault_id, planned.at_s)
            return
        seed = self._schedule.seed
        occurrence = Occurrence(fault_id, seed, random.Random(f"{seed}/{number}"))  # noqa: S311 - repeatable, not secret
        try:
            self._labels.write(await planned.fault.run(self._target, occurrence, self._stop))
        except Exception:  # a fault that fails to happen must not take the exchange down
            logger.exception("%s could not happen", fault_id)
