"""A labelled outage of the broker: the real server goes down in mid-load, or the way to it does."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from exchange_ref.broker.link import BrokerServer, Link
from exchange_ref.broker.memory import MemoryBroker
from exchange_ref.broker.message import Message
from exchange_ref.broker.server import CommandServer
from exchange_ref.engine import journal
from exchange_ref.engine.engine import Engine
from exchange_ref.errors import ExchangeError, InvalidUse
from exchange_ref.exchange import Exchange, ExchangeConfig
from exchange_ref.faults.fault import Target
from exchange_ref.faults.labels import LabelFile
from exchange_ref.faults.runner import FaultRunner
from exchange_ref.faults.schedule import Schedule, build_fault
from exchange_ref.load.arrivals import Load
from exchange_ref.load.traders import Traders
from exchange_ref.services.api.statements import SELECT_WALLETS
from exchange_ref.services.wallet import NewOrder, Outcome, RetryPolicy
from exchange_ref.telemetry.span_export import BoundedSpanExport
from tests.pace import patience_s, until

pytestmark = pytest.mark.long


class RealServer:
    """Debian's RabbitMQ, which this test has started."""

    def __init__(self, rabbit: Any) -> None:
        self._rabbit = rabbit

    async def stop(self) -> None:
        await asyncio.to_thread(self._rabbit.stop)

    async def start(self) -> None:
        await asyncio.to_thread(self._rabbit.start)


@dataclass(frozen=True)
class Lived:
    """The course of one exchange."""

    label: dict[str, Any]
    answered: list[tuple[NewOrder, Outcome]]
    traces: dict[str, list[ReadableSpan]]
    journal: list[dict[str, Any]]
    balances: dict[tuple[str, str], tuple[int, int]]
    shown: dict[tuple[str, str], tuple[int, int]]


def live(folder: Path, broker: str, server: BrokerServer | None, orders: int, rate_per_s: float) -> Lived:
    """Load, an outage of 1.5 s or as long as the server takes, and load behind it until so many orders have
    come in all, and some in the outage and behind it."""
    attempts = round(patience_s(10))

    async def main() -> Lived:
        memory = InMemorySpanExporter()
        export = BoundedSpanExport(memory, schedule_delay_ms=50)
        exchange = Exchange(ExchangeConfig(folder, broker=broker), export, broker_server=server)
        await exchange.start()
        # Longer than the API waits for its broker: who gives up earlier leaves a request behind, and asks for
        # the same work again. And often enough for a server that takes its time to start.
        exchange.wallet.retry = RetryPolicy(max_attempts=attempts, timeout_s=12.0, backoff_s=0.2)
        load = Load(
            exchange.wallet, Traders(random.Random(1), f"{time.time_ns():x}"), random.Random(2), rate_per_s
        )
        labels, stop = LabelFile(folder / "labels.jsonl"), asyncio.Event()
        runner = FaultRunner(Schedule(0, ()), Target(exchange, load, time.time_ns), labels, stop)
        loading = asyncio.create_task(load.run(stop))
        await until(lambda: len(load.answered) >= rate_per_s)
        outage = runner.launch("broker_outage", build_fault("broker_outage", 3_600, {}))
        sent = load.counters.sent
        await asyncio.sleep(1.5)
        await until(lambda: load.counters.sent >= sent + 15)
        runner.end(outage)
        await until(runner.labels, 240)
        answered = len(load.answered)
        await until(lambda: load.counters.sent >= orders and len(load.answered) >= answered + 10, 60)
        stop.set()
        await loading
        await runner.finish()
        labels.close()
        # Patience and no claim: a machine that is busy with other work takes minutes to start the server.
        assert await load.settle(300.0)
        shown = {
            (user, row[0]): (row[1], row[2])
            for user in {order.user_id for order, _ in load.answered}
            for row in await exchange.database.read(SELECT_WALLETS, (user,))
        }
        await exchange.stop()
        assert export.force_flush(5_000)
        export.shutdown()
        traces: dict[str, list[ReadableSpan]] = defaultdict(list)
        for span in memory.get_finished_spans():
            traces[format(span.context.trace_id, "032x")].append(span)
        return Lived(
            json.loads((folder / "labels.jsonl").read_text()),
            list(load.answered),
            traces,
            [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()],
            {
                (row.user_id, row.asset): (row.available_units, row.locked_units)
                for row in exchange.engine.ledger.all_balances()
            },
            shown,
        )

    return asyncio.run(main())


