from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from exchange_ref.services.http_client import HttpClient

HEADERS = {"content-type": "application/json", "x-user-id": "trader-01"}
ORDER = {
    "client_order_id": "1",
    "pair": "SOL/USD",
    "side": "BUY",
    "type": "LIMIT",
    "quantity": 2,
    "price": "94.5",
}


# change to a good order; status, words of the message
BAD_ORDERS = [
    ({"pair": "DOGE/USD"}, 400, "BTC/USD, ETH/USD, SOL/USD"),
    ({"side": "HOLD"}, 400, "side"),
    ({"quantity": -1}, 400, "quantity"),
    ({"quantity": "NaN"}, 400, "quantity"),
    ({"quantity": "0.0001"}, 400, "lot size 0.001"),
    ({"price": "94.555"}, 400, "tick size 0.01"),
    ({"price": None}, 400, "needs a price"),
    ({"type": "MARKET"}, 400, "MARKET order has no price"),
    ({"time_in_force": "DAY"}, 400, "'GTC', 'GTD', 'IOC' or 'FOK'"),
    ({"time_in_force": "GTD"}, 400, "good_for_s belongs to the time in force GTD"),
    ({"good_for_s": 5}, 400, "good_for_s belongs to the time in force GTD"),
    ({"time_in_force": "GTD", "good_for_s": 10**9}, 400, "good_for_s"),
    ({"time_in_force": "IOC", "type": "MARKET", "price": None}, 400, "MARKET order has no time in force"),
    ({"time_in_force": "FOK", "type": "LIMIT_MAKER"}, 400, "LIMIT_MAKER order rests"),
    ({"stop_price": "90"}, 400, "LIMIT order has no stop_price"),
    ({"type": "STOP_LOSS", "price": None}, 400, "STOP_LOSS order needs a stop_price"),
    ({"type": "STOP_LOSS", "stop_price": "90"}, 400, "STOP_LOSS order has no price"),
    (
        {"type": "TAKE_PROFIT_LIMIT", "price": None, "stop_price": "90"},
        400,
        "TAKE_PROFIT_LIMIT order needs a price",
    ),
    ({"type": "STOP_LOSS_LIMIT", "stop_price": "90"}, 422, "must lie above the last traded price 95"),
    ({"type": "STOP_LOSS_LIMIT", "stop_price": "99.995"}, 400, "tick size 0.01"),
    (
        {"type": "STOP_LOSS", "price": None, "stop_price": "99", "time_in_force": "IOC"},
        400,
        "its time in force is GTC or GTD",
    ),
    ({"leverage": 5}, 400, "leverage"),
    ({"quantity": 10**9}, 422, "are available"),
    ({"type": "MARKET", "price": None, "quantity": 10**9}, 422, "are available"),
]


@pytest.fixture(scope="module")
def answers(start_exchange, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, str]]:
    """The status and message of one exchange for each bad order."""

    async def main() -> list[tuple[int, str]]:
        async with start_exchange(tmp_path_factory.mktemp("api")) as running:
            found = []
            for change, _, _ in BAD_ORDERS:
                body = json.dumps({**ORDER, **change}).encode()
                response = await running.client.request("POST", "/api/v1/orders", HEADERS, body)
                found.append((response.status, json.loads(response.body)["error"]["message"]))
            return found

    return asyncio.run(main())


@pytest.mark.parametrize("number", range(len(BAD_ORDERS)))
def test_orders_that_cannot_be_taken_are_explained(answers: list[tuple[int, str]], number: int) -> None:
    """A wrong field, a price between ticks or missing money each get their status and say what is wrong."""
    _, status, words = BAD_ORDERS[number]
    got, message = answers[number]
    assert got == status
    assert words in message


