from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from exchange_ref.cfd.exposure import MAX_HOUSE_USD, MAX_TRADER_USD, check_exposure
from exchange_ref.cfd.words import OpenTrade, TradeSide
from exchange_ref.engine.instruments import UNITS_PER_ASSET
from exchange_ref.engine.orders import OrderRejected

TRADE = {"command": "CREATE_TRADE", "asset": "BTC", "side": "LONG", "leverage": 10, "margin": "50"}


@pytest.fixture(scope="module")
def seen(start_exchange, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one exchange answered, by command."""

    async def main() -> dict[str, Any]:
        async with start_exchange(tmp_path_factory.mktemp("engine")) as running:

            async def command(user: str = "trader-01", **body: object) -> tuple[int, Any]:
                content = json.dumps(body).encode()
                answer = await running.client.request("POST", "/api/engine", {"x-user-id": user}, content)
                return answer.status, json.loads(answer.body)

            found = {
                "account": await command("newcomer", command="CREATE_ACCOUNT"),
                "account again": await command("newcomer", command="CREATE_ACCOUNT"),
                "balance": await command(command="GET_BALANCE"),
                "opened": await command(**TRADE, client_trade_id="mine"),
                "opened again": await command(**TRADE, client_trade_id="mine"),
                "usd": await command(command="GET_USD_BALANCE"),
                "unknown": await command(command="DANCE"),
                "bad field": await command(**{**TRADE, "leverage": 101}),
                "nobody's": await command(command="CLOSE_TRADE", trade_id="nothing"),
                "too much": await command(**{**TRADE, "margin": "500001", "leverage": 100}),
            }
            trade_id = found["opened"][1]["trade"]["trade_id"]
            found["closed"] = await command(command="CLOSE_TRADE", trade_id=trade_id)
            found["stranger"] = (await running.stranger.request("POST", "/api/engine", {}, b"{}")).status
            spans = [span for trace in running.traces().values() for span in trace]
            found["commands"] = {(span.attributes or {}).get("kx.engine.command") for span in spans}
            return found

    return asyncio.run(main())


def test_an_account_has_an_address_and_every_wallet(seen) -> None:
    """A second CREATE_ACCOUNT changes nothing."""
    status, account = seen["account"]
    assert (status, account["address"][:3]) == (200, "kx1")
    assert {row["asset"] for row in account["balances"]} == {"BTC", "ETH", "SOL", "USD"}
    assert seen["account again"] == seen["account"]


def test_balances_are_told_whole_or_in_usd_alone(seen) -> None:
    """The margin of an open trade is locked."""
    assert [row["asset"] for row in seen["usd"][1]["balances"]] == ["USD"]
    before = next(row for row in seen["balance"][1]["balances"] if row["asset"] == "USD")
    (now,) = seen["usd"][1]["balances"]
    assert (before["available"] - now["available"], now["locked"]) == (50, 50)


def test_a_trade_is_opened_once_and_closed(seen) -> None:
    """A repeated client trade id gives the first trade."""
    assert (seen["opened"][0], seen["opened"][1]["trade"]["status"]) == (201, "OPEN")
    assert (seen["opened again"][0], seen["opened again"][1]["trade"]["trade_id"]) == (
        200,
        seen["opened"][1]["trade"]["trade_id"],
    )
    assert (seen["closed"][0], seen["closed"][1]["trade"]["status"]) == (200, "CLOSED")


@pytest.mark.parametrize(
    ("tried", "status", "code", "words"),
    [
        ("unknown", 400, "invalid_request", "'CREATE_ACCOUNT', 'GET_BALANCE', 'GET_USD_BALANCE'"),
        ("bad field", 400, "invalid_request", "leverage"),
        ("nobody's", 404, "not_found", "there is no trade"),
        ("too much", 422, "exposure_limit", "take less margin or leverage"),
    ],
)
def test_what_is_wrong_is_told(seen, tried: str, status: int, code: str, words: str) -> None:
    """An unknown command names those that there are."""
    answer, body = seen[tried]
    assert (answer, body["error"]["code"]) == (status, code)
    assert words in body["error"]["message"]


def test_commands_are_for_users_and_are_on_their_spans(seen) -> None:
    assert seen["stranger"] == 401
    assert {"CREATE_ACCOUNT", "GET_BALANCE", "GET_USD_BALANCE", "CREATE_TRADE", "CLOSE_TRADE"} <= seen[
        "commands"
    ]


def trade(user_id: str, side: TradeSide, worth_usd: int) -> OpenTrade:
    margin = worth_usd * UNITS_PER_ASSET // 100
    return OpenTrade(user_id, user_id, user_id, "BTC", side, 100, margin, 4_200_000, 0, 0)


def test_exposure_is_bounded_by_trader_and_by_the_net_of_the_house() -> None:
    """Each limit holds exactly; trades of the other side make room again."""
    check_exposure([], trade("ann", TradeSide.LONG, MAX_TRADER_USD))
    with pytest.raises(OrderRejected, match="your open trades would be worth"):
        check_exposure([trade("ann", TradeSide.SHORT, 100)], trade("ann", TradeSide.LONG, MAX_TRADER_USD))
    many = [
        trade(f"user-{number}", TradeSide.LONG, MAX_TRADER_USD)
        for number in range(MAX_HOUSE_USD // MAX_TRADER_USD)
    ]
    with pytest.raises(OrderRejected, match="all LONG trades in BTC"):
        check_exposure(many, trade("ann", TradeSide.LONG, 100))
    check_exposure(many, trade("ann", TradeSide.SHORT, 100))
    check_exposure([*many, trade("bob", TradeSide.SHORT, 100)], trade("ann", TradeSide.LONG, 100))
