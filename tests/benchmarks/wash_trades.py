"""What wash trades and round trips are found, by which detector, and what a quiet market is accused of.

    uv run python tests/benchmarks/wash_trades.py --markets 20 --json

Each market has thirty orders a second by 24 accounts. After 100 quiet seconds an account trades with itself,
and ten seconds later two others trade the same to and fro: so many rounds within one second, each of an
ordinary size at an ordinary price.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter

import numpy as np

from detectors.model.anomaly import Anomaly
from tests.detectors.orders.test_orders import Orders

QUIET_S, PAUSE_S = 100, 10
ROUNDS = (4, 6, 10)


def market(seed: int, rounds: int, found: Counter[str]) -> None:
    """Live through one market; counts what was found in `found`."""
    orders = Orders()
    orders.rng = np.random.default_rng(seed)
    found["quiet seconds"] += QUIET_S + PAUSE_S
    found["false alarms"] += sum(len(orders.second()) for _ in range(QUIET_S))
    count(
        found, "self-trade", rounds, orders.second(*orders.washed(["user-7"] * rounds, ["user-7"] * rounds))
    )
    found["false alarms"] += sum(len(orders.second()) for _ in range(PAUSE_S))
    sellers = [("user-3", "user-9")[number % 2] for number in range(rounds)]
    buyers = [("user-9", "user-3")[number % 2] for number in range(rounds)]
    count(found, "round trip", rounds, orders.second(*orders.washed(sellers, buyers)))


def count(found: Counter[str], what: str, rounds: int, anomalies: list[Anomaly]) -> None:
    rules = [str(anomaly.details["rule"]) for anomaly in anomalies]
    found[f"{what}, {rounds} rounds: by wash_trade"] += what in rules
    found[f"{what}, {rounds} rounds: by limit_price"] += "price deviation" in rules


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markets", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    begun, found = time.process_time(), Counter[str]()
    for rounds in ROUNDS:
        for seed in range(args.markets):
            market(seed, rounds, found)
    result = {"markets": args.markets, **found, "cpu_s": round(time.process_time() - begun, 1)}
    result["load"] = round(os.getloadavg()[0], 1)
    print(
        json.dumps(result) if args.json else "\n".join(f"{name}: {value}" for name, value in result.items())
    )


if __name__ == "__main__":
    main()
