"""What every fault is given, and what it gives back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from exchange_ref.api.database import Database
from exchange_ref.api.traced_database import TracedDatabase
from exchange_ref.faults.labels import Label
from exchange_ref.load import Load

# How long the last affected orders may take after a fault has ended.
SETTLE_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Target:
    """The parts of a running exchange that a fault may touch.

    Args:
        deposit: user, asset, units.
        now_ns: the clock, nanoseconds since 1970.
    """

    database: Database
    statements: TracedDatabase
    load: Load
    deposit: Callable[[str, str, int], Awaitable[None]]
    now_ns: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One entry of the schedule as it happens."""

    fault_id: str
    seed: int
    rng: random.Random


class Fault(Protocol):
    async def run(self, target: Target, occurrence: Occurrence, stop: asyncio.Event) -> Label:
        """Happen, end (early when `stop` is set), and tell the truth once the last affected order is done."""
        ...
