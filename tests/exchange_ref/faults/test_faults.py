from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from exchange_ref.faults.labels import LabelFile
from exchange_ref.faults.runner import FaultRunner
from exchange_ref.faults.schedule import parse_schedule
from tests.exchange_ref.faults.ending import stop_after
from tests.pace import check

LEAKS = re.compile(r"\bfault|slow|stall|whale|inject|chaos|anomal", re.IGNORECASE)


def happen(
    open_exchange, path: Path, schedule: str, load_s: float
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run load and faults; returns the labels as read from their file, and the spans by trace id."""

    async def main() -> dict[str, Any]:
        async with open_exchange() as running:
            labels, stop = LabelFile(path), asyncio.Event()
            planned = parse_schedule(schedule, "test")
            runner = FaultRunner(planned, running.target(), labels, stop)
            runner.start()
            await asyncio.gather(running.load.run(stop), stop_after(load_s, planned, runner, stop))
            await runner.finish()
            labels.close()
            await running.load.settle(5.0)
            return running.traces()

    traces = asyncio.run(main())
    return [json.loads(line) for line in path.read_text().splitlines()], traces


def durations_ms(spans: list[Any]) -> dict[str, float]:
    return {span.name: (span.end_time - span.start_time) / 1e6 for span in spans}


def assert_nothing_leaks(traces: dict[str, Any]) -> None:
    for spans in traces.values():
        for span in spans:
            texts = [
                span.name,
                *map(str, (span.attributes or {}).items()),
                *(event.name for event in span.events),
            ]
            assert not [text for text in texts if LEAKS.search(text)]


def test_a_slow_database_is_slow_where_its_label_says(open_exchange, tmp_path: Path) -> None:
    """While it lasts the labelled traces' SELECT wallets really take the delay, other statements do not, the
    trace keeps its shape, and no span says why."""
    schedule = "seed: 5\nfaults: [{kind: db_slow, at_s: 0.4, for_s: 1.5, params: {delay_ms: 80}}]"
    (label,), traces = happen(open_exchange, tmp_path / "labels.jsonl", schedule, 2.1)
    affected = [durations_ms(traces[trace_id]) for trace_id in label["trace_ids"]]
    assert len(affected) >= 15
    assert all(len(spans) == 17 and spans["SELECT wallets"] >= 40 for spans in affected)
    assert sorted(spans["UPDATE wallets"] for spans in affected)[len(affected) // 2] < 40
    untouched = [
        durations_ms(spans) for trace_id, spans in traces.items() if trace_id not in label["trace_ids"]
    ]
    assert len(untouched) >= 20
    assert sorted(spans["SELECT wallets"] for spans in untouched)[len(untouched) // 2] < 20
    assert label["impact_verified"] is True
    assert label["impact"]["median_during"] - label["impact"]["median_before"] >= 40
    assert 1.35e9 <= label["end_unix_nano"] - label["start_unix_nano"] <= 3e9
    assert {
        name: label[name] for name in ("fault_id", "kind", "root_service", "root_operation", "seed", "params")
    } == {
        "fault_id": "db_slow-1",
        "kind": "db_slow",
        "root_service": "kx-exchange",
        "root_operation": "SELECT wallets",
        "seed": 5,
        "params": {"ramp_s": 0, "delay_ms": 80, "statements": ["SELECT wallets"], "for_s": 1.5},
    }
    assert_nothing_leaks(traces)


def test_a_slow_database_without_orders_is_not_verified(open_exchange, tmp_path: Path) -> None:
    """A fault that nobody met says so instead of claiming an impact."""

    async def main() -> None:
        async with open_exchange() as running:
            labels = LabelFile(tmp_path / "labels.jsonl")
            text = "faults: [{kind: db_slow, at_s: 0, for_s: 0.05, par"
            text += "ams: {statements: [INSERT orders, UPDATE wallets]}}]"
            runner = FaultRunner(parse_schedule(text, "test"), running.target(), labels, asyncio.Event())
            runner.start()
            await runner.finish()
            labels.close()

    asyncio.run(main())
    label = json.loads((tmp_path / "labels.jsonl").read_text())
    assert (label["impact_verified"], label["trace_ids"], label["root_operation"]) == (False, [], None)


@pytest.mark.parametrize(("side", "pair", "quantity"), [("BUY", "BTC/USD", 8.0), ("SELL", "ETH/USD", 120.0)])
def test_a_whale_is_accepted_and_only_its_amount_is_unusual(
    open_exchange, tmp_path: Path, side: str, pair: str, quantity: float
) -> None:
    """The labelled trace is a whole accepted order of 400 times the usual size, as fast as any."""
    schedule = (
        f"faults: [{{kind: whale_order, at_s: 0.5, params: {{multiple: 400, side: {side}, pair: {pair}}}}}]"
    )
    (label,), traces = happen(open_exchange, tmp_path / "labels.jsonl", schedule, 1.6)
    spans = traces[label["trace_ids"][0]]
    root = next(span for span in spans if span.parent is None)
    assert len(spans) == 17
    assert (root.attributes["order.quantity"], root.attributes["order.side"]) == (quantity, side)
    assert root.attributes["order.pair"] == pair
    others = [
        span
        for trace_id, trace in traces.items()
        for span in trace
        if span.parent is None and trace_id not in label["trace_ids"]
    ]
    quantities = [s.attributes["order.quantity"] for s in others if s.attributes["order.pair"] == pair]
    assert quantity > 20 * max(quantities)
    slowest_s = (
        max(span.end_time - span.start_time for span in others) / 1e9
    )  # a stall meets what is under way
    check(durations_ms(spans)["order.submit.client"] / 1000, max(0.1, 1.5 * slowest_s))
    assert (label["impact_verified"], label["root_service"]) == (True, "kx-wallet")
    assert label["root_operation"] == "order.submit.client"
    assert_nothing_leaks(traces)


def test_faults_after_the_stop_do_not_happen(open_exchange, tmp_path: Path) -> None:
    """A fault planned for later than the end has no label, and a running one ends with the exchange."""
    schedule = "faults: [{kind: db_slow, at_s: 0.1, for_s: 60}, {kind: whale_order, at_s: 60}]"
    labels, _ = happen(open_exchange, tmp_path / "labels.jsonl", schedule, 0.5)
    assert [label["kind"] for label in labels] == ["db_slow"]
    assert labels[0]["end_unix_nano"] - labels[0]["start_unix_nano"] < 2e9


@pytest.mark.parametrize(("side", "asset"), [("BUY", "USD"), ("SELL", "BTC")])
def test_a_whale_is_paid_for_with_new_money(open_exchange, tmp_path: Path, side: str, asset: str) -> None:
    """The exchange receives a deposit of what the order locks, so that it never depends on old balances."""

    async def main() -> tuple[int, int]:
        async with open_exchange() as running:
            ledger = running.exchange.engine.ledger
            before = ledger.deposited_units(asset)
            labels = LabelFile(tmp_path / "labels.jsonl")
            schedule = parse_schedule(
                f"faults: [{{kind: whale_order, at_s: 0, params: {{side: {side}}}}}]", "test"
            )
            runner = FaultRunner(schedule, running.target(), labels, asyncio.Event())
            runner.start()
            await runner.finish()
            labels.close()
            locked = sum(row.locked_units for row in ledger.all_balances() if row.asset == asset)
            return ledger.deposited_units(asset) - before, locked

    deposited, locked = asyncio.run(main())
    assert deposited == locked > 0
