"""Let faults happen, planned ones at their time and others on demand, and write the label of each."""

from __future__ import annotations

import asyncio
import logging
import random

from exchange_ref.faults.fault import Fault, Occurrence, Target
from exchange_ref.faults.labels import LabelFile
from exchange_ref.faults.registry import LASTING
from exchange_ref.faults.schedule import Planned, Schedule
from exchange_ref.load.arrivals import wait_for_event

logger = logging.getLogger(__name__)


class AlreadyThere(Exception):
    """A fault of that kind is happening; two at once would be one with two half-true labels."""


class FaultRunner:
    """`start` is the moment the load begins; setting `stop` ends running faults and skips those to come."""

    def __init__(self, schedule: Schedule, target: Target, labels: LabelFile, stop: asyncio.Event) -> None:
        self._schedule = schedule
        self._target = target
        self._labels = labels
        self._stop = stop
        self._tasks: set[asyncio.Task[None]] = set()
        self._planned: list[asyncio.Task[None]] = []
        self._count = len(schedule.faults)
        # Fault id → kind and what ends it.
        self._running: dict[str, tuple[str, asyncio.Event]] = {}

    def start(self) -> None:
        self._planned = [
            asyncio.create_task(self._at_its_time(number, planned), name=f"fault-{number}")
            for number, planned in enumerate(self._schedule.faults, start=1)
        ]

    async def finish(self) -> None:
        """Wait until every fault is over and labelled."""
        await asyncio.gather(*self._planned)
        for fault_id in list(self._running):
            self.end(fault_id)
        await asyncio.gather(*self._tasks)

    def launch(self, kind: str, fault: Fault) -> str:
        """Let a fault happen now, in the background; returns its id.

        Raises:
            AlreadyThere: one of that kind is happening.
        """
        if kind in LASTING and any(running == kind for running, _ in self._running.values()):
            raise AlreadyThere(f"a {kind} is happening; end it first")
        self._count += 1
        task = asyncio.create_task(self._happen(self._count, kind, fault))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return _fault_id(kind, self._count)

    def end(self, fault_id: str) -> bool:
        """End a running fault early; False when there is none of that id."""
        found = self._running.get(fault_id)
        if found is not None:
            found[1].set()
        return found is not None

    def running(self) -> list[str]:
        return list(self._running)

    def labels(self) -> list[dict[str, object]]:
        """What is over, without the traces."""
        return [label.summary() for label in self._labels.labels]

    async def _at_its_time(self, number: int, planned: Planned) -> None:
        if await wait_for_event(self._stop, planned.at_s):
            fault_id = _fault_id(planned.kind, number)
            logger.warning("%s at %g s did not happen: the exchange stopped before", fault_id, planned.at_s)
            return
        await self._happen(number, planned.kind, planned.fault)

    async def _happen(self, number: int, kind: str, fault: Fault) -> None:
        fault_id, seed = _fault_id(kind, number), self._schedule.seed
        occurrence = Occurrence(fault_id, seed, random.Random(f"{seed}/{number}"))  # noqa: S311 - repeatable, not secret
        over = asyncio.Event()
        self._running[fault_id] = (kind, over)
        watch = asyncio.create_task(self._end_with_the_rest(over))
        try:
            self._labels.write(await fault.run(self._target, occurrence, over))
        except Exception:  # a fault that fails to happen must not take the exchange down
            logger.exception("the fault %s failed", fault_id)
        finally:
            watch.cancel()
            del self._running[fault_id]

    async def _end_with_the_rest(self, over: asyncio.Event) -> None:
        await self._stop.wait()
        over.set()


def _fault_id(kind: str, number: int) -> str:
    return f"{kind}-{number}"
