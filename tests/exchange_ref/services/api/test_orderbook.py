from __future__ import annotations

import asyncio
import json
from typing import Any

USER = {"x-user-id": "trader-01"}


def test_the_book_is_listed_order_by_order(open_exchange) -> None:
    """Orders placed as {id, price, size, side} rest, the best first and the oldest first within a price; a
    repeated id places nothing, and a bad one says which field."""

    async def main() -> dict[str, Any]:
        async with open_exchange() as running:

            async def post(**body: object) -> tuple[int, Any]:
                content = json.dumps(body).encode()
                answer = await running.client.request("POST", "/api/orderbook", USER, content)
                return answer.status, json.loads(answer.body)

            found = {
                "first": await post(id="a", price="41000", size="0.2", side="BUY"),
                "second": await post(id="b", price="41000", size="0.1", side="BUY"),
                "better": await post(id="c", price="41500", size="0.3", side="BUY"),
                "offer": await post(price="43000", size="0.4", side="SELL"),
                "repeat": await post(id="a", price="41000", size="0.2", side="BUY"),
                "partly": await post(price="41500", size="0.5", side="SELL"),
                "no side": await post(id="d", price="41000", size="0.2"),
                "no such pair": await post(pair="DOGE/USD", price="1", size="1", side="BUY"),
                "between ticks": await post(price="41000.001", size="0.2", side="BUY"),
            }
            listed = await running.stranger.request("GET", "/api/orderbook", {})
            one = await running.stranger.request("GET", "/api/orderbook?limit=1&pair=BTC/USD", {})
            stranger = await running.stranger.request("POST", "/api/orderbook", {}, b"{}")
            found |= {"listed": json.loads(listed.body), "one": json.loads(one.body)}
            return {**found, "stranger": stranger.status}

    seen = asyncio.run(main())
    assert [seen[name][0] for name in ("first", "repeat", "partly")] == [201, 200, 201]
    assert seen["repeat"][1]["id"] == seen["first"][1]["id"]
    assert seen["partly"][1]["size"] == 0.2
    expected = [
        {"id": seen["first"][1]["id"], "price": 41000.0, "size": 0.2, "side": "BUY"},
        {"id": seen["second"][1]["id"], "price": 41000.0, "size": 0.1, "side": "BUY"},
        {"id": seen["partly"][1]["id"], "price": 41500.0, "size": 0.2, "side": "SELL"},
        {"id": seen["offer"][1]["id"], "price": 43000.0, "size": 0.4, "side": "SELL"},
    ]
    assert seen["listed"] == expected
    assert seen["one"] == [expected[0], expected[2]]
    for name, words in (
        ("no side", "side: Field required"),
        ("no such pair", "'DOGE/USD' is not traded"),
        ("between ticks", "tick size"),
    ):
        status, body = seen[name]
        assert status == 400
        assert words in body["error"]["message"]
    assert seen["stranger"] == 401
