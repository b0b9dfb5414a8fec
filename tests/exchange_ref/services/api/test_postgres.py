"""The exchange on a real PostgreSQL: every path that touches rows, a restart, a server that goes, faults."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exchange_ref.errors import InvalidUse
from exchange_ref.exchange import Exchange, ExchangeConfig
from exchange_ref.faults.labels import LabelFile
from exchange_ref.faults.runner import FaultRunner
from exchange_ref.faults.schedule import parse_schedule
from exchange_ref.services.addresses import address_of
from exchange_ref.services.api.backends import open_backend
from exchange_ref.services.api.statements import STATEMENTS
from tests.exchange_ref.accounts.test_accounts import ANN, Caller
from tests.exchange_ref.faults.ending import stop_after
from tests.exchange_ref.services.api.postgres import Server, server

pytestmark = [pytest.mark.long, pytest.mark.alone]
ORDER = {"pair": "SOL/USD", "side": "BUY", "type": "LIMIT", "quantity": 2, "price": "94.5"}
USER = {"x-user-id": "trader-01"}


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    with server() as running:
        yield running


async def ask(running: Any, method: str, path: str, body: object = None) -> tuple[int, Any]:
    content = json.dumps(body).encode() if body is not None else b""
    answer = await running.client.request(method, f"/api/{path}", USER, content)
    return answer.status, json.loads(answer.body)


def test_all_rows_are_written_and_read_there(start_exchange, postgres: Server, tmp_path: Path) -> None:
    """Accounts, orders, transfers, payments, positions; after a restart they are as before, and a server
    that was away is used again."""
    folder, url = tmp_path / "exchange", postgres.database("rows")

    async def first() -> dict[str, Any]:
        async with start_exchange(folder, url) as running:
            call = Caller(running, folder)
            tokens = await call.sign_up(ANN)
            access = tokens["access_token"]
            fresh = await call("POST", "auth/refresh", {"refresh_token": tokens["refresh_token"]})
            reused = await call("POST", "auth/refresh", {"refresh_token": tokens["refresh_token"]})
            assert (fresh[0], reused[0]) == (200, 401)
            assert (await call("GET", "auth/me", token=access))[0] == 401
            assert (await call("POST", "auth/register", ANN))[0] == 409
            assert [(await call("POST", "auth/login", {**ANN, "password": "no"}))[0] for _ in range(6)] == [
                *[401] * 5,
                429,
            ]
            placed = await ask(running, "POST", "orders", {**ORDER, "client_order_id": "1"})
            again = await ask(running, "POST", "orders", {**ORDER, "client_order_id": "1"})
            other = await ask(running, "POST", "orders", {**ORDER, "client_order_id": "2"})
            cancelled = await ask(running, "DELETE", f"orders/{other[1]['order_id']}")
            sent = {
                "client_transfer_id": "t",
                "asset": "USD",
                "amount": 5,
                "to_address": address_of("trader-02"),
            }
            moved = await ask(running, "POST", "transfers", sent)
            paid = await ask(running, "POST", "deposits", {"client_id": "d", "asset": "USD", "amount": 100})
            out = await ask(running, "POST", "withdrawals", {"client_id": "w", "asset": "USD", "amount": 10})
            bet = {"asset": "BTC", "side": "LONG", "leverage": 2, "margin": "50"}
            opened = await ask(running, "POST", "cfd/trades", bet)
            statuses = [one[0] for one in (placed, again, cancelled, moved, paid, out, opened)]
            assert statuses == [201, 200, 200, 201, 201, 201, 201]
            spans = [span for trace in running.traces().values() for span in trace]
            told = {
                (span.attributes["db.system.name"], span.attributes["server.port"])
                for span in spans
                if "db.system.name" in (span.attributes or {})
            }
            assert told == {("postgresql", int(postgres.url.rpartition(":")[2].split("/")[0]))}
            return await shown(running)

    async def shown(running: Any) -> dict[str, Any]:
        paths = ("wallet", "orders", "open-orders", "transfers", "deposits", "withdrawals", "cfd/trades")
        found = {path: await ask(running, "GET", path) for path in paths}
        for trade in found["cfd/trades"][1]:
            del trade["price"], trade["profit"]
        return found

    async def second() -> tuple[dict[str, Any], list[int]]:
        async with start_exchange(folder, url) as running:
            found = await shown(running)
            older = await ask(running, "GET", f"orders?before={found['orders'][1][0]['order_id']}")
            assert [order["client_order_id"] for order in older[1]] == ["1"]
            await asyncio.to_thread(postgres.stop)
            away = (await ask(running, "GET", "wallet"))[0]
            await asyncio.to_thread(postgres.start)
            # What the pool held is found to be gone, one by one.
            orders = [{**ORDER, "client_order_id": f"n{number}"} for number in range(40)]
            statuses = [(await ask(running, "POST", "orders", order))[0] for order in orders]
            return found, [away, *statuses]

    before = asyncio.run(first())
    assert [order["status"] for order in before["orders"][1]] == ["CANCELED", "NEW"]
    assert [order["client_order_id"] for order in before["open-orders"][1]] == ["1"]
    assert [trade["status"] for trade in before["cfd/trades"][1]] == ["OPEN"]
    after, statuses = asyncio.run(second())
    assert after == before
    assert statuses[0] == 500
    assert statuses[-1] == 201


def test_faults_of_the_database_show_there_too(start_exchange, postgres: Server, tmp_path: Path) -> None:
    """A lock of another session, a pool whose connections are all in transactions, slow statements."""
    kinds = {
        "pool_exhaustion": {"hold_ms": 100},
        "db_lock": {"hold_ms": 400, "every_ms": 100},
        "db_slow": {"delay_ms": 80},
    }

    async def play(scale: float) -> dict[str, Any]:
        faults = [
            {"kind": kind, "at_s": scale * (1.5 + 3 * number), "for_s": scale * 2, "params": params}
            for number, (kind, params) in enumerate(kinds.items())
        ]
        schedule = parse_schedule(json.dumps({"seed": 3, "faults": faults}), "postgres")
        name = f"faults_{scale:.0f}"
        async with start_exchange(tmp_path / name, postgres.database(name)) as running:
            labels, stop = LabelFile(tmp_path / f"{name}.jsonl"), asyncio.Event()
            running.load.rate_per_s = 30.0
            runner = FaultRunner(schedule, running.target(), labels, stop)
            runner.start()
            await asyncio.gather(running.load.run(stop), stop_after(scale * 10, schedule, runner, stop))
            await runner.finish()
            labels.close()
            return {label.kind: label.impact | {"verified": label.impact_verified} for label in labels.labels}

    # A machine that is busy with other work hides a second of it: it has to show in a longer course then.
    found = asyncio.run(play(1))
    for scale in (2, 4):
        if not all(impact["verified"] for impact in found.values()):
            found = asyncio.run(play(scale))
    assert {kind: impact["verified"] for kind, impact in found.items()} == dict.fromkeys(kinds, True), found


def test_no_statement_keeps_sqlites_words() -> None:
    for statement in STATEMENTS.values():
        assert "?" not in open_backend("postgresql://", Path()).text(statement.sql)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://x", "begins with 'mysql'"),
        ("postgresql://kx@127.0.0.1:port/x", "has no port that can be"),
        ("postgresql://kx:no@127.0.0.1:1/x", "cannot use PostgreSQL"),
    ],
)
def test_a_database_that_cannot_be_used_is_said(tmp_path: Path, url: str, words: str) -> None:
    """And its password is not."""
    with pytest.raises(InvalidUse, match=words) as refused:
        Exchange(ExchangeConfig(tmp_path, database=url), _Nowhere())
    assert "kx:no" not in str(refused.value)


class _Nowhere:
    def on_start(self, *_: object) -> None: ...

    def on_end(self, _: object) -> None: ...
