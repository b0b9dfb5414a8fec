"""What detection costs a landed span, in CPU of the process, at the pace at which spans are offered.

    uv run python tests/benchmarks/detection.py [--json] [--rates 300,3000,13000,50000] [--seconds 6]

Spans land in the real store every 200 ms, as landing does by default, and the real pipeline judges them on a
clock that the benchmark moves: the figures hold what a live server's detection thread and DuckDB's threads
spend on passes, nothing of landing. Ten services of five operations, six spans a trace, eight attributes a
span; with amounts, two spans of a trace carry an order of nine. Learning passes are counted apart.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from collector.store.store import Store
from detectors.pipeline.worker import Pipeline
from detectors.settings import Settings

S = 1_000_000_000
START_NS = 1_790_000_000 * S
LANDING_S = 0.2
WARM_UP_S, WARM_UP_RATE = 42, 700
KINDS = ("SERVER", "INTERNAL", "CLIENT", "CLIENT", "PRODUCER", "CONSUMER")
NAMES = (
    "POST /orders",
    "order.place",
    "SELECT wallets",
    "SELECT wallets",
    "orders publish",
    "orders process",
)
PARENTS = (-1, 0, 1, 1, 1, 4)  # of each span of a trace
OFFSETS_NS = (0, 100_000, 200_000, 900_000, 1_800_000, 2_600_000)
MEDIANS_NS = (4_000_000, 3_500_000, 500_000, 500_000, 300_000, 900_000)
CARRYING = (0, 1)
SERVICES = 10

INSERT = """
INSERT INTO spans_recent BY NAME
SELECT
    $batch::BIGINT AS batch_id, * EXCLUDE (start_unix_nano, attributes),
    '' AS trace_state, 0 AS flags, make_timestamp_ns(start_unix_nano) AS start_time, 'UNSET' AS status_code,
    '' AS status_message, attributes::JSON::VARIANT AS attributes, 0 AS dropped_attributes_count,
    [] AS events, 0 AS dropped_events_count, [] AS links, 0 AS dropped_links_count,
    '{"host.name": "h"}'::JSON::VARIANT AS resource_attributes, 0 AS resource_dropped_attributes_count,
    '' AS resource_schema_url, 'bench' AS scope_name, '' AS scope_version, NULL AS scope_attributes,
    0 AS scope_dropped_attributes_count, '' AS scope_schema_url
