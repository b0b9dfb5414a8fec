from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from exchange_ref.engine.journal import JournalUnwritable
from exchange_ref.services.circuit_breaker import OPEN_S
from exchange_ref.services.gateway import MAX_BODY_BYTES, respond
from exchange_ref.services.http_client import Response
from exchange_ref.services.serving import HttpServer, bind

ORDER = {
    "client_order_id": "1",
    "pair": "SOL/USD",
    "side": "BUY",
    "type": "LIMIT",
    "quantity": 2,
    "price": "94.5",
}
HEADERS = {"content-type": "application/json", "x-user-id": "trader-01"}


INJECTION = "/api/v1/orders/%20HTTP/1.1%0d%0ax-user-id:%20trader-02%0d%0ax:"
# request line, body; status, code, words of the message
BAD_REQUESTS = [
    ("POST /api/v1/orders", b"{not json", 400, "malformed_body", "not JSON"),
    ("POST /api/v1/orders", b"", 400, "malformed_body", "not JSON"),
    ("POST /api/v1/orders", b"[1]", 400, "malformed_body", "JSON object"),
    ("POST /api/v1/orders", b"[" * 30_000, 400, "malformed_body", "not JSON"),
    ("POST /api/v1/orders", b" " * (MAX_BODY_BYTES + 1), 413, "too_large", "larger than"),
    ("POST /api/v1/orders", b"{}", 400, "invalid_order", "pair: Field required"),
    ("GET /api/v2/orders", b"", 404, "not_found", "/api/v2/orders"),
    ("GET /api/v1/ordersx", b"", 404, "not_found", "/api/v1/ordersx"),
    ("GET /api/v1/orders/%ff", b"", 404, "not_found", "there is no order"),
    # A path that would go on as a header of its own, if it were sent on as it was decoded.
    ("GET " + INJECTION, b"", 404, "not_found", "nothing is served at GET /api/v1/orders/"),
    ("GET /api/orders/", b"", 404, "not_found", "nothing is served at GET /api/v1/orders/"),
    ("DELETE /api/v1/wallets", b"", 405, "method_not_allowed", "takes GET"),
]


@pytest.fixture(scope="module")
def answers(start_exchange, tmp_path_factory: pytest.TempPathFactory) -> list[Response]:
    """The answer of one exchange to each bad request."""

    async def main() -> list[Response]:
        async with start_exchange(tmp_path_factory.mktemp("gateway")) as running:
            return [
                await running.client.request(*request_line.split(), HEADERS, body)
                for request_line, body, *_ in BAD_REQUESTS
            ]

    return asyncio.run(main())


@pytest.mark.parametrize("number", range(len(BAD_REQUESTS)))
def test_bad_requests_are_told_what_is_wrong(answers: list[Response], number: int) -> None:
    """Whatever is wrong, the answer is `{error: {code, message, details}}` with the fitting status."""
    _, _, status, code, words = BAD_REQUESTS[number]
    error = json.loads(answers[number].body)["error"]
    assert (answers[number].status, error["code"]) == (status, code)
    assert set(error) == {"code", "message", "details"}
    assert words in error["message"]


def test_status_counts_orders(open_exchange) -> None:
    """`/status` tells submitted, accepted and rejected orders, and is itself no trace."""

    async def scenario(running) -> tuple[dict[str, object], int]:
        for body in (json.dumps(ORDER).encode(), b"{}", b"nonsense"):
            await running.client.request("POST", "/api/v1/orders", HEADERS, body)
        response = await running.client.request("GET", "/status", {})
        return json.loads(response.body), len(running.traces())

    async def main() -> tuple[dict[str, object], int]:
        async with open_exchange() as running:
            return await scenario(running)

    status, traces = asyncio.run(main())
    assert status.pop("uptime_s") > 0
    assert status == {"orders_submitted": 3, "orders_accepted": 1, "orders_rejected": 2, "in_flight": 0}
    assert traces == 3


