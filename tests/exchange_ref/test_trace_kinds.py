"""Every kind of trace that the exchange makes: its tree, names, kinds, links and required attributes."""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from collector.decode.traces import decode_traces
from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.api.trace_view import load_trace_view
from detectors.baseline.learn import learn_times
from detectors.baseline.models import Baselines
from detectors.baseline.sketch_index import SELF_TIME
from detectors.localise.traces import Traces, Usual
from detectors.settings import Settings
from detectors.stats.sketch import bucket_of
from exchange_ref.cfd.words import TradeSide
from exchange_ref.engine.orders import OrderType, Side
from exchange_ref.load.population import MIXED
from exchange_ref.load.traders import Traders
from exchange_ref.services.addresses import address_of
from exchange_ref.services.wallet import NewOrder, NewTrade, NewTransfer
from llm.subject import load_trace

# Service, name and kind by depth, children in the order of their names; `<` names the span that is linked to.
ORDER = """\
kx-wallet order.submit.client INTERNAL
  kx-wallet POST CLIENT
    api-gateway kong SERVER
      api-gateway kong.balancer CLIENT
        kx-exchange POST /api/v1/orders SERVER
          kx-exchange INSERT orders CLIENT
          kx-exchange SELECT wallets CLIENT
          kx-exchange UPDATE wallets CLIENT
          kx-exchange payment_response process CONSUMER < order.response
          kx-exchange publish orders INTERNAL
            kx-exchange publish <default> PRODUCER
              kx-matcher order.match CONSUMER < publish <default>
                kx-matcher journal.append INTERNAL
                kx-matcher order.response PRODUCER
                kx-matcher orderbook.execute INTERNAL
      api-gateway kong.router INTERNAL
  kx-wallet order.response.received INTERNAL
"""
TRANSFER = """\
kx-wallet transfer.submit.client INTERNAL
  kx-wallet POST CLIENT
    api-gateway kong SERVER
      api-gateway kong.balancer CLIENT
        kx-exchange POST /api/v1/transfers SERVER
          kx-exchange INSERT transfers CLIENT
          kx-exchange SELECT addresses CLIENT
          kx-exchange SELECT wallets CLIENT
          kx-exchange UPDATE wallets CLIENT
          kx-exchange payment_response process CONSUMER < transfer.response
          kx-exchange publish orders INTERNAL
            kx-exchange publish <default> PRODUCER
              kx-matcher btc.transfer CONSUMER < publish <default>
                kx-matcher journal.append INTERNAL
                kx-matcher transfer.response PRODUCER
      api-gateway kong.router INTERNAL
  kx-wallet transfer.response.received INTERNAL
"""
CANCEL = """\
kx-wallet order.cancel.client INTERNAL
  kx-wallet DELETE CLIENT
    api-gateway kong SERVER
      api-gateway kong.balancer CLIENT
        kx-exchange DELETE /api/v1/orders/{order_id} SERVER
          kx-exchange SELECT orders CLIENT
          kx-exchange UPDATE wallets CLIENT
          kx-exchange payment_response process CONSUMER < order.cancel.response
          kx-exchange publish orders INTERNAL
            kx-exchange publish <default> PRODUCER
              kx-matcher order.cancel CONSUMER < publish <default>
                kx-matcher journal.append INTERNAL
                kx-matcher order.cancel.response PRODUCER
      api-gateway kong.router INTERNAL
  kx-wallet order.cancel.received INTERNAL
"""
CFD = """\
kx-wallet cfd.{what}.client INTERNAL
  kx-wallet {method} CLIENT
    api-gateway kong SERVER
      api-gateway kong.balancer CLIENT
        kx-exchange {method} {path} SERVER
{statements}\
          kx-exchange UPDATE wallets CLIENT
          kx-exchange payment_response process CONSUMER < cfd.{what}.response
          kx-exchange publish orders INTERNAL
            kx-exchange publish <default> PRODUCER
              kx-matcher cfd.{what} CONSUMER < publish <default>
                kx-matcher cfd.{what}.response PRODUCER
                kx-matcher journal.append INTERNAL
      api-gateway kong.router INTERNAL
  kx-wallet cfd.{what}.received INTERNAL
"""
CFD_OPEN = CFD.format(
    what="open",
    method="POST",
    path="/api/v1/cfd/trades",
    statements="          kx-exchange INSERT cfd_trades CLIENT\n"
    "          kx-exchange SELECT wallets CLIENT\n",
)
CFD_CLOSE = CFD.format(
    what="close",
    method="DELETE",
    path="/api/v1/cfd/trades/{trade_id}",
    statements="          kx-exchange SELECT cfd_trades CLIENT\n",
)
# What the price ends: nobody asked for it, so the exchange is the root.
CFD_TRIGGER = """\
kx-exchange cfd.trigger INTERNAL
  kx-exchange UPDATE wallets CLIENT
  kx-exchange payment_response process CONSUMER < cfd.close.response
  kx-exchange publish orders INTERNAL
    kx-exchange publish <default> PRODUCER
      kx-matcher cfd.close CONSUMER < publish <default>
        kx-matcher cfd.close.response PRODUCER
        kx-matcher journal.append INTERNAL
"""
READ = """\
api-gateway kong SERVER
  api-gateway kong.balancer CLIENT
    kx-exchange GET {path} SERVER{statement}
  api-gateway kong.router INTERNAL
"""
# What was executed before is not journaled again.
REPEATED = ORDER.replace("                kx-matcher journal.append INTERNAL\n", "")
REFUSED = """\
kx-wallet order.submit.client INTERNAL
  kx-wallet POST CLIENT
    api-gateway kong SERVER
      api-gateway kong.balancer CLIENT
        kx-exchange POST /api/v1/orders SERVER
          kx-exchange SELECT wallets CLIENT
      api-gateway kong.router INTERNAL
  kx-wallet order.response.received INTERNAL
"""
UNROUTED = "api-gateway kong SERVER\n  api-gateway kong.router INTERNAL\n"
KINDS = {
    "order": ORDER,
    "transfer": TRANSFER,
    "cancel": CANCEL,
    "cfd open": CFD_OPEN,
    "cfd close": CFD_CLOSE,
    "cfd trigger": CFD_TRIGGER,
    "order repeated": REPEATED,
    "order refused": REFUSED,
    "order read": READ.format(
        path="/api/v1/orders/{order_id}", statement="\n      kx-exchange SELECT orders CLIENT"
    ),
    "wallets read": READ.format(
        path="/api/v1/wallets", statement="\n      kx-exchange SELECT wallets CLIENT"
    ),
    "cfd read": READ.format(
        path="/api/v1/cfd/trades", statement="\n      kx-exchange SELECT cfd_trades CLIENT"
    ),
    "address read": READ.format(path="/api/v1/address", statement=""),
    "no such path": UNROUTED,
}

