"""How long a full garbage collection takes beside an engine that remembers many results.

uv run python tests/benchmarks/exchange_memory.py [--orders 1000000] [--json]
"""

from __future__ import annotations

import argparse
import gc
import random
import time

from ingest import tell

from exchange_ref.engine.engine import Engine
from exchange_ref.engine.orders import Deposit, Order, OrderType, Side

PAIR, USERS = "BTC/USD", 50


def run(count: int) -> dict[str, object]:
    engine, chance = Engine(), random.Random(1)
    for user in range(USERS):
        for asset in ("BTC", "USD"):
            engine.deposit(Deposit(f"user-{user}", asset, 10**17))
    pauses_ms: list[float] = []
    began_s = 0.0

    def watch(phase: str, info: dict[str, int]) -> None:
        nonlocal began_s
        if phase == "start":
            began_s = time.perf_counter()
        elif info["generation"] == 2:
            pauses_ms.append((time.perf_counter() - began_s) * 1000)

    gc.callbacks.append(watch)
    took_us: list[float] = []
    for number in range(count):
        side = chance.choice((Side.BUY, Side.SELL))
        order = Order(
            f"o{number}", f"user-{number % USERS}", f"c{number}", PAIR, side, OrderType.LIMIT,
            6_000_000 + chance.randrange(-50, 50), 100, number * 20_000_000,
        )  # fmt: skip
        started_s = time.perf_counter()
        engine.submit(order)
        took_us.append((time.perf_counter() - started_s) * 1e6)
    gc.callbacks.remove(watch)
    took_us.sort()
    return {
        "orders": count,
        "orders_per_s": round(count / (sum(took_us) / 1e6)),
        "order_p99_us": round(took_us[int(count * 0.99)], 1),
        "order_p999_us": round(took_us[int(count * 0.999)], 1),
        "order_max_ms": round(took_us[-1] / 1000, 1),
        "full_collections": len(pauses_ms),
        "longest_collection_ms": round(max(pauses_ms, default=0.0), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = run(arguments.orders)
    tell(found, as_json=arguments.json)


if __name__ == "__main__":
    main()
