"""A whole exchange on free ports, its spans kept in memory."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from exchange_ref.exchange import Exchange, ExchangeConfig
from exchange_ref.faults.fault import Target
from exchange_ref.load.arrivals import Load
from exchange_ref.load.traders import Traders
from exchange_ref.services.http_client import HttpClient, Response
from exchange_ref.telemetry.span_export import BoundedSpanExport


@dataclass(frozen=True)
class Running:
    """A started exchange. `client` may speak to the gateway for any trader; `stranger` has no token."""

    exchange: Exchange
    export: BoundedSpanExport
    memory: InMemorySpanExporter
    client: HttpClient
    load: Load
    stranger: HttpClient

    def traces(self) -> dict[str, list[ReadableSpan]]:
        """Finished spans by trace id."""
        assert self.export.force_flush(60_000)
        found: dict[str, list[ReadableSpan]] = defaultdict(list)
        for span in self.memory.get_finished_spans():
            found[format(span.context.trace_id, "032x")].append(span)
        return dict(found)

    def target(self) -> Target:
        return Target(self.exchange, self.load, time.time_ns)


class TrustedClient(HttpClient):
    """Sends the exchange's load token with each request that names a user."""

    token = ""

    async def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        timeout_s: float | None = None,
    ) -> Response:
        if "x-user-id" in headers:
            headers = {**headers, "authorization": f"Bearer {self.token}"}
        return await super().request(method, path, headers, body, timeout_s=timeout_s)


StartExchange = Callable[..., AbstractAsyncContextManager[Running]]
OpenExchange = Callable[[], AbstractAsyncContextManager[Running]]


@asynccontextmanager
async def running_exchange(folder: Path, database: str = "") -> AsyncIterator[Running]:
    memory = InMemorySpanExporter()
    export = BoundedSpanExport(memory, schedule_delay_ms=50)
    exchange = Exchange(ExchangeConfig(folder, database=database), export)
    await exchange.start()
    client = TrustedClient(exchange.front.host, exchange.front.port)
    client.token = exchange.load_token
    stranger = HttpClient(exchange.front.host, exchange.front.port)
    traders = Traders(random.Random(1), f"{time.time_ns():x}")
    load = Load(exchange.wallet, traders, random.Random(2), 100.0)
    try:
        yield Running(exchange, export, memory, client, load, stranger)
    finally:
        await load.abandon()
        await asyncio.gather(client.close(), stranger.close())
        await exchange.stop()
        export.shutdown()


@pytest.fixture(scope="session")
def start_exchange() -> StartExchange:
    """Start an exchange in a folder, on a `database` if one is given, and stop it behind the block."""
    return running_exchange


@pytest.fixture
def open_exchange(tmp_path: Path) -> OpenExchange:
    """The same in this test's own folder."""
    return lambda: running_exchange(tmp_path / "exchange")