HTTP_CLIENT = {
    "http.request.method",
    "url.full",
    "server.address",
    "server.port",
    "http.response.status_code",
}
HTTP_SERVER = {
    "http.request.method",
    "url.scheme",
    "url.path",
    "server.address",
    "server.port",
    "network.protocol.version",
    "http.response.status_code",
}
DATABASE = {"db.system.name", "db.namespace", "db.operation.name", "db.collection.name", "db.query.text"}
MESSAGING = {
    "messaging.system",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.destination.name",
    "messaging.message.conversation_id",
    "messaging.message.body.size",
}
ORDER_SENT = {"order.pair", "order.side", "order.type", "order.quantity", "user.id"}
ORDER_KNOWN = ORDER_SENT | {"order.id", "order.status"}
TRANSFER_SENT = {"transfer.asset", "transfer.amount", "user.id"}
TRANSFER_KNOWN = TRANSFER_SENT | {"transfer.id", "transfer.status"}
CFD_SENT = {"cfd.asset", "cfd.side", "cfd.leverage", "cfd.margin_usd", "user.id"}
CFD_KNOWN = CFD_SENT | {"cfd.id", "cfd.status", "cfd.entry_price_usd"}
CFD_ENDED = {"cfd.id", "cfd.status", "cfd.profit_usd", "user.id"}
# By kind of trace and span name, beside what a span's own kind asks for.
DOMAIN = {
    "order": {
        "order.submit.client": ORDER_KNOWN,
        "POST /api/v1/orders": ORDER_KNOWN
        | {"http.route", "order.filled_quantity", "order.value_usd", "market.price", "market.price_age_ms"},
        "orderbook.execute": ORDER_KNOWN | {"order.filled_quantity"},
        "payment_response process": {"order.id", "order.status"},
        "order.response.received": {"order.id", "order.status"},
        "journal.append": {"journal.sequence", "journal.bytes"},
        "kong": {"http.route"},
        "kong.router": {"http.route", "kong.route.name"},
        "publish orders": {"messaging.destination.name"},
    },
    "transfer": {
        "transfer.submit.client": TRANSFER_KNOWN,
        "POST /api/v1/transfers": TRANSFER_KNOWN | {"http.route"},
        "btc.transfer": TRANSFER_KNOWN,
        "payment_response process": {"transfer.id", "transfer.status"},
        "transfer.response.received": {"transfer.id", "transfer.status"},
        "journal.append": {"journal.sequence", "journal.bytes"},
    },
    "cancel": {
        "order.cancel.client": {"order.id", "order.status", "user.id"},
        "DELETE /api/v1/orders/{order_id}": {
            "order.id",
            "order.pair",
            "order.status",
            "user.id",
            "http.route",
        },
        "order.cancel": {"order.id", "order.pair", "order.status"},
        "order.cancel.received": {"order.id", "order.status"},
    },
    "cfd open": {
        "cfd.open.client": CFD_SENT | {"cfd.id", "cfd.status"},
        "POST /api/v1/cfd/trades": CFD_KNOWN | {"http.route", "market.price", "market.price_age_ms"},
        "cfd.open": CFD_KNOWN,
        "payment_response process": {"cfd.id", "cfd.status"},
        "cfd.open.received": {"cfd.id", "cfd.status"},
        "journal.append": {"journal.sequence", "journal.bytes"},
    },
    "cfd close": {
        "cfd.close.client": {"cfd.id", "cfd.status", "user.id"},
        "DELETE /api/v1/cfd/trades/{trade_id}": CFD_KNOWN
        | {"http.route", "cfd.profit_usd", "market.price", "market.price_age_ms"},
        "cfd.close": CFD_ENDED,
        "payment_response process": {"cfd.id", "cfd.status"},
        "cfd.close.received": {"cfd.id", "cfd.status"},
    },
    "cfd trigger": {"cfd.trigger": CFD_KNOWN | {"cfd.profit_usd"}, "cfd.close": CFD_ENDED},
    "order refused": {
        "order.submit.client": ORDER_SENT | {"order.status", "error.type"},
        "POST": {"error.type"},
    },
}
RESOURCE = {"service.name", "service.namespace", "service.version", "service.instance.id"}


