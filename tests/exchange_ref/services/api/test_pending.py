from __future__ import annotations

import asyncio
import json
from typing import Any

from opentelemetry.trace import INVALID_SPAN

from exchange_ref.engine.instruments import UNITS_PER_ASSET
from exchange_ref.engine.orders import OrderRejected
from exchange_ref.services.api.statements import INSERT_PAYMENTS
from tests.pace import until

ASKED = {"client_id": "w", "asset": "USD", "amount": "1000"}


async def call(running: Any, method: str, path: str, body: object = None) -> tuple[int, Any]:
    content = b"" if body is None else json.dumps(body).encode()
    answer = await running.client.request(method, f"/api/{path}", {"x-user-id": "trader-01"}, content)
    return answer.status, json.loads(answer.body)


async def status_of(running: Any) -> str:
    (row,) = (await call(running, "GET", "withdrawals"))[1]
    return str(row["status"])


def usd(running: Any) -> tuple[int, int]:
    balance = running.exchange.engine.ledger.balance("trader-01", "USD")
    return balance.available_units // UNITS_PER_ASSET, balance.locked_units // UNITS_PER_ASSET


def soon(running: Any) -> None:
    """Ask at once instead of after some seconds."""
    running.exchange.pending.least_age_s = 0.0


def test_a_pending_withdrawal_is_settled_by_itself(open_exchange) -> None:
    """While the provider fails it stays pending with its money locked; once it answers the next round pays it
    once, in a trace of its own from the third party to the journal."""

    async def main() -> None:
        async with open_exchange() as running:
            exchange, before = running.exchange, usd(running)[0]
            exchange.payments.failing = lambda: True
            assert (await call(running, "POST", "withdrawals", ASKED))[0] == 502
            await exchange.pending.settle()
            assert usd(running)[1] == 1001
            exchange.payments.failing = lambda: False
            exchange.pending.least_age_s = 3_600.0
            await exchange.pending.settle()
            assert await status_of(running) == "PENDING"  # its own request may be at it still
            soon(running)
            known = set(running.traces())
            for _ in range(2):
                await exchange.pending.settle()
            assert await status_of(running) == "COMPLETED"
            assert usd(running) == (before - 1001, 0)
            assert exchange.engine.withdrawals == {}
            traces = [spans for one, spans in running.traces().items() if one not in known]
            (spans,) = [spans for spans in traces if any(span.name == "funds.settle" for span in spans)]
            by_id = {span.context.span_id: span.name for span in spans}
            parent_of = {span.name: span.parent and by_id[span.parent.span_id] for span in spans}
            assert parent_of["funds.settle"] is None
            assert parent_of["POST /payouts"] == "funds.settle"
            assert parent_of["funds.pay"] == "publish <default>"
            root = next(span for span in spans if span.parent is None)
            assert root.attributes["payment.status"] == "COMPLETED"

    asyncio.run(main())


def test_a_restart_goes_on_asking(open_exchange) -> None:
    """The next exchange in the folder settles what the last one left, without being asked."""

    async def main() -> None:
        async with open_exchange() as running:
            running.exchange.payments.failing = lambda: True
            assert (await call(running, "POST", "withdrawals", ASKED))[0] == 502
            before, locked = usd(running)
            assert locked == 1001
        async with open_exchange() as running:
            soon(running)
            await until(lambda: not running.exchange.engine.withdrawals, 20)
            await until(lambda: usd(running) == (before, 0))

    asyncio.run(main())


def test_what_the_provider_declines_comes_back(open_exchange) -> None:
    """A payout that is declined after all is unlocked, and is over."""

    async def main() -> None:
        async with open_exchange() as running:
            exchange, before = running.exchange, usd(running)
            exchange.payments.failing = lambda: True
            assert (await call(running, "POST", "withdrawals", ASKED))[0] == 502
            soon(running)
            await exchange.pending.settle()
            assert await status_of(running) == "PENDING"
            exchange.payments.max_amount = 0
            await exchange.pending.settle()
            assert await status_of(running) == "DECLINED"
            assert usd(running) == before

    asyncio.run(main())


def test_every_one_gets_its_turn(open_exchange) -> None:
    """More than a round takes are asked for in the next rounds, however the first ones end."""

    async def main() -> None:
        async with open_exchange() as running:
            pending, asked = running.exchange.pending, []
            row = ("trader-01", "WITHDRAWAL")
            rows = [(f"{n:03}", *row, str(n), "USD", 100, 1, 0) for n in range(45)]
            await running.exchange.statements.write(INSERT_PAYMENTS, rows, INVALID_SPAN)

            async def settle(payment, _):
                asked.append(payment.payment_id)
                raise OrderRejected("payment_failed", "no answer")

            running.exchange.funds.settle = settle
            await pending.stop()
            for _ in range(4):
                await pending.settle()
            assert asked == [f"{n:03}" for n in [*range(45), *range(20)]]

    asyncio.run(main())
