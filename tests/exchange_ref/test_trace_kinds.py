"""Every kind of trace that the exchange makes: its tree, names, kinds, links and required attributes."""

from __future__ import annotations

import asyncio
import json
import random
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
from llm.analysis.subject import load_trace
from tests.exchange_ref.documented_traces import (
    DATABASE,
    DOMAIN,
    HTTP_CLIENT,
    HTTP_SERVER,
    KINDS,
    MESSAGING,
    RESOURCE,
)
from tests.exchange_ref.trace_shape import drawn
from tests.pace import until


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
            exchange.price_source.walk.prices["SOL/USD"] *= 0.9
            await until(lambda: not (exchange.trades.open or exchange.watch.ending))
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
        f"FROM ({settled}) WHERE trace_id = $trace_id ORDER BY start_unix_nano",
        {"after": 0, "upto": 1, "earliest": 0, "latest": 2**63, "trace_id": trace_id},
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