def drawn(spans: list[ReadableSpan]) -> str:
    """A trace as the texts above."""
    names = {span.context.span_id: span.name for span in spans}
    children: dict[int, list[ReadableSpan]] = defaultdict(list)
    for span in spans:
        children[span.parent.span_id if span.parent else 0].append(span)
    lines: list[str] = []

    def walk(parent_id: int, depth: int) -> None:
        for span in sorted(
            children[parent_id], key=lambda one: (one.resource.attributes["service.name"], one.name)
        ):
            links = "".join(f" < {names[link.context.span_id]}" for link in span.links)
            service = span.resource.attributes["service.name"]
            lines.append(f"{'  ' * depth}{service} {span.name} {span.kind.name}{links}\n")
            walk(span.context.span_id, depth + 1)

    # A caller outside has no span here: the gateway's is the first.
    known = {span.context.span_id for span in spans}
    for span in spans:
        if span.parent is not None and span.parent.span_id not in known:
            children[0].append(span)
    walk(0, 0)
    assert len(lines) == len(spans), "not all spans hang together"
    return "".join(lines)


def required(kind: str, span: ReadableSpan) -> set[str]:
    needed = set(DOMAIN.get(kind, {}).get(span.name, set()))
    attributes = span.attributes or {}
    if span.kind is SpanKind.SERVER:
        needed |= HTTP_SERVER
    elif span.kind in {SpanKind.PRODUCER, SpanKind.CONSUMER}:
        needed |= MESSAGING
    elif span.kind is SpanKind.CLIENT:
        needed |= DATABASE if "db.system.name" in attributes else HTTP_CLIENT
    return needed


