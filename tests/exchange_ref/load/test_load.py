from __future__ import annotations

import asyncio
import time

from exchange_ref.services.wallet import Outcome


def test_load_arrives_at_its_rate_and_is_accepted(open_exchange) -> None:
    """In a second at 100 orders/s about a hundred are sent, nearly all accepted, none left in flight."""

    async def main() -> tuple[int, int, int]:
        async with open_exchange() as running:
            stop = asyncio.Event()
            asyncio.get_running_loop().call_later(1.0, stop.set)
            await running.load.run(stop)
            assert await running.load.settle(5.0)
            counters = running.exchange.gateway.counters
            return running.load.counters.sent, counters.orders_accepted, counters.in_flight

    sent, accepted, in_flight = asyncio.run(main())
    assert 60 <= sent <= 145
    assert accepted >= sent * 0.98
    assert in_flight == 0


def test_arrivals_do_not_wait_for_answers(open_exchange) -> None:
    """While the database stalls, orders keep arriving at the same rate: the load is open-loop."""

    async def main() -> list[Outcome]:
        async with open_exchange() as running:
            running.exchange.database.progress_hook = stalls_once
            stop = asyncio.Event()
            asyncio.get_running_loop().call_later(0.5, stop.set)
            await running.load.run(stop)
            in_flight = len(running.load.in_flight)
            running.exchange.database.progress_hook = None
            assert await running.load.settle(5.0)
            assert in_flight >= 15
            return []

    def stalls_once(name: str):
        pending = [0.4] if name == "SELECT wallets" else []
        return lambda: time.sleep(pending.pop()) or 0 if pending else 0

    asyncio.run(main())
