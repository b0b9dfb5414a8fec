from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from exchange_ref.faults.catalogue import catalogue
from exchange_ref.faults.labels import LabelFile
from exchange_ref.faults.registry import CONTROLS, KINDS, MOMENTARY
from exchange_ref.faults.runner import FaultRunner
from exchange_ref.faults.schedule import Schedule
from exchange_ref.services.admin import Admin
from exchange_ref.services.market_data import DEPTH_LEVELS, market_data
from tests.pace import patience_s, until

Call = Callable[..., Awaitable[tuple[int, Any]]]


def with_admin(open_exchange, tmp_path: Path, scenario: Callable[[Call, Any], Awaitable[None]]) -> None:
    """Run `scenario` against an exchange under load whose admin token is `t0ken`."""

    async def main() -> None:
        async with open_exchange() as running:
            labels, stop = LabelFile(tmp_path / "labels.jsonl"), asyncio.Event()
            runner = FaultRunner(Schedule(1, ()), running.target(), labels, stop)
            running.exchange.gateway.admin = Admin("t0ken", runner, running.load).answer

            async def call(
                method: str, path: str, body: object = None, token: str = "t0ken"
            ) -> tuple[int, Any]:
                headers = {"authorization": f"Bearer {token}"}
                sent = b"" if body is None else json.dumps(body).encode()
                response = await running.client.request(method, path, headers, sent)
                return response.status, json.loads(response.body)

            load = asyncio.create_task(running.load.run(stop))
            await until(lambda: len(running.load.answered) >= 20)
            await scenario(call, running)
            stop.set()
            await load
            assert await running.load.settle(patience_s(10.0))
            await runner.finish()
            labels.close()
            assert all(len(spans) == 17 for spans in running.traces().values())

    asyncio.run(main())


def test_a_fault_is_switched_on_and_off(open_exchange, tmp_path: Path) -> None:
    """It happens from the request to its end, is listed meanwhile, and leaves a verified label; asking
    leaves no trace."""

    async def scenario(call: Call, exchange: Any) -> None:
        order = {"kind": "gateway_delay", "for_s": 600, "params": {"delay_ms": 40}}
        status, reply = await call("POST", "/admin/faults", order)
        assert (status, reply) == (202, {"fault_id": "gateway_delay-1"})
        answered = len(exchange.load.answered)
        await until(lambda: len(exchange.load.answered) >= answered + 40)
        assert (await call("GET", "/admin/faults"))[1]["running"] == ["gateway_delay-1"]
        status, reply = await call("POST", "/admin/faults", order)
        assert (status, reply["error"]["code"]) == (409, "conflict")
        assert (await call("DELETE", "/admin/faults/gateway_delay-1"))[0] == 202
        async with asyncio.timeout(patience_s(30)):
            while (state := (await call("GET", "/admin/faults"))[1])["running"]:
                await asyncio.sleep(0.05)
        (label,) = state["over"]
        assert label["impact_verified"]
        assert (await call("DELETE", "/admin/faults/gateway_delay-1"))[0] == 404

    with_admin(open_exchange, tmp_path, scenario)
    (label,) = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert len(label["trace_ids"]) > 10


def test_an_end_of_the_exchange_ends_what_was_switched_on(open_exchange, tmp_path: Path) -> None:
    """A fault without an end in sight is labelled when the exchange stops."""

    async def scenario(call: Call, _: Any) -> None:
        assert (await call("POST", "/admin/faults", {"kind": "broker_delay", "for_s": 600}))[0] == 202
        assert (await call("GET", "/admin/faults"))[1]["running"] == ["broker_delay-1"]

    with_admin(open_exchange, tmp_path, scenario)
    (label,) = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert label["kind"] == "broker_delay"