@pytest.fixture(scope="module")
def traces(start_exchange, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[ReadableSpan]]]:
    """Spans of each trace by kind, of an exchange that has done everything it can."""

    async def main():
        async with start_exchange(tmp_path_factory.mktemp("kinds")) as running:
            exchange, load, client = running.exchange, running.load, running.client
            wallet, found = exchange.wallet, {}
            market = await exchange.admit(MIXED)
            traders = Traders(random.Random(3), "k", MIXED, market)
            orders = [traders.next_order() for _ in range(150)]
            outcomes = await asyncio.gather(*(load.send(order) for order in orders))
            found["order"] = [outcome.trace_id for outcome in outcomes if outcome.status == 201]
            again = await wallet.submit(orders[0])
            found["order repeated"] = [again.trace_id]
            poor = NewOrder("nobody", "p", "BTC/USD", Side.SELL, OrderType.LIMIT, Decimal(1), Decimal(42_000))
            found["order refused"] = [(await wallet.submit(poor)).trace_id]
            sent = NewTransfer("trader-01", "t", "BTC", Decimal("0.5"), address_of("trader-02"))
            found["transfer"] = [(await wallet.transfer(sent)).trace_id]
            resting = NewOrder(
                "trader-01", "c", "BTC/USD", Side.BUY, OrderType.LIMIT, Decimal("0.1"), Decimal(30_000)
            )
            order_id = (await wallet.submit(resting)).reply["order_id"]
            found["cancel"] = [(await wallet.cancel("trader-01", order_id)).trace_id]
            for kind, close in (("cfd close", True), ("cfd trigger", False)):
                bet = NewTrade("trader-01", kind, "SOL", TradeSide.LONG, 100, Decimal(100))
                opened = await wallet.open_trade(bet)
                found.setdefault("cfd open", []).append(opened.trace_id)
                if close:
                    ended = await wallet.close_trade("trader-01", opened.reply["trade_id"])
                    found[kind] = [ended.trace_id]
            before = set(running.traces())
            exchange.price_source._walk.prices["SOL/USD"] *= 0.9
            async with asyncio.timeout(5):
                while exchange.trades.open or exchange.watch._ending:
                    await asyncio.sleep(0.01)
            now = set(running.traces())
            found["cfd trigger"] = sorted(now - before)
            before = now
            for kind, path in (
                ("order read", f"/api/v1/orders/{order_id}"),
                ("wallets read", "/api/v1/wallets"),
                ("address read", "/api/v1/address"),
                ("cfd read", "/api/v1/cfd/trades"),
                ("no such path", "/api/v1/nothing"),
            ):
                response = await client.request("GET", path, {"x-user-id": "trader-01"})
                assert response.status == (404 if kind == "no such path" else 200), response
                assert json.loads(response.body)
                now = set(running.traces())
                found[kind] = sorted(now - before)
                before = now
            spans = running.traces()
            return {kind: [spans[one] for one in ids] for kind, ids in found.items()}, len(spans)

    found, total = asyncio.run(main())
    # The resting order that was cancelled is the only one not listed.
    listed = sum(map(len, found.values()))
    assert total - listed <= 1 + 150 - len(found["order"])
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_trace_is_as_documented(traces, kind: str) -> None:
    """Each trace of the kind is the drawn tree, no child before its parent, with all attributes asked for."""
    assert traces[kind]
    for spans in traces[kind]:
        assert drawn(spans) == KINDS[kind]
        by_id = {span.context.span_id: span for span in spans}
        for span in spans:
            missing = required(kind, span) - set(span.attributes or {})
            assert not missing, (span.name, missing)
            assert set(span.resource.attributes) >= RESOURCE
            assert None not in (span.attributes or {}).values()
            parent = by_id.get(span.parent.span_id) if span.parent else None
            assert span.start_time <= span.end_time
            assert parent is None or parent.start_time <= span.start_time


