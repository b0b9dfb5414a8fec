"""Transfers and cancels: their traces as documented, their effect on the ledger, and what is refused."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from exchange_ref.engine.orders import OrderType, Side
from exchange_ref.services.addresses import address_of
from exchange_ref.services.wallet import NewOrder, NewTransfer
from tests.exchange_ref.load.rate import at_its_rate
from tests.exchange_ref.trace_shape import shape
from tests.pace import patience_s, until

# service, name, kind, parent, links; parents and links by name, which is unique in each trace.
WAY_IN = {
    ("api-gateway", "kong", "SERVER", "{method}", ()),
    ("api-gateway", "kong.router", "INTERNAL", "kong", ()),
    ("api-gateway", "kong.balancer", "CLIENT", "kong", ()),
    ("kx-exchange", "{server}", "SERVER", "kong.balancer", ()),
    ("kx-exchange", "publish orders", "INTERNAL", "{server}", ()),
    ("kx-exchange", "publish <default>", "PRODUCER", "publish orders", ()),
    ("kx-matcher", "{match}", "CONSUMER", "publish <default>", ("publish <default>",)),
    ("kx-matcher", "journal.append", "INTERNAL", "{match}", ()),
    ("kx-matcher", "{response}", "PRODUCER", "{match}", ()),
    ("kx-exchange", "payment_response process", "CONSUMER", "{server}", ("{response}",)),
    ("kx-exchange", "UPDATE wallets", "CLIENT", "{server}", ()),
    ("kx-wallet", "{method}", "CLIENT", "{root}", ()),
    ("kx-wallet", "{root}", "INTERNAL", None, ()),
    ("kx-wallet", "{received}", "INTERNAL", "{root}", ()),
}


def tree(statements: list[str], **names: str) -> set[tuple[object, ...]]:
    def named(value: object) -> object:
        if isinstance(value, tuple):
            return tuple(named(part) for part in value)
        return value.format(**names) if isinstance(value, str) else value

    own = {("kx-exchange", name, "CLIENT", names["server"], ()) for name in statements}
    return {named(span) for span in WAY_IN} | own  # type: ignore[misc]  # rows are tuples


TRANSFER = tree(
    ["SELECT addresses", "SELECT wallets", "INSERT transfers"],
    root="transfer.submit.client",
    method="POST",
    server="POST /api/v1/transfers",
    match="btc.transfer",
    response="transfer.response",
    received="transfer.response.received",
)
CANCEL = tree(
    ["SELECT orders"],
    root="order.cancel.client",
    method="DELETE",
    server="DELETE /api/v1/orders/{order_id}",
    match="order.cancel",
    response="order.cancel.response",
    received="order.cancel.received",
)
SENT = NewTransfer("trader-01", "t-1", "BTC", Decimal("0.5"), address_of("trader-02"))
RESTING = NewOrder("trader-01", "c-1", "BTC/USD", Side.BUY, OrderType.LIMIT, Decimal("0.1"), Decimal("41000"))


def test_a_transfer_is_the_whole_tree(open_exchange, tmp_path: Path) -> None:
    """A transfer is one trace of 17 spans, tells asset and amount, and is noted in transfers.jsonl only."""

    async def main() -> tuple[str, list[ReadableSpan]]:
        async with open_exchange() as running:
            outcome = await running.exchange.wallet.transfer(SENT)
            assert outcome.accepted
            assert outcome.reply["status"] == "COMPLETED"
            return outcome.trace_id, running.traces()[outcome.trace_id]

    trace_id, spans = asyncio.run(main())
    assert len(spans) == 17
    assert shape(spans) == TRANSFER
    for name in ("transfer.submit.client", "POST /api/v1/transfers", "btc.transfer"):
        (attributes,) = [span.attributes for span in spans if span.name == name]
        assert (attributes["transfer.asset"], attributes["transfer.amount"]) == ("BTC", 0.5)
        assert attributes["user.id"] == "trader-01"
    (line,) = (tmp_path / "exchange/transfers.jsonl").read_text().splitlines()
    assert json.loads(line)["trace_id"] == trace_id
    assert not (tmp_path / "exchange/accepted.jsonl").read_text()


def test_a_transfer_moves_money_once(open_exchange) -> None:
    """The ledger, the wallets' rows and a repeat agree: half a bitcoin has changed hands once, across a
    restart too."""

    async def main() -> tuple[list[int], list[int], float]:
        statuses = []
        async with open_exchange() as running:
            ledger = running.exchange.engine.ledger
            before = [ledger.balance(user, "BTC").available_units for user in ("trader-01", "trader-02")]
            statuses += [(await running.exchange.wallet.transfer(SENT)).status for _ in range(2)]
        async with open_exchange() as running:
            ledger = running.exchange.engine.ledger
            after = [ledger.balance(user, "BTC").available_units for user in ("trader-01", "trader-02")]
            statuses.append((await running.exchange.wallet.transfer(SENT)).status)
            again = [ledger.balance(user, "BTC").available_units for user in ("trader-01", "trader-02")]
            assert again == after
            rows = json.loads(
                (await running.client.request("GET", "/api/v1/wallets", {"x-user-id": "trader-02"})).body
            )
            shown = next(row["available"] for row in rows if row["asset"] == "BTC")
            return statuses, [a - b for a, b in zip(after, before, strict=True)], shown

    statuses, moved, shown = asyncio.run(main())
    assert statuses == [201, 200, 200]
    assert moved == [-50_000_000, 50_000_000]
    assert shown == 2_000.5


def test_a_cancel_is_a_small_trace_of_its_own(open_exchange) -> None:
    """A resting order leaves the book, its money comes back, and the trace is the documented one; a second
    cancel finds nothing."""

    async def main() -> tuple[list[ReadableSpan], tuple[int, int], int]:
        async with open_exchange() as running:
            order = await running.exchange.wallet.submit(RESTING)
            outcome = await running.exchange.wallet.cancel("trader-01", order.reply["order_id"])
            second = await running.exchange.wallet.cancel("trader-01", order.reply["order_id"])
            assert (outcome.status, outcome.reply["status"]) == (200, "CANCELED")
            assert running.exchange.resting_orders() == 0
            balance = running.exchange.engine.ledger.balance("trader-01", "USD")
            return (
                running.traces()[outcome.trace_id],
                (balance.available_units, balance.locked_units),
                second.status,
            )

    spans, balance, second = asyncio.run(main())
    assert shape(spans) == CANCEL
    assert balance == (100_000_000 * 10**8, 0)
    assert second == 404


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"to_address": "kx1nobody"}, 400, "typing error"),
        ({"to_address": address_of("stranger")}, 404, "nobody receives"),
        ({"to_address": address_of("trader-01")}, 400, "sender's own"),
        ({"asset": "DOGE"}, 400, "choose one of"),
        ({"amount": "0"}, 400, "amount"),
        ({"amount": "0.123456789"}, 400, "8 decimal places"),
        ({"amount": "1000000"}, 422, "are available"),
        ({"memo": "hi"}, 400, "memo"),
    ],
)
def test_transfers_that_cannot_be_made_are_explained(
    open_exchange, change: dict[str, str], status: int, words: str
) -> None:
    """Each mistake gets its status and says what is wrong; no money moves."""
    body = {
        "client_transfer_id": "1",
        "asset": "BTC",
        "amount": "0.5",
        "to_address": SENT.to_address,
        **change,
    }

    async def main() -> tuple[int, str, int]:
        async with open_exchange() as running:
            headers = {"content-type": "application/json", "x-user-id": "trader-01"}
            response = await running.client.request(
                "POST", "/api/v1/transfers", headers, json.dumps(body).encode()
            )
            available = running.exchange.engine.ledger.balance("trader-01", "BTC").available_units
            return response.status, json.loads(response.body)["error"]["message"], available

    got, message, available = asyncio.run(main())
    assert got == status
    assert words in message
    assert available == 2_000 * 10**8


@pytest.mark.alone  # it waits for the load to keep its rate
def test_the_load_mixes_transfers_and_cancels_in(open_exchange) -> None:
    """With shares for them, transfers and cancels arrive beside as many orders as before."""
    from exchange_ref.load.arrivals import Mix

    async def main() -> tuple[int, int, int]:
        async with open_exchange() as running:
            load, stop = running.load, asyncio.Event()
            load.mix = Mix(transfer_share=0.2, cancel_share=0.2)
            loading = asyncio.create_task(load.run(stop))
            await at_its_rate(lambda: load.counters.sent, 100.0)
            await until(lambda: load.counters.transfers >= 10 and load.counters.cancels >= 3)
            stop.set()
            await loading
            assert await load.settle(patience_s(10.0))
            roots = [span.name for spans in running.traces().values() for span in spans if not span.parent]
            return tuple(
                roots.count(name)
                for name in ("order.submit.client", "transfer.submit.client", "order.cancel.client")
            )

    orders, transfers, cancels = asyncio.run(main())
    assert orders >= 60
    assert transfers >= 10
    assert cancels >= 3
