"""Figures of the exchange's engine: alone, journaled, recovered; and of its streams.

uv run python tests/benchmarks/exchange_engine.py engine|journaled|recovery|readers [--count N] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ingest import tell
from opentelemetry.sdk.trace import SpanProcessor
from websockets.asyncio.client import connect

from exchange_ref.engine import journal
from exchange_ref.engine.engine import Engine
from exchange_ref.engine.orders import Deposit, Order, OrderType, Side
from exchange_ref.exchange import Exchange, ExchangeConfig
from exchange_ref.load.arrivals import Load
from exchange_ref.load.traders import Traders
from exchange_ref.run import new_event_loop

PAIR, USERS = "BTC/USD", 50
READER_S = 20.0
ADDITIONS = 1_000_000


def orders(count: int) -> list[Order]:
    """Limit orders around one price, of which most trade."""
    chance = random.Random(1)
    return [
        Order(
            f"o{number}",
            f"user-{number % USERS}",
            f"c{number}",
            PAIR,
            chance.choice((Side.BUY, Side.SELL)),
            OrderType.LIMIT,
            6_000_000 + chance.randrange(-50, 50),
            100,
            number * 20_000_000,
        )
        for number in range(count)
    ]


def additions() -> float:
    """CPU of so many additions in Python: what this machine is worth now."""
    begun_s, total = time.process_time(), 0
    for number in range(ADDITIONS):
        total += number
    return time.process_time() - begun_s


def funded() -> Engine:
    engine = Engine()
    for user in range(USERS):
        for asset in ("BTC", "USD"):
            engine.deposit(Deposit(f"user-{user}", asset, 10**17))
    return engine


def timed(count: int, submit: Callable[[Order], object]) -> dict[str, object]:
    made = orders(count)
    gc.collect()
    gc.freeze()  # as the exchange at its start
    additions_s = additions()
    took_us = []
    begun_s = time.process_time()
    for order in made:  # by this thread's CPU, which other work on the machine changes less than the clock
        started_s = time.thread_time()
        submit(order)
        took_us.append((time.thread_time() - started_s) * 1e6)
    cpu_s = time.process_time() - begun_s
    took_us.sort()
    return {
        "orders": count,
        "orders_per_cpu_s": round(count / cpu_s),
        "additions_per_order": round(cpu_s / count / additions_s * ADDITIONS),
        "ten_million_additions_s": round(additions_s * 10_000_000 / ADDITIONS, 2),
        "p50_us": round(took_us[count // 2], 1),
        "p99_us": round(took_us[int(count * 0.99)], 1),
        "p999_us": round(took_us[int(count * 0.999)], 1),
    }


def engine_alone(count: int) -> dict[str, object]:
    return timed(count, funded().submit)


def journaled(count: int, group: int = 0) -> dict[str, object]:
    """
    Args:
        group: so many lines are synced to the disk together; 0 for none until the end.
    """
    engine, waiting = funded(), 0
    with tempfile.TemporaryDirectory() as folder:
        log = journal.Journal(Path(folder) / "journal.jsonl")

        def submit(order: Order) -> None:
            nonlocal waiting
            log.append(order)
            engine.submit(order)
            waiting += 1
            if waiting == group:
                log.sync()
                waiting = 0

        found = timed(count, submit)
        log.close()
    return found


def recovery(count: int) -> dict[str, object]:
    """Replay of a whole journal, without any snapshot."""
    engine = Engine()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        log = journal.Journal(path)
        for user in range(USERS):
            for asset in ("BTC", "USD"):
                deposit = Deposit(f"user-{user}", asset, 10**17)
                log.append(deposit)
                engine.deposit(deposit)
        for order in orders(count):
            log.append(order)
            engine.submit(order)
        log.close()
        gc.collect()
        gc.freeze()
        replayed = Engine()
        started_s, cpu_s = time.perf_counter(), time.process_time()
        last = journal.replay(path, replayed)
        took_s, cpu_s = time.perf_counter() - started_s, time.process_time() - cpu_s
    same = list(replayed.ledger.all_balances()) == list(engine.ledger.all_balances())
    return {"commands": last, "seconds": round(took_s, 2), "cpu_s": round(cpu_s, 2), "same_balances": same}


class _Nowhere(SpanProcessor):
    """Spans are not what is measured."""


def readers(count: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_read(count, Path(folder)))


async def _read(count: int, folder: Path) -> dict[str, object]:
    """Readers of one depth stream, in this very process and loop; a delay is from the first reader that has a
    message to each that has it."""
    exchange = Exchange(ExchangeConfig(folder), _Nowhere())
    await exchange.start()
    load = Load(exchange.wallet, Traders(random.Random(1), "b"), random.Random(2), 50.0)
    stop = asyncio.Event()
    sending = asyncio.create_task(load.run(stop))
    first_s: dict[int, float] = {}
    delays_ms: list[float] = []
    gaps = 0

    async def read() -> None:
        nonlocal gaps
        url = f"ws://{exchange.front.host}:{exchange.front.port}/ws?streams=depth@{PAIR}"
        headers = {"authorization": f"Bearer {exchange.load_token}"}  # one address may open five
        async with connect(url, additional_headers=headers) as socket:
            last: int | None = None
            async for text in socket:
                data: dict[str, Any] = json.loads(text)["data"]
                now_s, number = time.perf_counter(), data["last_update_id"]
                if last is not None:
                    gaps += data["first_update_id"] != last + 1
                    delays_ms.append((now_s - first_s.setdefault(number, now_s)) * 1000)
                last = number

    tasks = [asyncio.create_task(read()) for _ in range(count)]
    await asyncio.sleep(READER_S)
    stop.set()
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    await sending
    await load.settle(10)
    await exchange.stop()
    delays_ms.sort()
    return {
        "readers": count,
        "dropped": sum(not isinstance(end, asyncio.CancelledError) for end in ends),
        "messages": len(delays_ms),
        "gaps": gaps,
        "delay_p50_ms": round(delays_ms[len(delays_ms) // 2], 1),
        "delay_p99_ms": round(delays_ms[int(len(delays_ms) * 0.99)], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["engine", "journaled", "recovery", "readers"])
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--group", type=int, default=0, help="lines synced together, when journaled")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    measure, usual = {
        "engine": (engine_alone, 1_000_000),
        "journaled": (lambda count: journaled(count, arguments.group), 300_000),
        "recovery": (recovery, 300_000),
        "readers": (readers, 1_000),
    }[arguments.what]
    found = measure(arguments.count or usual)
    tell(found, as_json=arguments.json)


if __name__ == "__main__":
    main()
