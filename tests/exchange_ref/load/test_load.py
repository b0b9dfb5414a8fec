from __future__ import annotations

import asyncio
import time

from tests.exchange_ref.load.rate import at_its_rate
from tests.pace import patience_s, until


def test_load_arrives_at_its_rate_and_is_accepted(open_exchange) -> None:
    """Over a second or more at 100 orders/s as many are sent, nearly all accepted, none left in flight."""

    async def main() -> tuple[int, int, int]:
        async with open_exchange() as running:
            load, stop = running.load, asyncio.Event()
            loading = asyncio.create_task(load.run(stop))
            await at_its_rate(lambda: load.counters.sent, 100.0)
            stop.set()
            await loading
            assert await load.settle(patience_s(10.0))
            counters = running.exchange.gateway.counters
            return load.counters.sent, counters.orders_accepted, counters.in_flight

    sent, accepted, in_flight = asyncio.run(main())
    assert sent >= 60
    assert accepted >= sent * 0.98
    assert in_flight == 0


def test_arrivals_do_not_wait_for_answers(open_exchange) -> None:
    """While the database stalls, orders keep arriving at the same rate: the load is open-loop."""

    async def main() -> None:
        async with open_exchange() as running:
            load, stop = running.load, asyncio.Event()
            running.exchange.database.progress_hook = stalls_once
            loading = asyncio.create_task(load.run(stop))
            await until(lambda: len(load.in_flight) >= 15)
            stop.set()
            await loading
            running.exchange.database.progress_hook = None
            assert await load.settle(patience_s(10.0))

    def stalls_once(name: str):
        pending = [0.4] if name == "SELECT wallets" else []
        return lambda: time.sleep(pending.pop()) or 0 if pending else 0

    asyncio.run(main())
