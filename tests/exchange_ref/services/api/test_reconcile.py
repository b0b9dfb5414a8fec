"""Rows that a crash left behind the journal."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from exchange_ref.services.api.statements import Statement

HEADERS = {"content-type": "application/json"}
ORDER = {"pair": "SOL/USD", "type": "LIMIT", "quantity": 2, "price": "94.5"}
# The crash: both were executed and journaled, and their rows did not learn of it. The last never was.
FORGET = [
    Statement("UPDATE", "orders", "UPDATE orders SET status = 'NEW', filled_lots = 0, quote_units = 0"),
    Statement("UPDATE", "transfers", "UPDATE transfers SET status = 'NEW'"),
    Statement(
        "INSERT",
        "orders",
        "INSERT INTO orders SELECT 'unknown', user_id, 'unknown', pair, side, type, price_ticks,"
        " quantity_lots, 0, 'NEW', created_unix_nano, 'GTC', 0, 0, 0, 0 FROM orders LIMIT 1",
    ),
]
ORDERS = Statement("SELECT", "orders", "SELECT order_id, status, filled_lots, quote_units FROM orders")
TRANSFERS = Statement("SELECT", "transfers", "SELECT transfer_id, status FROM transfers")


@pytest.mark.parametrize("with_snapshot", [False, True])
def test_rows_behind_the_journal_are_brought_up_at_a_start(
    start_exchange, tmp_path, with_snapshot: bool
) -> None:
    """Orders and transfers that were executed read so after a restart, also where only a snapshot knows of
    them; what was not executed stays new."""

    async def rows(running: Any) -> dict[str, Any]:
        database = running.exchange.database
        return {row[0]: row[1:] for one in (ORDERS, TRANSFERS) for row in await database.read(one, ())}

    async def main() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        async with start_exchange(tmp_path) as running:

            async def call(method: str, path: str, user: str, body: object = None) -> Any:
                sent = json.dumps(body).encode() if body else b""
                answer = await running.client.request(method, path, {**HEADERS, "x-user-id": user}, sent)
                assert answer.status in {200, 201}, answer.body
                return json.loads(answer.body)

            await call(
                "POST", "/api/v1/orders", "trader-01", {**ORDER, "client_order_id": "b", "side": "BUY"}
            )
            sell = {**ORDER, "client_order_id": "s", "side": "SELL", "quantity": 3}
            await call("POST", "/api/v1/orders", "trader-02", sell)
            address = (await call("GET", "/api/v1/address", "trader-02"))["address"]
            transfer = {"client_transfer_id": "t", "asset": "USD", "amount": 5, "to_address": address}
            await call("POST", "/api/v1/transfers", "trader-01", transfer)
            before = await rows(running)
            await running.exchange.database.write(*((one, [()]) for one in FORGET))
            behind = await rows(running)
            if with_snapshot:
                await running.exchange.snapshots.take()
        async with start_exchange(tmp_path) as running:
            return before, behind, await rows(running)

    before, behind, after = asyncio.run(main())
    assert {status for status, *_ in behind.values()} == {"NEW"}
    assert after.pop("unknown") == ("NEW", 0, 0)
    assert after == before
    assert sorted(status for status, *_ in before.values()) == ["COMPLETED", "FILLED", "PARTIALLY_FILLED"]
