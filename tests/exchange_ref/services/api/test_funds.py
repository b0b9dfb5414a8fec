from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from exchange_ref.engine.instruments import ASSETS, UNITS_PER_ASSET
from exchange_ref.services.addresses import address_of
from exchange_ref.services.api.statements import INSERT_WALLETS

USD = {"asset": "USD", "amount": "1000"}


@pytest.fixture(scope="module")
def seen(start_exchange, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one exchange and its payment provider answered to somebody new who deposits and withdraws."""
    folder = tmp_path_factory.mktemp("funds")

    async def main() -> dict[str, Any]:
        found: dict[str, Any] = {}
        async with start_exchange(folder) as running:
            exchange = running.exchange

            async def post(path: str, body: dict[str, Any], user: str = "ann") -> tuple[int, Any]:
                answer = await running.client.request(
                    "POST", f"/api/{path}", {"x-user-id": user}, json.dumps(body).encode()
                )
                return answer.status, json.loads(answer.body)

            async def get(path: str, user: str = "ann") -> Any:
                return json.loads(
                    (await running.client.request("GET", f"/api/{path}", {"x-user-id": user})).body
                )

            async def usd() -> tuple[float, float]:
                row = next(row for row in await get("wallet") if row["asset"] == "USD")
                return row["available"], row["locked"]

            # As somebody who has registered and has nothing.
            await exchange.database.write((INSERT_WALLETS, [("ann", asset) for asset in ASSETS]))
            start = {asset: exchange.engine.ledger.deposited_units(asset) for asset in ("USD", "BTC")}
            before = set(running.traces())
            found["deposit"] = await post("deposits", {**USD, "client_id": "d1"})
            found["deposit again"] = await post("deposits", {**USD, "client_id": "d1"})
            found["other content"] = await post("deposits", {**USD, "client_id": "d1", "amount": "1"})
            found["after deposit"] = await usd()
            found["withdrawal"] = await post(
                "withdrawals", {"client_id": "w1", "asset": "USD", "amount": "500"}
            )
            found["after withdrawal"] = await usd()
            traces = running.traces()
            found["traces"] = [spans for one, spans in traces.items() if one not in before]
            found["too much"] = await post("withdrawals", {**USD, "client_id": "w2"})
            exchange.payments.failing = lambda: True
            found["provider fails"] = await post(
                "withdrawals", {"client_id": "w3", "asset": "USD", "amount": "100"}
            )
            found["meanwhile"] = await usd()
            found["charge fails"] = await post("deposits", {**USD, "client_id": "d2"})
            exchange.payments.failing = lambda: False
            found["sent again"] = await post(
                "withdrawals", {"client_id": "w3", "asset": "USD", "amount": "100"}
            )
            found["rich"] = await post(
                "withdrawals", {"client_id": "w", "asset": "USD", "amount": "300000"}, "trader-01"
            )
            found["too large"] = await post("deposits", {**USD, "client_id": "d3", "amount": "300000"})
            found["dust"] = await post("deposits", {**USD, "client_id": "d4", "amount": "0.00000001"})
            found["after"] = await usd()
            sent = {
                "client_transfer_id": "t",
                "asset": "USD",
                "amount": "1",
                "to_address": address_of("trader-01"),
            }
            await post("transfers", sent)
            found["lists"] = [await get(path) for path in ("deposits", "withdrawals", "transfers")]
            ledger = exchange.engine.ledger
            found["net"] = (ledger.deposited_units("USD") - start["USD"]) / UNITS_PER_ASSET
            found["fees"] = ledger.balance("exchange-fees", "USD").available_units / UNITS_PER_ASSET
            found["balances"] = ledger.all_balances()
        async with start_exchange(folder) as running:
            found["replayed"] = running.exchange.engine.ledger.all_balances()
            found["pending"] = running.exchange.engine.withdrawals
        return found

    return asyncio.run(main())


def test_a_deposit_costs_half_a_percent(seen) -> None:
    """1000 are 995; the same client id again charges nothing and is answered with the first."""
    status, reply = seen["deposit"]
    assert (status, reply["status"], reply["fee"], reply["booked"]) == (201, "COMPLETED", 5, 995)
    assert seen["deposit again"] == (200, reply)
    assert seen["after deposit"] == (995, 0)


def test_a_withdrawal_costs_a_thousandth_on_top(seen) -> None:
    """500 cost 500.50, which leave the wallet."""
    status, reply = seen["withdrawal"]
    assert (status, reply["status"], reply["fee"], reply["booked"]) == (201, "COMPLETED", 0.5, 500.5)
    assert seen["after withdrawal"] == (494.5, 0)


def test_a_provider_that_fails_costs_nobody_money(seen) -> None:
    """The withdrawal waits with its money locked, and ends when it is sent again; a charge books nothing."""
    status, body = seen["provider fails"]
    assert (status, body["error"]["code"]) == (502, "payment_failed")
    assert "send it again with the same client_id" in body["error"]["message"]
    assert seen["meanwhile"] == pytest.approx((494.5 - 100.1, 100.1))
    assert seen["charge fails"][0] == 502
    assert seen["sent again"][1]["status"] == "COMPLETED"


REFUSALS = [
    ("other content", 409, "choose another id"),
    ("too much", 422, "1001 USD are needed"),
    ("rich", 422, "the money is in your wallet again"),
    ("too large", 422, "nothing was charged"),
    ("dust", 400, "nothing is left"),
]


@pytest.mark.parametrize(("tried", "status", "words"), REFUSALS)
def test_what_cannot_be_paid_is_explained(seen, tried: str, status: int, words: str) -> None:
    """An id with other content, too little money, what the provider declines, an amount that is all fee."""
    got, body = seen[tried]
    assert got == status
    assert words in body["error"]["message"]


def test_every_unit_is_accounted_for(seen) -> None:
    """In less out is what the ledger gained; fees are the house's; a restart rebuilds all balances."""
    assert seen["after"] == pytest.approx((394.4, 0))
    assert seen["net"] == pytest.approx(1000 - 500 - 100)
    assert seen["fees"] == pytest.approx(5 + 0.5 + 0.1)
    assert seen["replayed"] == seen["balances"]
    assert seen["pending"] == {}


def test_what_was_paid_is_listed(seen) -> None:
    """Deposits, withdrawals and transfers with their status, the newest first."""
    deposits, withdrawals, transfers = seen["lists"]
    assert [(row["client_id"], row["status"]) for row in deposits] == [
        ("d3", "DECLINED"),
        ("d2", "PENDING"),
        ("d1", "COMPLETED"),
    ]
    assert [(row["client_id"], row["status"]) for row in withdrawals] == [
        ("w3", "COMPLETED"),
        ("w1", "COMPLETED"),
    ]
    assert [(row["client_transfer_id"], row["status"]) for row in transfers] == [("t", "COMPLETED")]


def test_money_in_and_out_is_one_trace(seen) -> None:
    """Gateway, API, the third party as a CLIENT span, matcher and journal hang together under one root."""
    deposit = next(spans for spans in seen["traces"] if any(span.name == "POST /charges" for span in spans))
    by_id = {span.context.span_id: span for span in deposit}
    parent_of = {span.name: by_id[span.parent.span_id].name for span in deposit if span.parent is not None}
    assert parent_of["POST /charges"] == "POST /api/v1/deposits"
    assert parent_of["funds.deposit"] == "publish <default>"
    assert parent_of["journal.append"] == "funds.deposit"
    assert [span.name for span in deposit if span.parent is None] == ["kong"]
    charge = next(span for span in deposit if span.name == "POST /charges")
    assert charge.attributes["peer.service"] == "payment-provider"
    withdrawal = next(
        spans for spans in seen["traces"] if any(span.name == "POST /payouts" for span in spans)
    )
    assert {"funds.reserve", "funds.pay"} <= {span.name for span in withdrawal}