def test_every_kind_was_walked(traces) -> None:
    """Nothing that the exchange did is left out of the drawings."""
    assert set(traces) == set(KINDS)


def landed(store: Store, traces: dict[str, list[list[ReadableSpan]]]) -> dict[str, str]:
    """The first trace of each kind in the store, as sent; their ids by kind."""
    first = {kind: found[0] for kind, found in traces.items()}
    request = encode_spans([span for spans in first.values() for span in spans])
    rows = decode_traces([request.SerializeToString()])
    with store.transaction() as con:
        con.register("rows", rows)
        con.execute("INSERT INTO spans_recent BY NAME SELECT 1 AS batch_id, * FROM rows")
        con.unregister("rows")
    return {kind: f"{spans[0].context.trace_id:032x}" for kind, spans in first.items()}


def self_times_of_every_reader(store: Store, trace_id: str) -> dict[str, dict[str, int]]:
    """(reader → span id → self time in ns) of one trace; learning keeps buckets of 2%."""
    baselines = Baselines(Settings())
    settled = load_sql("detectors.learning.queries", "settled_spans")
    own = store.read(
        f"{settled} AND s.trace_id = $trace_id ORDER BY s.start_time",
        {"after": 0, "upto": 1, "trace_id": trace_id},
    )
    ids = own["span_id"].to_pylist()
    whole = own.append_column("status_code", pa.repeat("UNSET", len(own)))
    whole = whole.append_column("status_message", pa.repeat("", len(own)))
    learned = {}
    for number, span_id in enumerate(ids):
        alone = np.zeros(len(own), dtype=bool)
        alone[number] = True
        place = own.schema.get_field_index("is_new")
        rows = learn_times(own.set_column(place, "is_new", pa.array(alone)))
        (learned[span_id],) = rows.filter(pc.equal(rows["measure"], SELF_TIME))["bucket"].to_pylist()
    localised = Traces.of(whole, Usual(), with_stalls=False)
    view = load_trace_view(store, baselines, trace_id)["spans"]
    return {
        "learned": learned,
        "localised": dict(zip(ids, localised.self_time_ns.tolist(), strict=True)),
        "shown": {span["span_id"]: span["self_time_ns"] for span in view},
        "explained": {span.span_id: span.self_time_ns for span in load_trace(store, trace_id).spans},
    }


def test_every_reader_measures_the_same_self_time(traces, tmp_path) -> None:
    """Learning, localisation, trace view and explanation agree on each span of each kind of trace."""
    store = Store.open(tmp_path)
    try:
        for kind, trace_id in landed(store, traces).items():
            found = self_times_of_every_reader(store, trace_id)
            assert found["shown"] == found["explained"] == found["localised"], kind
            buckets = {span_id: int(bucket_of(ns)) for span_id, ns in found["shown"].items()}
            assert found["learned"] == buckets, kind
    finally:
        store.close()


def test_a_waiting_request_is_shown_as_it_was_learned(traces, tmp_path) -> None:
    """The time of a message in a queue is not the publisher's; the view gives it at the consumer."""
    store = Store.open(tmp_path)
    try:
        view = load_trace_view(store, Baselines(Settings()), landed(store, traces)["order"])["spans"]
    finally:
        store.close()
    by_name = {span["span_name"]: span for span in view}
    producer, consumer = by_name["publish <default>"], by_name["order.match"]
    sent = int(producer["start_unix_nano"]) + producer["duration_ns"]
    assert consumer["message_wait_ns"] == max(int(consumer["start_unix_nano"]) - sent, 0)
    reply, taken = by_name["order.response"], by_name["payment_response process"]
    replied = int(reply["start_unix_nano"]) + reply["duration_ns"]
    assert taken["message_wait_ns"] == max(int(taken["start_unix_nano"]) - replied, 0)
    assert producer["message_wait_ns"] is None
