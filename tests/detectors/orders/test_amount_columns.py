"""Amounts are the same whether they are read to be judged or to be learned."""

from __future__ import annotations

import json

import pyarrow.compute as pc
import pytest

from detectors.orders.amount_columns import SCHEMA, amounts_of, read_amounts, spans_query

ORDER = {"order.quantity": 0.5, "order.pair": "BTC/USD", "order.side": "BUY"}
CARRIED = {
    "order": ORDER,
    "order filled": {**ORDER, "order.price": 42_000.5, "order.fill_price": 42_000, "user.id": "ann"},
    "text": {**ORDER, "order.quantity": "1.25", "order.price": "7", "enduser.id": 17},
    "small letters": {**ORDER, "order.side": "sell", "account.id": "a-1"},
    "no side": {"order.quantity": 2, "order.pair": "ETH-USD"},
    "transfer": {"transfer.amount": 12.5, "transfer.asset": "USD", "user.id": "bob"},
    "both": {**ORDER, "transfer.amount": 12.5, "transfer.asset": "USD"},
    "no pair": {"order.quantity": 2.0, "order.side": "BUY"},
    "empty asset": {"transfer.amount": 1.0, "transfer.asset": ""},
    "separator first": {**ORDER, "order.pair": "/USD"},
    "zero": {**ORDER, "order.quantity": 0},
    "negative": {**ORDER, "order.quantity": -3.5},
    "words": {**ORDER, "order.quantity": "much"},
    "list": {**ORDER, "order.quantity": [1, 2]},
    "not a number": {"transfer.amount": "nan", "transfer.asset": "USD"},
    "infinite": {"transfer.amount": "inf", "transfer.asset": "USD"},
    "null": {**ORDER, "order.quantity": None},
    "huge": {**ORDER, "order.quantity": 12_345_678_901_234_567_890},
    "a call beside an order": {**ORDER, "order.quantity": "inf", "gen_ai.request.model": "gpt-4o"},
    "nothing": {"http.route": "/"},
}
BATCH = {"after": 0, "upto": 1, "names": ["order.submit.client"]}


@pytest.fixture
def landed(system):
    """A batch with a trace for each kind of amount, in its outermost span alone."""
    for carried in CARRIED.values():
        system.order()
        system.rows[-3]["attributes"] = json.dumps(carried)
    system.land()
    return system.store


def test_judging_reads_the_amounts_that_learning_reads(landed):
    """Numbers, texts, lists and nothing, of orders and transfers: the same rows by both ways."""
    judged = amounts_of(landed.read(spans_query(with_amounts=True), BATCH)).sort_by("trace_id")
    learned = read_amounts(landed.read, 0, 1, prices=()).sort_by("trace_id")
    learned = learned.filter(pc.equal(learned["operation"], "order.submit.client"))
    assert judged.schema == SCHEMA
    assert judged.num_rows == 8
    assert judged.to_pylist() == learned.to_pylist()


def test_spans_are_the_same_with_and_without_amounts(landed):
    """Reading amounts along changes nothing in what is read of all spans."""
    bounds = {"after": 0, "upto": 1}
    alone = landed.read(spans_query(with_amounts=False), bounds)
    beside = landed.read(spans_query(with_amounts=True), BATCH)
    assert beside.select(alone.schema.names).equals(alone)
    assert alone.num_rows == 3 * len(CARRIED)


def test_a_batch_without_amounts_has_none(system):
    """No operation that is known to carry any: an empty table of the same form."""
    system.order()
    system.land()
    nobody = {**BATCH, "names": ["somebody else"]}
    assert amounts_of(system.store.read(spans_query(with_amounts=True), nobody)).equals(SCHEMA.empty_table())
