"""Faults of how the API uses its database: a lock, an exhausted pool, one query for each row."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

from opentelemetry.trace import Span
from pydantic import Field

from exchange_ref.engine.instruments import ASSETS
from exchange_ref.faults.impact import Impact, Window, compare, counts, durations_ms
from exchange_ref.faults.lasting import LastingFault, LastingParams, Scene, attribute
from exchange_ref.faults.tasks import cancelled_at_end
from exchange_ref.services.api.statements import SELECT_WALLET
from exchange_ref.services.api.wallets import WalletRows
from exchange_ref.telemetry.tracing import EXCHANGE


class DbLockParams(LastingParams):
    hold_ms: float = Field(120, gt=0, le=4_000)
    every_ms: float = Field(300, gt=0, le=60_000)


class DbLock(LastingFault[DbLockParams]):
    """Another connection holds the database's write lock, again and again, as a nightly job would. The next
    writing statement, whichever it is, waits for it; readers do not."""

    kind = "db_lock"
    params_model: ClassVar[type[LastingParams]] = DbLockParams
    root_service = EXCHANGE
    symptom = "latency"

    def symptoms(self) -> list[dict[str, str]]:
        return [
            {"kind": "latency", "service": EXCHANGE, "operation": name}
            for name in ("INSERT orders", "UPDATE wallets")
        ]

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        database = scene.exchange.database
        connection = await asyncio.to_thread(database.connect)

        async def hold_again_and_again() -> None:
            while True:
                await asyncio.to_thread(connection.execute, database.backend.begin)
                try:
                    await asyncio.to_thread(connection.execute, database.backend.lock)
                    await asyncio.sleep(scene.around(self.params.hold_ms / 1000))
                finally:
                    connection.execute("ROLLBACK")
                await asyncio.sleep(self.params.every_ms / 1000)

        async with cancelled_at_end(hold_again_and_again()):
            yield

    def measure(self, scene: Scene, window: Window) -> Impact:
        samples = [
            sample
            for symptom in self.symptoms()
            for sample in durations_ms(scene.exchange.witness, EXCHANGE, symptom["operation"])
        ]
        return compare(samples, window, self.params.hold_ms / 3)


class PoolExhaustionParams(LastingParams):
    """`borrowers` beyond the pool's size queue with the orders: each order waits for about
    (borrowers − size) / size × `hold_ms`."""

    borrowers: int = Field(64, ge=33, le=1_000)
    hold_ms: float = Field(120, gt=0, le=5_000)


class PoolExhaustion(LastingFault[PoolExhaustionParams]):
    """Somebody keeps read transactions open and connections borrowed; orders wait for one to come back."""

    kind = "pool_exhaustion"
    params_model: ClassVar[type[LastingParams]] = PoolExhaustionParams
    root_service = EXCHANGE
    symptom = "latency"

    @property
    def root_operation(self) -> str | None:
        return "SELECT wallets"

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        pool = scene.exchange.database.pool

        async def keep_one() -> None:
            while True:
                async with pool.borrow() as connection:
                    connection.execute("BEGIN")
                    try:
                        await asyncio.sleep(scene.around(self.params.hold_ms / 1000))
                    finally:
                        connection.execute("ROLLBACK")

        async with cancelled_at_end(*(keep_one() for _ in range(self.params.borrowers))):
            yield

    def measure(self, scene: Scene, window: Window) -> Impact:
        waits = (
            self.params.borrowers - scene.exchange.database.pool.size
        ) / scene.exchange.database.pool.size
        samples = durations_ms(scene.exchange.witness, EXCHANGE, "SELECT wallets")
        return compare(samples, window, waits * self.params.hold_ms / 2)


class NPlusOneParams(LastingParams):
    reads: int = Field(20, ge=len(ASSETS), le=500)


class NPlusOne(LastingFault[NPlusOneParams]):
    """The API reads wallets row by row, and the same rows again: many fast statements instead of one."""

    kind = "n_plus_one"
    params_model: ClassVar[type[LastingParams]] = NPlusOneParams
    root_service = EXCHANGE
    symptom = "count"

    @property
    def root_operation(self) -> str | None:
        return "SELECT wallets"

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        wallets = scene.exchange.wallets

        async def fetch_row_by_row(user_id: str, server: Span) -> WalletRows:
            rows: dict[str, tuple[str, int, int]] = {}
            for number in range(self.params.reads):
                asset = ASSETS[number % len(ASSETS)]
                for _, available, locked in await wallets.traced.read(
                    SELECT_WALLET, (user_id, asset), server
                ):
                    rows[asset] = (asset, available, locked)
            return list(rows.values())

        with attribute(wallets, "fetch", fetch_row_by_row):
            yield

    def measure(self, scene: Scene, window: Window) -> Impact:
        runs = scene.exchange.witness.runs(EXCHANGE, "SELECT wallets")
        return compare(counts(runs), window, self.params.reads / 2)
