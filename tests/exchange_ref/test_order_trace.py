"""The order trace: 17 spans, 4 services, names, kinds, parents and links as documented."""

from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from exchange_ref.engine.orders import OrderType, Side
from exchange_ref.services.wallet import NewOrder, Outcome
from tests.exchange_ref.trace_shape import shape

# service, name, kind, parent, links; parents and links by name, which is unique in this trace.
ORDER_TRACE = {
    ("kx-wallet", "order.submit.client", "INTERNAL", None, ()),
    ("kx-wallet", "POST", "CLIENT", "order.submit.client", ()),
    ("api-gateway", "kong", "SERVER", "POST", ()),
    ("api-gateway", "kong.router", "INTERNAL", "kong", ()),
    ("api-gateway", "kong.balancer", "CLIENT", "kong", ()),
    ("kx-exchange", "POST /api/v1/orders", "SERVER", "kong.balancer", ()),
    ("kx-exchange", "SELECT wallets", "CLIENT", "POST /api/v1/orders", ()),
    ("kx-exchange", "INSERT orders", "CLIENT", "POST /api/v1/orders", ()),
    ("kx-exchange", "publish orders", "INTERNAL", "POST /api/v1/orders", ()),
    ("kx-exchange", "publish <default>", "PRODUCER", "publish orders", ()),
    ("kx-matcher", "order.match", "CONSUMER", "publish <default>", ("publish <default>",)),
    ("kx-matcher", "orderbook.execute", "INTERNAL", "order.match", ()),
    ("kx-matcher", "journal.append", "INTERNAL", "order.match", ()),
    ("kx-matcher", "order.response", "PRODUCER", "order.match", ()),
    ("kx-exchange", "payment_response process", "CONSUMER", "POST /api/v1/orders", ("order.response",)),
    ("kx-exchange", "UPDATE wallets", "CLIENT", "POST /api/v1/orders", ()),
    ("kx-wallet", "order.response.received", "INTERNAL", "order.submit.client", ()),
}
BUY = NewOrder("trader-01", "c-1", "BTC/USD", Side.BUY, OrderType.LIMIT, Decimal("0.025"), Decimal("41000.5"))
ORDER = {
    "order.pair": "BTC/USD",
    "order.side": "BUY",
    "order.type": "LIMIT",
    "order.quantity": 0.025,
    "order.price": 41000.5,
    "user.id": "trader-01",
}


def submit(open_exchange, *orders: NewOrder) -> tuple[list[Outcome], list[list[ReadableSpan]]]:
    """Submit one after another; returns outcomes and their traces."""

    async def scenario() -> tuple[list[Outcome], list[list[ReadableSpan]]]:
        async with open_exchange() as running:
            outcomes = [await running.exchange.wallet.submit(order) for order in orders]
            traces = running.traces()
            return outcomes, [traces[outcome.trace_id] for outcome in outcomes]

    return asyncio.run(scenario())


def test_an_accepted_order_is_the_whole_tree(open_exchange) -> None:
    """A resting order has exactly the 17 documented spans, each ended inside its parent, none an error."""
    (outcome,), (spans,) = submit(open_exchange, BUY)
    assert outcome.accepted
    assert len(spans) == 17
    assert shape(spans) == ORDER_TRACE
    by_id = {span.context.span_id: span for span in spans}
    for span in spans:
        assert span.status.status_code is StatusCode.UNSET
        if span.parent:
            assert span.start_time >= by_id[span.parent.span_id].start_time
        if span.parent and span.kind.name != "CONSUMER":
            assert span.end_time <= by_id[span.parent.span_id].end_time