FROM landed
"""


class Traffic:
    """Traces without end, and their landing in a store."""

    def __init__(self, store: Store, *, amounts: bool, seed: int = 1) -> None:
        self._store = store
        self._amounts = amounts
        self._rng = np.random.default_rng(seed)
        self._trace = 0
        self._batch = 0

    def land(self, at_ns: int, span_count: int) -> int:
        """Insert what ended in the landing interval before `at_ns`; returns the batch."""
        table = self._table(at_ns, max(span_count // len(KINDS), 1))
        self._batch += 1
        with self._store.transaction() as con:
            con.register("landed", table)
            con.execute(INSERT, {"batch": self._batch})
            con.unregister("landed")
            con.execute(
                "UPDATE landing_position SET batch_id = $batch, traces_batch_id = $batch,"
                " span_count = span_count + $spans",
                {"batch": self._batch, "spans": table.num_rows},
            )
        self._store.announce_landed(self._batch)
        return self._batch

    def _table(self, at_ns: int, count: int) -> pa.Table:
        rng, width = self._rng, len(KINDS)
        begin = at_ns - int(LANDING_S * S) + rng.integers(0, int(LANDING_S * S), count)
        service = rng.integers(0, SERVICES, count)
        number = self._trace + np.arange(count)
        self._trace += count
        step = np.tile(np.arange(width), count)
        rows = np.repeat(np.arange(count), width)
        noise = np.exp(0.3 * rng.standard_normal(len(rows)))
        ids = number[rows] * 16 + step
        parents = np.array(PARENTS)[step]
        quantity = np.exp(0.5 * rng.standard_normal(count))
        return pa.table(
            {
                "trace_id": [f"{n:032x}" for n in number[rows].tolist()],
                "span_id": [f"{n:016x}" for n in ids.tolist()],
                "parent_span_id": [
                    f"{n * 16 + p:016x}" if p >= 0 else None
                    for n, p in zip(number[rows].tolist(), parents.tolist(), strict=True)
                ],
                "service_name": [f"service-{n}" for n in service[rows].tolist()],
                "span_name": [NAMES[n] for n in step.tolist()],
                "span_kind": [KINDS[n] for n in step.tolist()],
                "start_unix_nano": begin[rows] + np.array(OFFSETS_NS)[step],
                "duration_ns": (np.array(MEDIANS_NS)[step] * noise).astype(np.int64),
                "attributes": [
                    self._attributes(n, s, q)
                    for n, s, q in zip(
                        number[rows].tolist(), step.tolist(), quantity[rows].tolist(), strict=True
                    )
                ],
            }
        )

    def _attributes(self, number: int, step: int, quantity: float) -> str:
        usual: dict[str, Any] = {
            "http.request.method": "POST",
            "http.route": f"/resource/{step}",
            "http.response.status_code": 200,
            "server.address": "10.0.0.1",
            "server.port": 8080,
            "user.id": f"user-{number % 10_007}",
            "cache.hit": number % 3 == 0,
            "thread.name": "worker-1",
        }
        if self._amounts and step in CARRYING:
            usual |= {
                "order.quantity": quantity,
                "order.pair": "BTC/USD",
                "order.side": "BUY" if number % 2 else "SELL",
                "order.price": 42_000.0 * (0.999 if number % 2 else 1.001),
                "order.fill_price": 42_000.0 + number % 7,
            }
        return json.dumps(usual)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s

    def time_ns(self) -> int:
        return START_NS + round(self.now_s * S)


class Spent:
    """CPU of passes."""

    def __init__(self) -> None:
        self.judge_s = self.learn_s = 0.0
        self.passes: list[float] = []
        self.waits_s: list[float] = []


def measure(rate: int, seconds: float, *, amounts: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="spyhop-bench-") as folder:
        store, clock = Store.open(Path(folder)), Clock()
        try:
            traffic = Traffic(store, amounts=amounts)
            pipeline = Pipeline(store, Settings(), clock_ns=clock.time_ns, monotonic_s=clock.monotonic_s)
            run(pipeline, traffic, clock, WARM_UP_RATE, WARM_UP_S)
            spent = run(pipeline, traffic, clock, rate, seconds)
            anomalies = store.read("SELECT count(*) AS n FROM anomalies")["n"][0].as_py()
        finally:
            store.close()
    spans = rate * seconds
    return {
        "spans_per_s": rate,
        "amounts": amounts,
        "passes_per_s": round(len(spent.passes) / seconds, 2),
        "judge_us_per_span": round(spent.judge_s / spans * 1e6, 2),
        "judge_share_of_a_core": round(spent.judge_s / seconds, 4),
        "pass_ms_median": round(float(np.median(spent.passes)) * 1e3, 2),
        "pass_ms_max": round(max(spent.passes) * 1e3, 2),
        "wait_ms_max": round(max(spent.waits_s) * 1e3, 1),
        "learn_us_per_span": round(spent.learn_s / spans * 1e6, 2),
        "anomalies": anomalies,
    }


def run(pipeline: Pipeline, traffic: Traffic, clock: Clock, rate: int, seconds: float) -> Spent:
    """Land and judge for some seconds of the benchmark's clock."""
    spent = Spent()
    waiting: list[float] = []  # when each batch landed that is not judged
    learned_s = clock.now_s
    for _ in range(round(seconds / LANDING_S)):
        clock.now_s += LANDING_S
        newest = traffic.land(clock.time_ns(), round(rate * LANDING_S))
        waiting.append(clock.now_s)
        if pipeline.gathering_s() > 1e-9:
            continue
        began_s = time.process_time()
        pipeline.judge_landed(newest)
        took_s = time.process_time() - began_s
        spent.passes.append(took_s)
        spent.judge_s += took_s
        spent.waits_s += [clock.now_s - at_s for at_s in waiting]
        waiting.clear()
        if clock.now_s - learned_s >= 2.0:
            learned_s = clock.now_s
            began_s = time.process_time()
            pipeline.learn_settled()
            spent.learn_s += time.process_time() - began_s
    return spent


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rates", default="300,3000,13000,50000")
    arguments.add_argument("--seconds", type=float, default=6)
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    rates = [int(rate) for rate in given.rates.split(",")]
    rows = [measure(rate, given.seconds, amounts=amounts) for amounts in (False, True) for rate in rates]
    if given.json:
        machine = {
            "cpus": os.cpu_count(),
            "arch": platform.machine(),
            "python": platform.python_version(),
            "load": os.getloadavg()[0],
        }
        versions = {name: version(name) for name in ("duckdb", "pyarrow", "numpy", "scipy")}
        print(json.dumps({"runs": rows, "machine": machine, "versions": versions}, indent=2))
        return
    for row in rows:
        print(
            f"{row['spans_per_s']:>6,} spans/s {'with' if row['amounts'] else 'without':7} amounts: "
            f"{row['judge_us_per_span']:6.2f} µs a span, {row['judge_share_of_a_core']:.1%} of a core; "
            f"pass {row['pass_ms_median']:.1f} ms, {row['passes_per_s']:.1f} a second; "
            f"learning {row['learn_us_per_span']:.2f} µs a span; {row['anomalies']} anomalies"
        )


if __name__ == "__main__":
    main()