def assert_once(lived: Lived, folder: Path) -> None:
    """Every order was answered, and executed once by its order id and by its client's id."""
    assert {outcome.status for _, outcome in lived.answered} <= {200, 201}
    submits = [line for line in lived.journal if line["op"] == "submit"]
    assert set(Counter(line["order_id"] for line in submits).values()) == {1}
    executed = Counter((line["user_id"], line["client_order_id"]) for line in submits)
    assert executed == Counter((order.user_id, order.client_order_id) for order, _ in lived.answered)
    assert {outcome.reply["order_id"] for _, outcome in lived.answered} == {
        line["order_id"] for line in submits
    }
    again = Engine()
    journal.replay(folder / "journal.jsonl", again)
    assert {
        (row.user_id, row.asset): (row.available_units, row.locked_units)
        for row in again.ledger.all_balances()
    } == lived.balances


def assert_seen(lived: Lived, system: str) -> None:
    """The label tells what happened, its traces waited, and every trace is one tree over all services."""
    label = lived.label
    assert (label["kind"], label["root_service"]) == ("broker_outage", "kx-exchange")
    assert label["root_operation"] == "publish <default>"
    assert label["impact_verified"], label["impact"]
    assert len(label["trace_ids"]) >= 10
    down_ms = (label["end_unix_nano"] - label["start_unix_nano"]) / 1e6
    waited_ms = max(
        (span.end_time - span.start_time) / 1e6
        for trace_id in label["trace_ids"]
        for span in lived.traces[trace_id]
        if span.name == "publish <default>"
    )
    assert waited_ms > min(down_ms, 1_000) / 2
    for _, outcome in lived.answered:
        spans = lived.traces[outcome.trace_id]
        ids = {span.context.span_id for span in spans}
        assert {str(span.resource.attributes["service.name"]) for span in spans} == {
            "kx-wallet",
            "api-gateway",
            "kx-exchange",
            "kx-matcher",
        }
        assert [span.name for span in spans if span.parent is None] == ["order.submit.client"]
        assert all(span.parent.span_id in ids for span in spans if span.parent is not None)
        assert {
            span.attributes["messaging.system"] for span in spans if "messaging.system" in span.attributes
        } == {system}


@pytest.mark.timeout(600)
def test_rabbitmq_goes_down_and_comes_back(rabbit, tmp_path: Path) -> None:
    """The real server is stopped and started under load by the fault itself: no order is lost or executed
    twice, traces go on, and the label and its spans show the outage."""
    # A busy machine takes a minute to start the server, and every order of that time asks again and again.
    lived = live(tmp_path, rabbit.url, RealServer(rabbit), 110, 25.0)
    assert len(lived.answered) > 100
    assert_once(lived, tmp_path)
    assert_seen(lived, "rabbitmq")
    assert lived.label["end_unix_nano"] - lived.label["start_unix_nano"] > 1e9


def test_without_a_server_the_way_to_the_broker_is_cut(tmp_path: Path) -> None:
    """In memory the connection is what goes down, with the same symptoms, and the wallets' rows end as the
    ledger."""
    lived = live(tmp_path, "memory", None, 100, 50.0)
    assert_once(lived, tmp_path)
    assert_seen(lived, "memory")
    assert {key: lived.balances[key] for key in lived.shown if key in lived.balances} == {
        key: units for key, units in lived.shown.items() if key in lived.balances
    }


def test_a_cut_way_keeps_messages_until_it_is_mended() -> None:
    """Messages that are published during the cut wait, and arrive once and in order afterwards."""

    async def main() -> tuple[bool, list[bytes]]:
        link = Link(MemoryBroker())
        await link.stop()
        publishing = [asyncio.create_task(link.publish("work", Message(bytes([n])))) for n in range(3)]
        await asyncio.sleep(0.05)
        waited = not any(task.done() for task in publishing)
        await link.start()
        source = aiter(link.consume("work"))
        return waited, [(await anext(source)).body for _ in range(3)]

    assert asyncio.run(main()) == (True, [b"\x00", b"\x01", b"\x02"])


def test_a_command_stops_and_starts_the_server(tmp_path: Path) -> None:
    """It is called with stop and start behind it; failures name the command and its last words."""
    script = tmp_path / "service.py"
    script.write_text(
        "import sys\n"
        "open(sys.argv[1], 'a').write(sys.argv[2] + ' ')\n"
        "sys.exit('no such unit' if sys.argv[1].endswith('bad') else 0)\n"
    )

    async def main(file: Path) -> None:
        server = CommandServer(f"'{sys.executable}' '{script}' '{file}'")
        await server.stop()
        await server.start()

    asyncio.run(main(tmp_path / "good"))
    assert (tmp_path / "good").read_text() == "stop start "
    with pytest.raises(ExchangeError, match=r"service\.py .*bad stop ended with 1: no such unit"):
        asyncio.run(main(tmp_path / "bad"))
    with pytest.raises(ExchangeError, match="not-there stop: No such file"):
        asyncio.run(CommandServer("/not-there").stop())
    for wrong in (" ", "'open"):
        with pytest.raises(InvalidUse, match="broker command"):
            CommandServer(wrong)