def test_attributes_follow_the_conventions(open_exchange) -> None:
    """Every span carries exactly its attributes, with their types; ports and ids are this run's."""
    (outcome,), (spans,) = submit(open_exchange, BUY)
    order_id = outcome.reply["order_id"]
    found = {span.name: dict(span.attributes or {}) for span in spans}
    ports = {found["POST"].pop("server.port"), found["kong"].pop("server.port")}
    upstream_ports = {
        found["kong.balancer"].pop("server.port"),
        found["POST /api/v1/orders"].pop("server.port"),
    }
    assert len(ports) == len(upstream_ports) == 1
    for name in ("POST", "kong.balancer"):
        assert str(found[name].pop("url.full")).endswith("/api/v1/orders")
    for name in ("SELECT wallets", "INSERT orders", "UPDATE wallets"):
        assert str(found[name].pop("db.query.text")).startswith(name.split()[0])
    conversations = {
        attributes.pop("messaging.message.conversation_id", "") for attributes in found.values()
    } - {""}
    assert len(conversations) == 1
    for name in ("publish <default>", "order.match", "order.response", "payment_response process"):
        assert found[name].pop("messaging.message.body.size") > 100
    assert found["journal.append"].pop("journal.bytes") > 100
    server = found["POST /api/v1/orders"]
    assert server.pop("market.price") == pytest.approx(42_000, rel=0.05)
    assert 0 <= server.pop("market.price_age_ms") < 1_000
    assert server.pop("order.value_usd") == pytest.approx(ORDER["order.quantity"] * ORDER["order.price"])
    http = {"http.request.method": "POST", "http.response.status_code": 201, "server.address": "127.0.0.1"}
    served = {"url.path": "/api/v1/orders", "url.scheme": "http", "network.protocol.version": "1.1"}
    state = {"order.id": order_id, "order.status": "NEW"}
    sqlite = {"db.system.name": "sqlite", "db.namespace": "exchange"}
    send = {
        "messaging.system": "memory",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
    }
    process = {**send, "messaging.operation.name": "process", "messaging.operation.type": "process"}
    route = {"http.route": "/api/v1/orders"}
    assert found == {
        "order.submit.client": {**ORDER, **state},
        "POST": http,
        "kong": {**http, **served, **route},
        "kong.router": {**route, "kong.route.name": "orders"},
        "kong.balancer": http,
        "POST /api/v1/orders": {
            **http,
            **served,
            **route,
            **ORDER,
            **state,
            "order.filled_quantity": 0.0,
            "user.fee_tier": "standard",
        },
        "SELECT wallets": {**sqlite, "db.operation.name": "SELECT", "db.collection.name": "wallets"},
        "INSERT orders": {**sqlite, "db.operation.name": "INSERT", "db.collection.name": "orders"},
        "publish orders": {"messaging.destination.name": "orders"},
        "publish <default>": {**send, "messaging.destination.name": "orders"},
        "order.match": {**process, "messaging.destination.name": "orders"},
        "orderbook.execute": {**ORDER, **state, "order.filled_quantity": 0.0},
        "journal.append": {"journal.sequence": found["journal.append"]["journal.sequence"]},
        "order.response": {**send, "messaging.destination.name": "payment_response"},
        "payment_response process": {**process, "messaging.destination.name": "payment_response", **state},
        "UPDATE wallets": {
            **sqlite,
            "db.operation.name": "UPDATE",
            "db.collection.name": "wallets",
            "db.operation.batch.size": 2,
        },
        "order.response.received": state,
    }


def test_a_fill_shows_its_price(open_exchange) -> None:
    """A market order that meets a maker tells the maker's price on client, server and matcher spans."""
    maker = NewOrder(
        "trader-02", "m-1", "ETH/USD", Side.SELL, OrderType.LIMIT, Decimal("0.5"), Decimal("2301.25")
    )
    taker = NewOrder("trader-03", "t-1", "ETH/USD", Side.BUY, OrderType.MARKET, Decimal("0.5"))
    (_, outcome), (_, spans) = submit(open_exchange, maker, taker)
    assert outcome.reply["status"] == "FILLED"
    assert shape(spans) == ORDER_TRACE
    prices = {span.name: span.attributes.get("order.fill_price") for span in spans if span.attributes}
    for name in (
        "order.submit.client",
        "POST /api/v1/orders",
        "orderbook.execute",
        "order.response.received",
    ):
        assert prices[name] == 2301.25


def test_two_hundred_orders_at_once_give_two_hundred_whole_traces(open_exchange) -> None:
    """Under concurrency every accepted order still has a trace of its own with exactly its 17 spans."""

    async def scenario(running) -> tuple[list[Outcome], dict[str, list[ReadableSpan]]]:
        tasks = [running.load.send(running.load.traders.next_order()) for _ in range(200)]
        return list(await asyncio.gather(*tasks)), running.traces()

    async def main() -> tuple[list[Outcome], dict[str, list[ReadableSpan]]]:
        async with open_exchange() as running:
            return await scenario(running)

    outcomes, traces = asyncio.run(main())
    assert Counter(outcome.status for outcome in outcomes) == {201: 200}
    assert set(traces) == {outcome.trace_id for outcome in outcomes}
    assert all(len(spans) == 17 and shape(spans) == ORDER_TRACE for spans in traces.values())


def test_an_order_without_funds_fails_where_it_failed(open_exchange) -> None:
    """A refused order ends before the queue; its callers are errors, the server is not."""
    poor = NewOrder("nobody", "p-1", "BTC/USD", Side.SELL, OrderType.LIMIT, Decimal("1"), Decimal("42000"))
    (outcome,), (spans,) = submit(open_exchange, poor)
    assert (outcome.status, outcome.reply["error"]["code"]) == (422, "insufficient_funds")
    assert {span.name: span.status.status_code.name for span in spans} == {
        "order.submit.client": "ERROR",
        "POST": "ERROR",
        "kong": "UNSET",
        "kong.router": "UNSET",
        "kong.balancer": "ERROR",
        "POST /api/v1/orders": "UNSET",
        "SELECT wallets": "UNSET",
        "order.response.received": "UNSET",
    }