@pytest.mark.parametrize(
    ("request_line", "body", "token", "status", "words"),
    [
        ("POST /admin/faults", {"kind": "noop"}, "guess", 401, "admin token"),
        ("GET /admin/faults", None, "", 401, "admin token"),
        ("POST /admin/faults", {"kind": "meteor"}, "t0ken", 400, "choose one of db_slow"),
        ("POST /admin/faults", {"kind": "db_slow", "params": {"delay": 1}}, "t0ken", 400, "delay"),
        ("POST /admin/faults", {"kind": "whale_order", "for_s": 3}, "t0ken", 400, "leave for_s out"),
        ("POST /admin/faults", [], "t0ken", 400, "body"),
        ("PUT /admin/faults", {}, "t0ken", 404, "nothing is served"),
        ("PUT /admin/load", {"rate_per_s": 0}, "t0ken", 400, "rate_per_s: Input should be greater"),
        ("PUT /admin/load", {"rate_per_s": "NaN"}, "t0ken", 400, "rate_per_s"),
        ("PUT /admin/load", {"rate_per_s": 9}, "guess", 401, "admin token"),
    ],
)
def test_wrong_requests_are_refused(
    open_exchange,
    tmp_path: Path,
    *,
    request_line: str,
    body: object,
    token: str,
    status: int,
    words: str,
) -> None:
    """A wrong token, kind or parameter starts nothing and says why."""

    async def scenario(call: Call, _: Any) -> None:
        got, reply = await call(*request_line.split(), body, token)
        assert got == status
        assert words in reply["error"]["message"]

    with_admin(open_exchange, tmp_path, scenario)
    assert not (tmp_path / "labels.jsonl").read_text()


def test_without_a_token_there_is_no_such_path(open_exchange) -> None:
    """An exchange that was given no token does not know `/admin/`."""

    async def main() -> int:
        async with open_exchange() as running:
            return (await running.client.request("GET", "/admin/faults", {})).status

    assert asyncio.run(main()) == 404


def test_the_load_is_switched(open_exchange, tmp_path: Path) -> None:
    """A new rate holds from the next order on; `GET /market` shows it beside books, prices and traders."""

    async def scenario(call: Call, running: Any) -> None:
        running.exchange.gateway.market = lambda: market_data(running.exchange, running.load)
        assert (await call("PUT", "/admin/load", {"rate_per_s": 150}))[1]["rate_per_s"] == 150.0
        sent = running.load.counters.sent
        await until(lambda: running.load.counters.sent >= sent + 40)
        status, market = await call("GET", "/market", token="")
        assert (status, market["is_current"]) == (200, True)
        assert market["load"]["rate_per_s"] == market["load"]["rate_now_per_s"] == 150.0
        assert "trader-01" in market["traders"]
        bitcoin = market["pairs"][0]
        assert (bitcoin["symbol"], bitcoin["tick"]) == ("BTC/USD", 0.01)
        assert 0.5 < bitcoin["reference_price"] / bitcoin["last_price"] < 2
        for side, sign in (("bids", -1), ("asks", 1)):
            prices = [price for price, _ in bitcoin[side]]
            assert prices == sorted(prices, key=lambda price: sign * price)
            assert len(prices) <= DEPTH_LEVELS
        # Asked here and not over HTTP: orders come and go while an answer is on its way.
        now = market_data(running.exchange, running.load)["pairs"][0]
        assert now["resting_orders"] == len(running.exchange.engine.books["BTC/USD"])

    with_admin(open_exchange, tmp_path, scenario)


def test_the_catalogue_names_the_truth_of_every_kind() -> None:
    """Each kind has a line of description, and a service unless it is a control."""
    told = catalogue()
    assert set(told) == set(KINDS)
    assert all(entry["about"] and "(" not in entry["about"][:12] for entry in told.values())
    assert {kind for kind, entry in told.items() if entry["is_control"]} == CONTROLS
    assert {kind for kind, entry in told.items() if entry["root_service"] is None} == CONTROLS
    assert {kind for kind, entry in told.items() if not entry["lasts"]} == set(MOMENTARY)
    assert told["db_slow"]["root_operation"] == "SELECT wallets"
    assert told["db_slow"]["params"]["delay_ms"] == 150.0
