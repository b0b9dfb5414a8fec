"""What tracing costs the exchange, and whether any span is lost.

    uv run python tests/benchmarks/exchange_tracing.py [--json]

1. Throughput, orders sent as fast as so many clients can, tracing off and on in turn within one run: CPU time
   per order, and orders per second of CPU. `traced_share` is on/off and is to be at least 0.5.
2. An open load of 300 orders/s with every trace recorded and exported as OTLP protobuf: sent, accepted, spans
   that are 17 for each order, spans dropped.

Spans are encoded as OTLP and thrown away, so that the exchange is measured and no collector.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from exchange_ref.exchange import Exchange, ExchangeConfig
from exchange_ref.load.arrivals import Load
from exchange_ref.load.traders import Traders
from exchange_ref.run import new_event_loop
from exchange_ref.telemetry.otlp_bytes import encode
from exchange_ref.telemetry.span_export import BoundedSpanExport

CLIENTS = 32
SPANS_PER_ORDER = 17


class Encoding(SpanExporter):
    """As the OTLP exporter, less the network."""

    def __init__(self) -> None:
        self.size_bytes = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.size_bytes += len(encode(spans))
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing to close."""


async def closed_loop(folder: Path, sampled_share: float, orders: int) -> tuple[float, float]:
    """CPU seconds and wall seconds for so many orders, spans included."""
    export = BoundedSpanExport(Encoding(), max_queued_spans=1_000_000)
    exchange = Exchange(ExchangeConfig(folder, sampled_share=sampled_share), export)
    await exchange.start()
    traders = Traders(random.Random(1), f"{time.time_ns():x}")
    left = orders

    async def client() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            outcome = await exchange.wallet.submit(traders.next_order())
            assert outcome.status in {201, 422}, outcome

    gc.collect()
    gc.freeze()
    cpu_s, wall_s = time.process_time(), time.monotonic()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    export.force_flush(60_000)
    took = time.process_time() - cpu_s, time.monotonic() - wall_s
    await exchange.stop()
    export.shutdown()
    return took


async def open_load(folder: Path, rate_per_s: float, seconds: float) -> dict[str, object]:
    export = BoundedSpanExport(Encoding())
    exchange = Exchange(ExchangeConfig(folder), export)
    await exchange.start()
    traders = Traders(random.Random(1), f"{time.time_ns():x}")
    load = Load(exchange.wallet, traders, random.Random(2), rate_per_s)
    stop = asyncio.Event()
    gc.collect()
    gc.freeze()
    asyncio.get_running_loop().call_later(seconds, stop.set)
    cpu_s, wall_s = time.process_time(), time.monotonic()
    await load.run(stop)
    settled = await load.settle(30.0)
    took_s = time.monotonic() - wall_s
    cores = (time.process_time() - cpu_s) / took_s
    export.force_flush(30_000)
    latencies_ms = sorted(
        (run.end_unix_nano - run.start_unix_nano) / 1e6
        for run in exchange.witness.runs("kx-wallet", "order.submit.client")
    )
    counters = exchange.gateway.counters
    await exchange.stop()
    export.shutdown()
    accepted = counters.orders_accepted
    return {
        "rate_per_s": rate_per_s,
        "seconds": round(took_s, 2),
        # Below the rate, the machine was not free to send it: the load runs in the exchange's own process.
        "reached_per_s": round(load.counters.sent / took_s, 1),
        "orders_sent": load.counters.sent,
        "orders_shed": load.counters.shed,
        "orders_accepted": accepted,
        "settled": settled,
        "spans_exported": export.exported_spans,
        "spans_expected": accepted * SPANS_PER_ORDER,
        "spans_dropped": export.dropped_spans,
        "cores": round(cores, 2),
        "p50_ms": round(latencies_ms[len(latencies_ms) // 2], 2),
        "p99_ms": round(latencies_ms[int(len(latencies_ms) * 0.99)], 2),
    }


def measure(orders: int, rounds: int, rate_per_s: float, seconds: float) -> dict[str, object]:
    cpu_ms: dict[str, list[float]] = {"off": [], "on": []}
    wall_per_s: dict[str, list[float]] = {"off": [], "on": []}
    with (
        tempfile.TemporaryDirectory(prefix="exchange-tracing-") as text,
        asyncio.Runner(loop_factory=new_event_loop) as runner,
    ):
        for number in range(rounds):
            for name, share in (("off", 0.0), ("on", 1.0)):
                folder = Path(text) / f"{name}-{number}"
                cpu_s, wall_s = runner.run(closed_loop(folder, share, orders))
                cpu_ms[name].append(cpu_s / orders * 1000)
                wall_per_s[name].append(orders / wall_s)
        load = runner.run(open_load(Path(text) / "open", rate_per_s, seconds))
    off, on = min(cpu_ms["off"]), min(cpu_ms["on"])
    return {
        "cpu_ms_per_order_off": round(off, 3),
        "cpu_ms_per_order_on": round(on, 3),
        "traced_share": round(off / on, 3),
        "orders_per_s_off": round(max(wall_per_s["off"])),
        "orders_per_s_on": round(max(wall_per_s["on"])),
        "traced_share_wall": round(max(wall_per_s["on"]) / max(wall_per_s["off"]), 3),
        "load": load,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--orders", type=int, default=3_000, help="orders in each closed-loop round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=300.0, help="orders/s of the open load")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the open load lasts")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = measure(arguments.orders, arguments.rounds, arguments.rate, arguments.seconds)
    if arguments.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
