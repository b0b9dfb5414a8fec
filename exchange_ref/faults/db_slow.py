"""The database engine itself is slow: it stalls while it executes a statement.

SQLite calls a progress handler from inside its virtual machine. This one sleeps there, once in each execution
of the chosen statements, on the thread that runs it; the statement's text, plan and result stay the same, and
only its duration shows the fault. A slow write holds the single writer, so other writes queue behind it.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import ClassVar, Literal

from pydantic import Field

from exchange_ref.faults.impact import Impact, Window, compare, durations_ms
from exchange_ref.faults.lasting import LastingFault, LastingParams, Scene
from exchange_ref.telemetry.tracing import EXCHANGE

StatementName = Literal["SELECT wallets", "INSERT orders", "UPDATE wallets"]


class DbSlowParams(LastingParams):
    delay_ms: float = Field(150, gt=0, le=5_000)
    statements: list[StatementName] = Field(default=["SELECT wallets"], min_length=1)


class DbSlow(LastingFault[DbSlowParams]):
    kind = "db_slow"
    params_model: ClassVar[type[LastingParams]] = DbSlowParams
    root_service = EXCHANGE
    symptom = "latency"

    @property
    def root_operation(self) -> str | None:
        names = set[str](self.params.statements)
        return names.pop() if len(names) == 1 else None

    def symptoms(self) -> list[dict[str, str]]:
        return [
            {"kind": "latency", "service": EXCHANGE, "operation": name}
            for name in sorted(set[str](self.params.statements))
        ]

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        database, over = scene.exchange.database, threading.Event()
        names = frozenset[str](self.params.statements)
        database.progress_hook = stalling_hook(names, lambda: scene.around(self.params.delay_ms / 1000), over)
        try:
            yield
        finally:
            database.progress_hook = None
            over.set()

    def measure(self, scene: Scene, window: Window) -> Impact:
        samples = [
            sample
            for name in sorted(set[str](self.params.statements))
            for sample in durations_ms(scene.exchange.witness, EXCHANGE, name)
        ]
        return compare(samples, window, self.params.delay_ms / 2)


def stalling_hook(
    names: frozenset[str], delay_s: Callable[[], float], over: threading.Event
) -> Callable[[str], Callable[[], int] | None]:
    """A progress hook that sleeps once in each execution of the named statements, until `over` is set."""

    def hook(statement_name: str) -> Callable[[], int] | None:
        if statement_name not in names:
            return None
        pending = [delay_s()]

        def inside_engine() -> int:
            if pending:
                over.wait(pending.pop())
            return 0  # go on executing

        return inside_engine

    return hook
