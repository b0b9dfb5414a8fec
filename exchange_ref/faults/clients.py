"""Faults before the exchange: impatient clients, clients on a thin line, a slow plugin of the gateway."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

from pydantic import Field

from exchange_ref.faults.impact import Impact, Window, compare, counts, durations_ms
from exchange_ref.faults.lasting import LastingFault, LastingParams, Scene, attribute, entry
from exchange_ref.services.wallet import RetryPolicy
from exchange_ref.telemetry.tracing import GATEWAY, WALLET

# Without orders to learn from; far below what an order takes on a busy machine.
DEFAULT_TIMEOUT_S = 0.01


class RetryStormParams(LastingParams):
    """Without `timeout_ms`, the clients give up after what half of their requests took so far."""

    timeout_ms: float | None = Field(None, gt=0, le=5_000)
    max_attempts: int = Field(4, ge=2, le=20)
    backoff_ms: float = Field(20, ge=0, le=5_000)


class RetryStorm(LastingFault[RetryStormParams]):
    """Clients give up too early and ask again with back-off, always with the same client order id."""

    kind = "retry_storm"
    params_model: ClassVar[type[LastingParams]] = RetryStormParams
    root_service = WALLET
    symptom = "count"

    @property
    def root_operation(self) -> str | None:
        return "POST"

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        took_ms = [sample.value for sample in durations_ms(scene.exchange.witness, WALLET, "POST")]
        timeout_s = statistics.median(took_ms) / 1000 if took_ms else DEFAULT_TIMEOUT_S
        if self.params.timeout_ms is not None:
            timeout_s = self.params.timeout_ms / 1000
        policy = RetryPolicy(self.params.max_attempts, timeout_s, self.params.backoff_ms / 1000)
        with attribute(scene.exchange.wallet, "retry", policy):
            yield

    def measure(self, scene: Scene, window: Window) -> Impact:
        return compare(counts(scene.exchange.witness.runs(WALLET, "POST")), window, 1)


class SlowClientParams(LastingParams):
    delay_ms: float = Field(120, gt=0, le=5_000)
    share: float = Field(0.5, gt=0, le=1)


class WalletSlowClient(LastingFault[SlowClientParams]):
    """Requests leave the client slowly: the first byte is well ahead of the rest."""

    kind = "wallet_slow_client"
    params_model: ClassVar[type[LastingParams]] = SlowClientParams
    root_service = WALLET
    symptom = "latency"

    @property
    def root_operation(self) -> str | None:
        return "POST"

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:

        def dawdle_s() -> float:
            return (
                scene.around(self.params.delay_ms / 1000) if scene.rng.random() < self.params.share else 0.0
            )

        with attribute(scene.exchange.front_client, "dawdle_s", dawdle_s):
            yield

    def measure(self, scene: Scene, window: Window) -> Impact:
        samples = durations_ms(scene.exchange.witness, WALLET, "POST")
        return compare(samples, window, self.params.delay_ms / 2)


class GatewayDelayParams(LastingParams):
    delay_ms: float = Field(80, gt=0, le=5_000)


class GatewayDelay(LastingFault[GatewayDelayParams]):
    """A plugin of the gateway asks another server about each request, and that server takes its time."""

    kind = "gateway_delay"
    params_model: ClassVar[type[LastingParams]] = GatewayDelayParams
    root_service = GATEWAY
    symptom = "latency"

    @property
    def root_operation(self) -> str | None:
        return "kong.router"

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            await asyncio.sleep(scene.around(self.params.delay_ms / 1000))
            writer.write(b"allow\n")
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]

            async def ask(path: str) -> None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(path.encode() + b"\n")
                await reader.readline()
                writer.close()

            with entry(scene.exchange.gateway.plugins, ask):
                yield
            # Requests that are being asked about get their answer before the server goes.
            await asyncio.sleep(2 * self.params.delay_ms / 1000)

    def measure(self, scene: Scene, window: Window) -> Impact:
        samples = durations_ms(scene.exchange.witness, GATEWAY, "kong.router")
        return compare(samples, window, self.params.delay_ms / 2)