def test_accepted_orders_are_written_down(open_exchange, tmp_path: Path) -> None:
    """Each accepted order, and no other, has a line with its id and the trace id its caller sent; the answer
    names the trace too."""
    trace_id = "0af7651916cd43dd8448eb211c80319c"

    async def main() -> str:
        async with open_exchange() as running:
            headers = {**HEADERS, "traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
            body = json.dumps(ORDER).encode()
            first = await running.client.request("POST", "/api/v1/orders", headers, body)
            assert first.headers["traceresponse"].split("-")[1] == trace_id
            repeat = await running.client.request("POST", "/api/v1/orders", headers, body)
            assert (first.status, repeat.status) == (201, 200)
            assert json.loads(first.body) == json.loads(repeat.body)
            await running.client.request("POST", "/api/v1/orders", headers, b"{}")
            return str(json.loads(first.body)["order_id"])

    order_id = asyncio.run(main())
    (line,) = [json.loads(text) for text in (tmp_path / "exchange/accepted.jsonl").read_text().splitlines()]
    assert line.pop("unix_nano") > 1_700_000_000_000_000_000
    assert line == {"order_id": order_id, "trace_id": trace_id}


def test_a_client_id_of_another_order_is_a_conflict(open_exchange) -> None:
    """The same id with another body is 409 with the order that has it, and places nothing."""

    async def main() -> tuple[int, dict[str, Any], dict[str, Any]]:
        async with open_exchange() as running:
            first = await running.client.request(
                "POST", "/api/v1/orders", HEADERS, json.dumps(ORDER).encode()
            )
            other = json.dumps({**ORDER, "quantity": 3}).encode()
            second = await running.client.request("POST", "/api/v1/orders", HEADERS, other)
            return second.status, json.loads(first.body), json.loads(second.body)["error"]

    status, first, error = asyncio.run(main())
    assert (status, error["code"]) == (409, "conflict")
    stored = error["details"]["order"]
    assert {name: stored[name] for name in ("order_id", "client_order_id", "quantity", "status")} == {
        name: first[name] for name in ("order_id", "client_order_id", "quantity", "status")
    }


def test_an_order_that_cannot_be_journaled_is_not_executed(open_exchange) -> None:
    """With a full disk the order is 503 and moves nothing; with room the same request is executed once."""

    async def full_disk() -> None:
        raise JournalUnwritable("journal.jsonl cannot be written: No space left on device")

    async def main() -> tuple[list[int], list[bytes], bool]:
        async with open_exchange() as running:
            body = json.dumps(ORDER).encode()
            wallets = ("GET", "/api/v1/wallets", HEADERS, b"")
            before = await running.client.request(*wallets)
            stages = running.exchange.matcher.stages
            stages.appending = full_disk
            refused = await running.client.request("POST", "/api/v1/orders", HEADERS, body)
            after = await running.client.request(*wallets)
            stages.appending = None
            placed = await running.client.request("POST", "/api/v1/orders", HEADERS, body)
            told = json.loads(refused.body)["error"]["message"]
            return [refused.status, placed.status], [before.body, after.body], "nothing was executed" in told

    statuses, wallets, is_told = asyncio.run(main())
    assert statuses == [503, 201]
    assert wallets[0] == wallets[1]
    assert is_told


def test_a_dead_exchange_is_a_bad_gateway(open_exchange) -> None:
    """When the exchange API is gone the gateway answers 502 and the order counts as rejected."""

    async def main() -> tuple[int, int]:
        async with open_exchange() as running:
            await running.exchange.api.stop()
            response = await running.client.request(
                "POST", "/api/v1/orders", HEADERS, json.dumps(ORDER).encode()
            )
            return response.status, running.exchange.gateway.counters.orders_rejected

    assert asyncio.run(main()) == (502, 1)


async def _answer(_: Any, receive: Any, send: Any) -> None:
    await receive()
    await respond(send, 200, b"[]")


def test_a_dead_exchange_is_spared_and_found_again(open_exchange) -> None:
    """After ten requests without an answer the gateway says 503 at once; after a second one may try."""

    async def main() -> tuple[list[int], str, dict[str, Any], int]:
        async with open_exchange() as running:
            api = running.exchange.api
            ask = ("GET", "/api/wallet", HEADERS)
            address = f"{api.host}:{api.port}"
            await api.stop()
            statuses = [(await running.client.request(*ask)).status for _ in range(10)]
            refused = await running.client.request(*ask)
            again = HttpServer(_answer, bind(address, ""))
            await again.start()
            await asyncio.sleep(OPEN_S)
            found = await running.client.request(*ask)
            await again.stop()
            return (
                [*statuses, refused.status],
                refused.headers["retry-after"],
                json.loads(refused.body)["error"],
                found.status,
            )

    statuses, retry_after, error, found = asyncio.run(main())
    assert statuses == [502] * 10 + [503]
    assert (error["code"], retry_after) == ("unavailable", "1")
    assert 0 < error["details"]["retry_after_s"] <= OPEN_S
    assert found == 200
