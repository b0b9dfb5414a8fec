"""The database engine itself is slow: it stalls while it executes a statement.

SQLite calls a progress handler from inside its virtual machine. This one sleeps there, once in each execution
of the chosen statements, on the thread that runs it; the statement's text, plan and result stay the same, and
nothing but its duration tells. A slow write holds the single writer, so other writes queue behind it.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from exchange_ref.api.traced_database import StatementRun
from exchange_ref.faults.fault import SETTLE_TIMEOUT_S, Occurrence, Target
from exchange_ref.faults.labels import Label
from exchange_ref.load import wait_for_event
from exchange_ref.telemetry import EXCHANGE

StatementName = Literal["SELECT wallets", "INSERT orders", "UPDATE wallets"]
# Each stall differs from `delay_ms` by up to this share, as a slow disk would.
JITTER_SHARE = 0.2


class DbSlowParams(BaseModel):
    model_config = ConfigDict(extra="forbid")

    delay_ms: float = Field(150, gt=0, le=5_000)
    statements: list[StatementName] = Field(default=["SELECT wallets"], min_length=1)


@dataclass(frozen=True, slots=True)
class DbSlow:
    params: DbSlowParams
    for_s: float

    async def run(self, target: Target, occurrence: Occurrence, stop: asyncio.Event) -> Label:
        names = frozenset[str](self.params.statements)
        start_unix_nano = target.now_ns()
        over = threading.Event()
        target.database.progress_hook = stalling_hook(
            names, self.params.delay_ms / 1000, occurrence.rng, over
        )
        try:
            await wait_for_event(stop, self.for_s)
        finally:
            target.database.progress_hook = None
            over.set()
        end_unix_nano = target.now_ns()
        await target.load.settle(SETTLE_TIMEOUT_S)
        runs = [run for run in target.statements.runs if run.name in names]
        before_ms = median_ms(run for run in runs if run.start_unix_nano < start_unix_nano)
        during = [run for run in runs if start_unix_nano <= run.start_unix_nano <= end_unix_nano]
        during_ms = median_ms(during)
        stalled = [run for run in during if run.duration_ns / 1e6 >= self.params.delay_ms / 2]
        single = next(iter(names)) if len(names) == 1 else None
        return Label(
            fault_id=occurrence.fault_id,
            kind="db_slow",
            root_service=EXCHANGE,
            root_operation=single,
            params={**self.params.model_dump(), "for_s": self.for_s},
            seed=occurrence.seed,
            start_unix_nano=start_unix_nano,
            end_unix_nano=end_unix_nano,
            trace_ids=list(dict.fromkeys(run.trace_id for run in stalled)),
            expected_symptoms=[
                {"kind": "latency", "service": EXCHANGE, "operation": name} for name in sorted(names)
            ],
            impact_verified=before_ms is not None
            and during_ms is not None
            and during_ms - before_ms >= self.params.delay_ms / 2,
            impact={
                "median_before_ms": before_ms,
                "median_during_ms": during_ms,
                "statements_stalled": len(stalled),
            },
        )


def stalling_hook(
    names: frozenset[str], delay_s: float, rng: random.Random, over: threading.Event
) -> Callable[[str], Callable[[], int] | None]:
    """A progress hook that sleeps once in each execution of the named statements, until `over` is set."""

    def hook(statement_name: str) -> Callable[[], int] | None:
        if statement_name not in names:
            return None
        pending = [delay_s * rng.uniform(1 - JITTER_SHARE, 1 + JITTER_SHARE)]

        def inside_engine() -> int:
            if pending:
                over.wait(pending.pop())
            return 0  # go on executing

        return inside_engine

    return hook


def median_ms(runs: Iterable[StatementRun]) -> float | None:
    """The median duration in milliseconds; None without runs."""
    durations_ms = [run.duration_ns / 1e6 for run in runs]
    return round(statistics.median(durations_ms), 3) if durations_ms else None
