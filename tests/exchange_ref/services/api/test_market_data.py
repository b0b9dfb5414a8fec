from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

HEADERS = {"content-type": "application/json"}
SOL = {"pair": "SOL/USD", "type": "LIMIT"}


@pytest.fixture(scope="module")
def seen(start_exchange, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """An exchange where SOL was traded at 95, 95.5 and 94, the last of which triggered a stop."""

    async def main() -> dict[str, Any]:
        async with start_exchange(tmp_path_factory.mktemp("market")) as running:

            async def call(method: str, path: str, user: str = "", body: object = None) -> Any:
                sent = json.dumps(body).encode() if body else b""
                headers = {**HEADERS, "x-user-id": user} if user else HEADERS
                return json.loads((await running.client.request(method, path, headers, sent)).body)

            count = iter(range(100))

            async def order(user: str, side: str, quantity: float, **terms: object) -> dict[str, Any]:
                body = {
                    **SOL,
                    "client_order_id": f"{next(count)}",
                    "side": side,
                    "quantity": quantity,
                    **terms,
                }
                answer: dict[str, Any] = await call("POST", "/api/orders", user, body)
                return answer

            await order("trader-02", "SELL", 2, price="95")
            await order("trader-02", "SELL", 2, price="95.5")
            swept = await order("trader-01", "BUY", 4, type="MARKET")
            stop = await order("trader-03", "SELL", 5, type="STOP_LOSS", stop_price="94.5")
            await order("trader-02", "BUY", 9, price="94")
            found = {
                "swept": swept,
                "waiting": await call("GET", "/api/open-orders", "trader-03"),
                "wallet": await call("GET", "/api/wallet", "trader-03"),
            }
            await order("trader-01", "SELL", 1, price="94")
            found |= {
                "stop": await call("GET", f"/api/orders/{stop['order_id']}", "trader-03"),
                "orders": await call("GET", "/api/orders", "trader-02"),
                "empty": await call("GET", "/api/open-orders", "trader-03"),
            }
            last = found["orders"][1]["order_id"]
            found["older"] = await call("GET", f"/api/orders?before={last}", "trader-02")
            for path in ("price", "depth", "trades?limit=2", "klines?interval=1h", "ticker/24hr"):
                joint = "&" if "?" in path else "?"
                found[path] = await call("GET", f"/api/{path}{joint}pair=SOL/USD")
            found["wrong"] = [
                await call("GET", f"/api/{path}")
                for path in (
                    "price",
                    "price?pair=DOGE",
                    "klines?pair=SOL/USD&interval=2m",
                    "depth?pair=SOL/USD&limit=0",
                )
            ]
            found["spans"] = [span for trace in running.traces().values() for span in trace]
            return found

    return asyncio.run(main())


def test_slippage_is_told_in_the_answer_and_on_the_spans(seen) -> None:
    """Two at 95, two at 95.5: 26.3 bp worse than the best offer; a sale at 94 is 52.9 below its stop."""
    assert seen["swept"]["slippage_bps"] == pytest.approx(26.3158)
    assert seen["stop"]["slippage_bps"] == pytest.approx(52.9101)
    for name in ("POST /api/v1/orders", "orderbook.execute"):
        told = [
            span.attributes["order.slippage_bps"]
            for span in seen["spans"]
            if span.name == name and "order.slippage_bps" in span.attributes
        ]
        assert pytest.approx(26.3158) in told


def test_a_stop_order_from_waiting_to_filled(seen) -> None:
    """It is listed with its stop while it waits and holds its money, and its row tells what came of it."""
    (waiting,) = seen["waiting"]
    assert (waiting["status"], waiting["triggered"], waiting["stop_price"]) == ("NEW", False, 94.5)
    assert next(row for row in seen["wallet"] if row["asset"] == "SOL")["locked"] == 5
    stop = seen["stop"]
    assert (stop["status"], stop["triggered"], stop["filled_quantity"]) == ("FILLED", True, 5)
    assert (stop["fill_price"], seen["empty"]) == (94, [])


def test_orders_are_listed_page_by_page(seen) -> None:
    """The newest first, filled ones too; `before` goes on behind an order."""
    assert [row["status"] for row in seen["orders"]] == ["PARTIALLY_FILLED", "FILLED", "FILLED"]
    assert seen["older"] == seen["orders"][2:]


def test_market_data_tells_what_was_traded(seen) -> None:
    """Price, depth, trades, candle and ticker agree with the orders."""
    assert seen["price"]["price"] == 94
    assert (seen["depth"]["bids"], seen["depth"]["asks"], seen["depth"]["is_current"]) == (
        [[94, 3]],
        [],
        True,
    )
    assert [(row["price"], row["quantity"], row["taker_side"]) for row in seen["trades?limit=2"]] == [
        (94, 5, "SELL"),
        (94, 1, "SELL"),
    ]
    (candle,) = seen["klines?interval=1h"]
    assert [candle[name] for name in ("open", "high", "low", "close", "volume")] == [95, 95.5, 94, 94, 10]
    ticker = seen["ticker/24hr"]
    assert (ticker["last_price"], ticker["open"], ticker["best_bid"], ticker["best_ask"]) == (
        94,
        95,
        94,
        None,
    )
    assert ticker["turnover"] == pytest.approx(2 * 95 + 2 * 95.5 + 6 * 94)
    assert ticker["change_percent"] == pytest.approx(-1.0526)


def test_wrong_questions_are_explained(seen) -> None:
    """A missing or unknown pair, an interval and a limit out of range: each says what is possible."""
    said = [(answer["error"]["code"], answer["error"]["message"]) for answer in seen["wrong"]]
    assert {code for code, _ in said} == {"invalid_request"}
    words = (
        "pair: Field required",
        "choose one of BTC/USD",
        "'1m', '5m', '15m' or '1h'",
        "greater than or equal to 1",
    )
    for (_, message), word in zip(said, words, strict=True):
        assert word in message
