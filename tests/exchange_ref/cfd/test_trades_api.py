from __future__ import annotations

import asyncio
import json

import pytest

from exchange_ref.services.api.statements import Statement
from tests.pace import until

FORGET = Statement("UPDATE", "cfd_trades", "UPDATE cfd_trades SET status = 'NEW' WHERE trade_id = ?")
TRADES = "/api/v1/cfd/trades"
BET = {"asset": "BTC", "side": "LONG", "leverage": 100, "margin": "50"}


async def ask(running, method: str, path: str = TRADES, body=None, user: str = "trader-01"):
    headers = {"x-user-id": user, "content-type": "application/json"}
    content = json.dumps(body).encode() if body is not None else b""
    response = await running.client.request(method, path, headers, content)
    return response.status, json.loads(response.body)


async def usd(running, user: str = "trader-01") -> tuple[float, float]:
    _, wallets = await ask(running, "GET", "/api/v1/wallets", user=user)
    return next((row["available"], row["locked"]) for row in wallets if row["asset"] == "USD")


async def until_none_is_open(running) -> None:
    await until(lambda: not (running.exchange.trades.open or running.exchange.watch.ending))


def test_a_trade_is_opened_listed_and_closed(open_exchange) -> None:
    """The margin is locked until the close, which answers with the profit; a second close says the same."""

    async def main() -> None:
        async with open_exchange() as running:
            before, _ = await usd(running)
            status, opened = await ask(running, "POST", body={**BET, "client_trade_id": "mine"})
            assert (status, opened["status"], opened["profit"]) == (201, "OPEN", 0)
            assert await usd(running) == (before - 50, 50)
            status, again = await ask(running, "POST", body={**BET, "client_trade_id": "mine"})
            assert (status, again["trade_id"]) == (200, opened["trade_id"])
            assert running.exchange.trades.counts() == {"BTC": 1, "ETH": 0, "SOL": 0}
            status, listed = await ask(running, "GET")
            assert (status, [row["trade_id"] for row in listed]) == (200, [opened["trade_id"]])
            assert listed[0]["margin"] == 50
            path = f"{TRADES}/{opened['trade_id']}"
            assert (await ask(running, "DELETE", path, user="trader-02"))[0] == 404
            status, closed = await ask(running, "DELETE", path)
            assert (status, closed["status"]) == (200, "CLOSED")
            assert await ask(running, "DELETE", path) == (200, closed)
            available, locked = await usd(running)
            assert available == pytest.approx(before + closed["profit"], abs=1e-7)
            assert locked == 0
            (_, [row]) = await ask(running, "GET")
            assert (row["status"], row["profit"]) == ("CLOSED", closed["profit"])

    asyncio.run(main())


@pytest.mark.parametrize(
    ("change", "status", "code", "field"),
    [
        ({"asset": "DOGE"}, 400, "invalid_trade", "asset"),
        ({"leverage": 101}, 400, "invalid_trade", "leverage"),
        ({"leverage": 0}, 400, "invalid_trade", "leverage"),
        ({"margin": "0"}, 400, "invalid_trade", "margin"),
        ({"margin": "0.000000001"}, 400, "invalid_trade", "margin"),
        ({"stop_loss": "42000.001"}, 400, "invalid_trade", "stop_loss"),
        ({"stop_loss": "90000"}, 400, "invalid_trade", "stop_loss"),
        ({"take_profit": "10000"}, 400, "invalid_trade", "take_profit"),
        ({"margin": "90000000000"}, 422, "insufficient_funds", "USD"),
    ],
)
def test_bad_trades_are_refused(open_exchange, change, status: int, code: str, field: str) -> None:
    """The answer names what is wrong, no money is locked and nothing is watched."""

    async def main() -> None:
        async with open_exchange() as running:
            answer, body = await ask(running, "POST", body={**BET, **change})
            assert (answer, body["error"]["code"]) == (status, code)
            assert field in body["error"]["message"]
            assert (await usd(running))[1] == 0
            assert not running.exchange.trades.open

    asyncio.run(main())


@pytest.mark.parametrize(
    ("levels", "factor", "status"),
    [
        ({}, 0.98, "LIQUIDATED"),
        ({"leverage": 2, "stop_loss": "41800"}, 0.98, "STOPPED"),
        ({"take_profit": "42500"}, 1.05, "TAKEN"),
    ],
)
def test_the_price_ends_a_trade(open_exchange, levels, factor: float, status: str) -> None:
    """When the price gets there the position ends by itself, and its margin is the most that is lost."""

    async def main() -> None:
        async with open_exchange() as running:
            before, _ = await usd(running)
            answer, _ = await ask(running, "POST", body={**BET, **levels})
            assert answer == 201
            running.exchange.price_source.walk.prices["BTC/USD"] *= factor
            await until_none_is_open(running)
            (_, [row]) = await ask(running, "GET")
            assert row["status"] == status
            available, locked = await usd(running)
            assert available == pytest.approx(before + row["profit"], abs=1e-7)
            assert locked == 0
            if status == "LIQUIDATED":
                assert row["profit"] == -50

    asyncio.run(main())


def test_open_trades_survive_a_restart(open_exchange) -> None:
    """After a start the position stands, is watched, and can end at its price."""

    async def main() -> None:
        async with open_exchange() as running:
            _, opened = await ask(running, "POST", body=BET)
            # The answer was lost on the way to the database.
            await running.exchange.database.write((FORGET, [(opened["trade_id"],)]))
        async with open_exchange() as running:
            assert list(running.exchange.trades.open) == [opened["trade_id"]]
            (_, [row]) = await ask(running, "GET")
            assert (row["trade_id"], row["status"]) == (opened["trade_id"], "OPEN")
            assert (await usd(running))[1] == 50
            running.exchange.price_source.walk.prices["BTC/USD"] *= 0.9
            await until_none_is_open(running)
            (_, [row]) = await ask(running, "GET")
            assert row["status"] == "LIQUIDATED"

    asyncio.run(main())


def test_trades_are_executed_while_the_matcher_is_another_process(open_exchange) -> None:
    """A position opened there is open here when the matcher is back, or has ended at its price there."""

    async def main() -> None:
        async with open_exchange() as running:
            exchange = running.exchange
            supervisor = exchange.matcher_supervisor()
            await supervisor.prepare()
            await exchange.matcher.hand_over(supervisor.go, supervisor.handle)
            _, lost = await ask(running, "POST", body=BET)
            _, kept = await ask(running, "POST", body={**BET, "asset": "ETH"})
            exchange.price_source.walk.prices["BTC/USD"] *= 0.9
            await until(lambda: len(exchange.trades.open) <= 1)
            await exchange.matcher.take_back(supervisor.end)
            assert [trade.trade_id for trade in exchange.engine.desk.trades()] == [kept["trade_id"]]
            _, rows = await ask(running, "GET")
            assert {row["trade_id"]: row["status"] for row in rows} == {
                lost["trade_id"]: "LIQUIDATED",
                kept["trade_id"]: "OPEN",
            }

    asyncio.run(main())
