from __future__ import annotations

import asyncio
import json
import math
import re
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from exchange_ref.faults.labels import LabelFile
from exchange_ref.faults.runner import FaultRunner
from exchange_ref.faults.schedule import parse_schedule
from tests.pace import check, patience_s, until

LEAKS = re.compile(r"\bfault|slow|stall|whale|inject|chaos|anomal", re.IGNORECASE)


Course = Callable[[Any, FaultRunner], Awaitable[None]]


def happen(
    open_exchange, path: Path, schedule: str, course: Course
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run load and faults; returns the labels as read from their file, and the spans by trace id.

    The course starts the schedule of the runner when it likes; the load ends when it returns.
    """

    async def main() -> dict[str, Any]:
        async with open_exchange() as running:
            labels, stop = LabelFile(path), asyncio.Event()
            runner = FaultRunner(parse_schedule(schedule, "test"), running.target(), labels, stop)
            loading = asyncio.create_task(running.load.run(stop))
            await until(lambda: len(running.load.answered) >= 30)
            await course(running, runner)
            stop.set()
            await loading
            await runner.finish()
            labels.close()
            await running.load.settle(patience_s(10.0))
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


@pytest.mark.alone  # its bounds are milliseconds of statements at a rate
def test_a_slow_database_is_slow_where_its_label_says(open_exchange, tmp_path: Path) -> None:
    """While it lasts the labelled traces' SELECT wallets really take the delay, other statements do not, the
    trace keeps its shape, and no span says why."""
    schedule = "seed: 5\nfaults: [{kind: db_slow, at_s: 0, for_s: 600, params: {delay_ms: 80}}]"
    asked_ns: list[int] = []

    async def course(running: Any, runner: FaultRunner) -> None:
        def median_ms(operation: str, trace_ids: set[int]) -> float:
            runs = running.exchange.witness.runs("kx-exchange", operation)
            took = [run.end_unix_nano - run.start_unix_nano for run in runs if run.trace_id in trace_ids]
            return statistics.median(took) / 1e6 if took else math.inf

        def usual() -> bool:
            return median_ms("SELECT wallets", {run.trace_id for run in reads()}) < 20

        def reads() -> list[Any]:
            return list(running.exchange.witness.runs("kx-exchange", "SELECT wallets"))

        def met() -> set[int]:
            return {run.trace_id for run in reads() if run.start_unix_nano > asked_ns[0]}

        await until(usual)
        asked_ns.append(time.time_ns())
        runner.start()
        # What came at once behind a stall waits in other statements too.
        await until(lambda: len(met()) >= 30 and median_ms("UPDATE wallets", met()) < 30, 30)
        asked_ns.append(time.time_ns())
        runner.end("db_slow-1")
        await until(runner.labels, 20)

    (label,), traces = happen(open_exchange, tmp_path / "labels.jsonl", schedule, course)
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
    assert asked_ns[0] <= label["start_unix_nano"] < asked_ns[1] <= label["end_unix_nano"]
    assert {
        name: label[name] for name in ("fault_id", "kind", "root_service", "root_operation", "seed", "params")
    } == {
        "fault_id": "db_slow-1",
        "kind": "db_slow",
        "root_service": "kx-exchange",
        "root_operation": "SELECT wallets",
        "seed": 5,
        "params": {"ramp_s": 0, "delay_ms": 80, "statements": ["SELECT wallets"], "for_s": 600},
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
    assert label["end_unix_nano"] - label["start_unix_nano"] >= 0.05e9


@pytest.mark.parametrize(("side", "pair", "quantity"), [("BUY", "BTC/USD", 8.0), ("SELL", "ETH/USD", 120.0)])
def test_a_whale_is_accepted_and_only_its_amount_is_unusual(
    open_exchange, tmp_path: Path, side: str, pair: str, quantity: float
) -> None:
    """The labelled trace is a whole accepted order of 400 times the usual size, as fast as any."""

    async def whale(running: Any, runner: FaultRunner) -> None:
        runner.start()
        await until(runner.labels, 20)
        await until(lambda: {order.symbol for order, _ in running.load.answered} >= {pair})

    schedule = (
        f"faults: [{{kind: whale_order, at_s: 0.5, params: {{multiple: 400, side: {side}, pair: {pair}}}}}]"
    )
    (label,), traces = happen(open_exchange, tmp_path / "labels.jsonl", schedule, whale)
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
    schedule = "faults: [{kind: db_slow, at_s: 0.1, for_s: 3600}, {kind: whale_order, at_s: 3600}]"

    async def until_it_is_there(_: Any, runner: FaultRunner) -> None:
        runner.start()
        await until(runner.running)

    labels, _ = happen(open_exchange, tmp_path / "labels.jsonl", schedule, until_it_is_there)
    assert [label["kind"] for label in labels] == ["db_slow"]
    assert labels[0]["end_unix_nano"] - labels[0]["start_unix_nano"] < 600e9


def test_a_new_version_is_on_its_spans(open_exchange, tmp_path: Path) -> None:
    """While the new version is deployed spans carry it, and afterwards the old one again."""

    async def course(running: Any, runner: FaultRunner) -> None:
        async def answer(more: int) -> None:
            """So many, of orders that were sent from now on and not at the very moment of the change."""
            now_ns = time.time_ns() + 60_000_000
            answered = running.load.answered
            await until(lambda: sum(outcome.start_unix_nano > now_ns for _, outcome in answered) >= more)

        runner.start()
        await until(runner.running)
        await answer(5)
        runner.end("deploy_shift-1")
        await until(runner.labels, 20)
        await answer(5)

    schedule = "faults: [{kind: deploy_shift, at_s: 0, for_s: 600}]"
    (label,), traces = happen(open_exchange, tmp_path / "labels.jsonl", schedule, course)
    start, end = label["start_unix_nano"], label["end_unix_nano"]
    versions = {
        (start < span.start_time < end, span.resource.attributes["service.version"])
        for spans in traces.values()
        for span in spans
        if abs(span.start_time - start) > 50e6 and abs(span.start_time - end) > 50e6
    }
    assert versions == {(False, "0.1.0"), (True, "0.2.0")}


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
