"""Faults of kx-exchange's own code: it burns CPU, fails for some users, never lets go of memory."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import ClassVar

from pydantic import Field

from exchange_ref.engine.orders import Order
from exchange_ref.faults.impact import Impact, Window, compare, durations_ms, failures
from exchange_ref.faults.lasting import LastingFault, LastingParams, Scene, attribute, entry
from exchange_ref.faults.tasks import cancelled_at_end
from exchange_ref.load.traders import USERS
from exchange_ref.telemetry.metrics import resident_bytes
from exchange_ref.telemetry.tracing import EXCHANGE

PLACE_ORDER = "POST /api/v1/orders"
BURN_ROUNDS = 2_000
PAGE_BYTES = 4_096
LEAK_STEP_S = 0.1


class CpuHogParams(LastingParams):
    work_ms: float = Field(25, gt=0, le=2_000)
    share: float = Field(0.3, gt=0, le=1)


class CpuHog(LastingFault[CpuHogParams]):
    """Admitting an order costs real computing time, on the same cores as everything else."""

    kind = "cpu_hog"
    params_model: ClassVar[type[LastingParams]] = CpuHogParams
    root_service = EXCHANGE
    symptom = "latency"

    @property
    def root_operation(self) -> str | None:
        return PLACE_ORDER

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        with ThreadPoolExecutor(2, thread_name_prefix="admit") as threads:

            async def compute(_: Order) -> None:
                if scene.rng.random() < self.params.share:
                    work_s = scene.around(self.params.work_ms / 1000)
                    await asyncio.get_running_loop().run_in_executor(threads, _burn, work_s)

            with entry(scene.exchange.service.admitting, compute):
                yield

    def measure(self, scene: Scene, window: Window) -> Impact:
        samples = durations_ms(scene.exchange.witness, EXCHANGE, PLACE_ORDER)
        return compare(samples, window, self.params.work_ms / 2)


class ErrorBurstParams(LastingParams):
    """`ramp_s` has no meaning here: a user is in the table or not."""

    users: int = Field(8, ge=1, le=len(USERS))


class ErrorBurst(LastingFault[ErrorBurstParams]):
    """The table of fee tiers lacks some users, and looking them up fails: a 500 with a KeyError."""

    kind = "error_burst"
    params_model: ClassVar[type[LastingParams]] = ErrorBurstParams
    root_service = EXCHANGE
    symptom = "error"

    @property
    def root_operation(self) -> str | None:
        return PLACE_ORDER

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        fees = scene.exchange.service.fees
        missing = scene.rng.sample(USERS, self.params.users)
        with attribute(fees, "tiers", {user: fees.tiers[user] for user in fees.tiers if user not in missing}):
            yield

    def measure(self, scene: Scene, window: Window) -> Impact:
        return compare(failures(scene.exchange.witness.runs(EXCHANGE, PLACE_ORDER)), window, 1)


class MemoryLeakParams(LastingParams):
    mb_per_s: float = Field(20, gt=0, le=500)
    max_mb: float = Field(512, gt=0, le=8_192)


class MemoryLeak(LastingFault[MemoryLeakParams]):
    """Memory grows steadily and comes back only at the end, as with a restart. No order is slowed."""

    kind = "memory_leak"
    params_model: ClassVar[type[LastingParams]] = MemoryLeakParams
    root_service = EXCHANGE
    symptom = "memory"

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        kept: list[bytearray] = []
        scene.notes["resident_before_mb"] = resident_bytes() / 1e6

        async def leak() -> None:
            while sum(map(len, kept)) < self.params.max_mb * 1e6:
                block = bytearray(int(self.params.mb_per_s * 1e6 * LEAK_STEP_S * scene.level()))
                block[::PAGE_BYTES] = b"x" * len(block[::PAGE_BYTES])  # touched, so that it is resident
                kept.append(block)
                await asyncio.sleep(LEAK_STEP_S)

        async with cancelled_at_end(leak()):
            yield
            scene.notes["resident_after_mb"] = resident_bytes() / 1e6
            scene.notes["kept_mb"] = sum(map(len, kept)) / 1e6

    def measure(self, scene: Scene, window: Window) -> Impact:
        notes = scene.notes
        grown_mb = notes["resident_after_mb"] - notes["resident_before_mb"]
        figures: dict[str, object] = {name: round(value, 1) for name, value in notes.items()}
        return Impact(notes["kept_mb"] > 0 and grown_mb >= notes["kept_mb"] / 2, [], figures)


def _burn(duration_s: float) -> None:
    """Hashing, which needs no interpreter lock and so leaves the event loop its thread."""
    until_s = time.perf_counter() + duration_s
    while time.perf_counter() < until_s:
        hashlib.pbkdf2_hmac("sha256", b"order", b"tier", BURN_ROUNDS)
