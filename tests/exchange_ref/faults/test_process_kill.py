"""The matcher as a process of its own, killed under load and started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from exchange_ref.engine import journal
from exchange_ref.engine.engine import Engine
from exchange_ref.errors import ExchangeError
from exchange_ref.faults.labels import LabelFile
from exchange_ref.faults.runner import FaultRunner
from exchange_ref.faults.schedule import parse_schedule
from exchange_ref.run import new_event_loop
from exchange_ref.services.wallet import RetryPolicy
from exchange_ref.telemetry.span_frames import from_frame, to_frame
from exchange_ref.telemetry.tracing import MATCHER, Telemetry, link_to, under
from tests.pace import patience_s, until

# What the kill does to waiting times is measured, which other work beside it hides.
pytestmark = pytest.mark.alone


def balances(engine: Engine) -> dict[tuple[str, str], tuple[int, int]]:
    return {
        (row.user_id, row.asset): (row.available_units, row.locked_units)
        for row in engine.ledger.all_balances()
    }


def instances(spans: list[ReadableSpan]) -> set[str]:
    return {
        str(span.resource.attributes["service.instance.id"])
        for span in spans
        if span.resource.attributes["service.name"] == MATCHER
    }


def test_a_span_survives_the_way_between_processes() -> None:
    """Everything that an exporter reads is the same behind the pipe."""
    memory = InMemorySpanExporter()
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    tracer = Telemetry(SimpleSpanProcessor(memory)).tracer(MATCHER)
    root = tracer.start_span("root")
    context = under(root)
    span = tracer.start_span("child", context, SpanKind.CONSUMER, {"a": 1, "b": ["x"]}, link_to(context))
    span.record_exception(KeyError("k"))
    span.set_status(StatusCode.ERROR, "why")
    span.end()
    (sent,) = memory.get_finished_spans()
    got = from_frame(json.loads(json.dumps(to_frame(sent))))
    assert json.loads(got.to_json()) == json.loads(sent.to_json())
    assert (got.context, got.parent, got.resource) == (sent.context, sent.parent, sent.resource)
    assert got.instrumentation_scope == sent.instrumentation_scope


def test_a_killed_matcher_loses_and_repeats_nothing(open_exchange, tmp_path: Path) -> None:
    """It dies with an order in hand and comes back from its journal: every order is answered and executed
    once, traces are whole, the label names the matcher, and afterwards the exchange has the same state."""

    async def main():
        async with open_exchange() as running:
            exchange, load = running.exchange, running.load
            exchange.wallet.retry = RetryPolicy(4, 4.0, 0.1)
            labels, stop = LabelFile(tmp_path / "labels.jsonl"), asyncio.Event()
            schedule = parse_schedule("faults: [{kind: process_kill, at_s: 0, for_s: 0.6}]", "test")
            runner = FaultRunner(schedule, running.target(), labels, stop)
            loading = asyncio.create_task(load.run(stop))
            await until(lambda: len(load.answered) >= 40)
            runner.start()
            await until(runner.labels, 60)
            answered = len(load.answered)
            await until(lambda: len(load.answered) >= answered + 20)
            stop.set()
            await loading
            await runner.finish()
            labels.close()
            assert await load.settle(patience_s(20.0))
            last = await exchange.wallet.submit(load.traders.next_order())
            return list(load.answered), running.traces(), balances(exchange.engine), last

    # The event loop that `spyhop exchange` uses.
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        answered, traces, held, last = runner.run(main())
    label = json.loads((tmp_path / "labels.jsonl").read_text())
    assert {outcome.status for _, outcome in answered} <= {200, 201}
    submits = [
        line
        for line in map(json.loads, (tmp_path / "exchange/journal.jsonl").read_text().splitlines())
        if line["op"] == "submit" and line["order_id"] != last.reply["order_id"]
    ]
    assert set(Counter(line["order_id"] for line in submits).values()) == {1}
    assert Counter(line["client_order_id"] for line in submits) == Counter(
        order.client_order_id for order, _ in answered
    )
    again = Engine()
    journal.replay(tmp_path / "exchange/journal.jsonl", again)
    assert balances(again) == held
    assert (label["kind"], label["root_service"], label["root_operation"]) == (
        "process_kill",
        "kx-matcher",
        "order.match",
    )
    assert label["impact_verified"], label["impact"]
    assert len(label["trace_ids"]) >= 20
    dead_s = (label["end_unix_nano"] - label["start_unix_nano"]) / 1e9
    assert dead_s >= 0.6
    for trace_id in label["trace_ids"]:
        ids = {span.context.span_id for span in traces[trace_id]}
        assert all(span.parent.span_id in ids for span in traces[trace_id] if span.parent)
        assert "order.match" in {span.name for span in traces[trace_id]}
    # Here, in the first process, and in the second one.
    assert len(instances([span for spans in traces.values() for span in spans])) >= 2
    assert len(traces[last.trace_id]) == 17


def test_the_process_serves_between_its_start_and_its_end(open_exchange) -> None:
    """Handed over and taken back without a fault, orders are executed by the other process, spans and all."""

    async def main():
        async with open_exchange() as running:
            exchange, load = running.exchange, running.load
            before = await exchange.wallet.submit(load.traders.next_order())
            supervisor = exchange.matcher_supervisor()
            await supervisor.prepare()
            await exchange.matcher.hand_over(supervisor.go, supervisor.handle)
            outcomes = await asyncio.gather(*(load.send(load.traders.next_order()) for _ in range(30)))
            await exchange.wallets.deposit("trader-01", "BTC", 5)
            pid = supervisor.pid
            await exchange.matcher.take_back(supervisor.end)
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
            after = await exchange.wallet.submit(load.traders.next_order())
            return before, outcomes, after, running.traces(), exchange.engine.ledger.deposited_units("BTC")

    before, outcomes, after, traces, deposited = asyncio.run(main())
    assert {outcome.status for outcome in outcomes} == {201}
    assert all(len(traces[outcome.trace_id]) == 17 for outcome in (before, *outcomes, after))
    (here,) = instances(traces[before.trace_id])
    (there,) = set.union(*(instances(traces[outcome.trace_id]) for outcome in outcomes))
    assert here != there
    assert instances(traces[after.trace_id]) == {here}
    assert deposited == 24 * 2_000 * 10**8 + 5


def test_a_process_that_does_not_come_back_is_replaced_by_the_exchange(open_exchange, monkeypatch) -> None:
    """When no new process starts, the exchange goes on by itself from the journal, and waiting orders too."""

    async def main():
        async with open_exchange() as running:
            exchange, load = running.exchange, running.load
            supervisor = exchange.matcher_supervisor()
            await supervisor.prepare()
            await exchange.matcher.hand_over(supervisor.go, supervisor.handle)
            await load.send(load.traders.next_order())
            os.kill(supervisor.pid, signal.SIGKILL)
            waiting = load.send(load.traders.next_order())
            await asyncio.sleep(0.1)
            supervisor.journal = "/"  # a folder cannot be read as one
            with pytest.raises(ExchangeError, match="did not get to 'ready'"):
                await supervisor.restart()
            outcome = await waiting
            await exchange.matcher.take_back(supervisor.end)
            return outcome.status, len(running.traces()[outcome.trace_id])

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        assert runner.run(main()) == (201, 17)
