"""The interface of faults: what each gets and returns."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from exchange_ref.exchange import Exchange
from exchange_ref.faults.impact import Window
from exchange_ref.faults.labels import Label
from exchange_ref.load.arrivals import Load

# How long the last affected orders may take after a fault has ended.
SETTLE_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Target:
    """The running exchange, whose parts a fault touches, and the load on it.

    Args:
        now_ns: the clock, nanoseconds since 1970.
        windows: when faults were there so far; one that is not over has no end yet.
    """

    exchange: Exchange
    load: Load
    now_ns: Callable[[], int]
    windows: list[Window] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One entry of the schedule as it happens."""

    fault_id: str
    seed: int
    rng: random.Random


class Fault(Protocol):
    async def run(self, target: Target, occurrence: Occurrence, stop: asyncio.Event) -> Label:
        """Happen, end (early when `stop` is set); return the label when the last affected order is done."""
        ...
