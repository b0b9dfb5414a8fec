from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from exchange_ref.faults.labels import LabelFile
from exchange_ref.faults.runner import FaultRunner
from exchange_ref.faults.schedule import Schedule
from exchange_ref.services.admin import Admin

Call = Callable[..., Awaitable[tuple[int, Any]]]


def with_admin(open_exchange, tmp_path: Path, scenario: Callable[[Call, Any], Awaitable[None]]) -> None:
    """Run `scenario` against an exchange under load whose admin token is `t0ken`."""

    async def main() -> None:
        async with open_exchange() as running:
            labels, stop = LabelFile(tmp_path / "labels.jsonl"), asyncio.Event()
            runner = FaultRunner(Schedule(1, ()), running.target(), labels, stop)
            running.exchange.gateway.admin = Admin("t0ken", runner).answer

            async def call(
                method: str, path: str, body: object = None, token: str = "t0ken"
            ) -> tuple[int, Any]:
                headers = {"authorization": f"Bearer {token}"}
                sent = b"" if body is None else json.dumps(body).encode()
                response = await running.client.request(method, path, headers, sent)
                return response.status, json.loads(response.body)

            load = asyncio.create_task(running.load.run(stop))
            await asyncio.sleep(0.3)
            await scenario(call, running)
            stop.set()
            await load
            assert await running.load.settle(5.0)
            await runner.finish()
            labels.close()
            assert all(len(spans) == 17 for spans in running.traces().values())

    asyncio.run(main())


def test_a_fault_is_switched_on_and_off(open_exchange, tmp_path: Path) -> None:
    """It happens from the request to its end, is listed meanwhile, and leaves a verified label; asking
    leaves no trace."""

    async def scenario(call: Call, _: Any) -> None:
        order = {"kind": "gateway_delay", "for_s": 600, "params": {"delay_ms": 40}}
        status, reply = await call("POST", "/admin/faults", order)
        assert (status, reply) == (202, {"fault_id": "gateway_delay-1"})
        await asyncio.sleep(0.4)
        assert (await call("GET", "/admin/faults"))[1]["running"] == ["gateway_delay-1"]
        status, reply = await call("POST", "/admin/faults", order)
        assert (status, reply["error"]["code"]) == (409, "conflict")
        assert (await call("DELETE", "/admin/faults/gateway_delay-1"))[0] == 202
        await asyncio.sleep(0.5)
        state = (await call("GET", "/admin/faults"))[1]
        assert state["running"] == []
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
        await asyncio.sleep(0.3)

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