def test_an_order_needs_a_user(open_exchange) -> None:
    """Without a token it is refused, also where a header names a user; the API itself lets nobody in."""

    async def main() -> list[tuple[int, str]]:
        async with open_exchange() as running:
            api = HttpClient(running.exchange.api.host, running.exchange.api.port)
            body = json.dumps(ORDER).encode()
            answers = [
                await running.stranger.request("POST", "/api/v1/orders", {}, body),
                await running.stranger.request("POST", "/api/v1/orders", HEADERS, body),
                await api.request("POST", "/api/v1/orders", HEADERS, body),
                await running.client.request("POST", "/api/v1/orders", {**HEADERS, "x-user-id": ""}, body),
            ]
            await api.close()
            return [(answer.status, json.loads(answer.body)["error"]["message"]) for answer in answers]

    said = asyncio.run(main())
    assert {status for status, _ in said} == {401}
    words = ("POST /api/auth/login", "x-user-id alone names nobody", "by the gateway alone", "is for users")
    for (_, message), word in zip(said, words, strict=True):
        assert word in message


def test_wallets_and_orders_follow_the_matcher(open_exchange) -> None:
    """After a trade both sides' wallets and orders read as the engine has them, with limit, time in force and
    mean price; what rests is listed; strangers see no order."""
    terms = {"time_in_force": "GTD", "good_for_s": 3600}
    sell = {**ORDER, "client_order_id": "s", "side": "SELL", "quantity": 3, "price": "94.4", **terms}
    only_make = {**ORDER, "client_order_id": "m", "type": "LIMIT_MAKER"}

    async def main() -> dict[str, Any]:
        async with open_exchange() as running:

            async def call(method: str, path: str, user: str, body: object = None) -> Any:
                sent = json.dumps(body).encode() if body else b""
                response = await running.client.request(method, path, {**HEADERS, "x-user-id": user}, sent)
                return json.loads(response.body)

            bought = await call("POST", "/api/v1/orders", "trader-01", ORDER)
            sold = await call("POST", "/api/v1/orders", "trader-02", sell)
            return {
                "bought": await call("GET", f"/api/v1/orders/{bought['order_id']}", "trader-01"),
                "sold": await call("GET", f"/api/v1/orders/{sold['order_id']}", "trader-02"),
                "crossing": await call("POST", "/api/v1/orders", "trader-03", only_make),
                "open": [await call("GET", "/api/open-orders", user) for user in ("trader-01", "trader-02")],
                "stranger": await call("GET", f"/api/v1/orders/{sold['order_id']}", "trader-03"),
                "wallets": {row["asset"]: row for row in await call("GET", "/api/v1/wallets", "trader-02")},
            }

    seen = asyncio.run(main())
    assert (seen["bought"]["status"], seen["bought"]["filled_quantity"]) == ("FILLED", 2)
    assert [seen["bought"][name] for name in ("price", "fill_price", "expires_at")] == [94.5, 94.5, None]
    assert (seen["sold"]["status"], seen["sold"]["filled_quantity"]) == ("PARTIALLY_FILLED", 2)
    assert seen["sold"]["fill_price"] == 94.5
    assert seen["sold"]["time_in_force"] == "GTD"
    assert datetime.fromisoformat(seen["sold"]["expires_at"]) > datetime.now(UTC) + timedelta(minutes=50)
    assert seen["open"] == [[], [seen["sold"]]]
    assert seen["crossing"]["error"]["code"] == "would_trade"
    assert seen["stranger"]["error"]["code"] == "not_found"
    assert seen["wallets"]["SOL"] == {"asset": "SOL", "available": 499_997.0, "locked": 1.0}
    assert seen["wallets"]["USD"]["available"] == pytest.approx(100_000_000 + 2 * 94.5 * 0.999)


def test_a_failing_database_is_a_500_in_the_error_form(open_exchange) -> None:
    """An unexpected failure is answered in the usual form, and every span of the trace still ends."""

    async def main() -> tuple[int, str, dict[str, str]]:
        async with open_exchange() as running:
            running.exchange.database.progress_hook = lambda _: lambda: 1  # SQLite: interrupt the statement
            response = await running.client.request(
                "POST", "/api/v1/orders", HEADERS, json.dumps(ORDER).encode()
            )
            (spans,) = running.traces().values()
            states = {span.name: span.status.status_code.name for span in spans}
            return response.status, json.loads(response.body)["error"]["code"], states

    status, code, states = asyncio.run(main())
    assert (status, code) == (500, "internal")
    assert states == {
        "kong": "ERROR",
        "kong.router": "UNSET",
        "kong.balancer": "ERROR",
        "POST /api/v1/orders": "ERROR",
        "SELECT wallets": "ERROR",
    }
