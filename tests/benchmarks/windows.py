"""False alarms and cost of the window detectors on synthetic traffic.

    uv run python tests/benchmarks/windows.py --hours 24 --services 10      24 warped hours, 50 operations
    uv run python tests/benchmarks/windows.py --hours 0.1 --services 2000 --rate 2000      10,000

Traffic has a daily rhythm, rates that wander from minute to minute, errors that come in clusters, retries,
and calls that are made now and then. Prints anomalies by detector and severity, and CPU time a span.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa

from collector.store.store import Store
from detectors.baseline.models import Baselines
from detectors.pipeline.detector_set import DetectorSet
from detectors.settings import Settings

S = 1_000_000_000
START_NS = 1_790_000_000 * S
BATCH_S = 5
KINDS = ("SERVER", "INTERNAL", "CLIENT", "PRODUCER", "CONSUMER")
PARENT = (-1, 0, 1, 1, 3)  # of each operation of a service


class Fleet:
    """Services of five operations: request, work, a query (sometimes two), a message and its consumer."""

    def __init__(self, services: int, rate: float, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.services = services
        self.rate = rate  # traces a second, over all services
        self.weights = self.rng.dirichlet(np.full(services, 2.0))
        self.failing = self.rng.choice([0.0, 0.0005, 0.005, 0.05], services)
        self.keys = pa.array(
            [f"service{s}\x1foperation{k}\x1f{kind}" for s in range(services) for k, kind in enumerate(KINDS)]
        )
        self.trace = 0

    def batch(self, at_ns: int) -> pa.Table:
        """Spans that end in the next `BATCH_S` seconds."""
        rng = self.rng
        hour = (at_ns // S % 86_400) / 3_600
        load = self.rate * (1 + 0.6 * np.sin(2 * np.pi * hour / 24)) * np.exp(0.1 * rng.standard_normal())
        count = max(int(rng.poisson(load * BATCH_S)), 1)
        service = rng.choice(self.services, count, p=self.weights)
        start = np.sort(rng.integers(0, BATCH_S * S, count)) + at_ns
        # Errors cluster: the rate of a service is drawn anew in each batch.
        failing = self.failing * rng.gamma(2.0, 0.5, self.services)
        failed = rng.random(count) < failing[service]
        parts = []
        for step, parent in enumerate(PARENT):
            repeats = np.ones(count, dtype=np.int64)
            if step == 2:  # the query
                repeats += rng.random(count) < 0.1  # now and then two
            which = np.repeat(np.arange(count), repeats)
            length = (1e6 * np.exp(0.3 * rng.standard_normal(len(which)))).astype(np.int64)
            trace = (self.trace + which).astype(np.uint64)
            ids = trace * np.uint64(16) + np.uint64(step)
            ids[1:][which[1:] == which[:-1]] += np.uint64(8)  # the second query
            upper = trace * np.uint64(16) + np.uint64(max(parent, 0))
            parts.append(
                (
                    service[which],
                    step,
                    trace,
                    ids,
                    upper,
                    start[which] + step * 300_000,
                    length,
                    failed[which],
                )
            )
        self.trace += count
        return self._table(parts)

    def _table(
        self,
        parts: list[
            tuple[np.ndarray, int, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
        ],
    ) -> pa.Table:
        code = np.concatenate([p[0] * len(KINDS) + p[1] for p in parts])
        trace, ids = np.concatenate([p[2] for p in parts]), np.concatenate([p[3] for p in parts])
        root = np.concatenate([np.full(len(p[0]), p[1] == 0) for p in parts])
        upper = np.where(root, 0, np.concatenate([p[4] for p in parts])).astype(np.uint64)
        consumer = np.concatenate([np.full(len(p[0]), p[1] == 4) for p in parts])
        key = pa.DictionaryArray.from_arrays(pa.array(code.astype(np.int32)), self.keys).cast(pa.string())
        kind = pa.DictionaryArray.from_arrays(
            pa.array((code % len(KINDS)).astype(np.int32)), pa.array(KINDS)
        ).cast(pa.string())
        return pa.table(
            {
                "trace_id": pa.array(trace).cast(pa.string()),
                "span_id": pa.array(ids).cast(pa.string()),
                "span_kind": kind,
                "start_unix_nano": np.concatenate([p[5] for p in parts]),
                "duration_ns": np.concatenate([p[6] for p in parts]),
                "failed": np.concatenate([p[7] for p in parts]),
                # One in fifty is refused.
                "callee": pa.nulls(len(ids), pa.string()),
                "http_status": np.where(self.rng.random(len(ids)) < 0.02, 404, 200),
                "span_hash": ids,
                "parent_hash": upper,
                "producer_hash": np.where(consumer, upper, 0).astype(np.uint64),
                "operation_key": key,
            }
        )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--hours", type=float, default=24)
    arguments.add_argument("--services", type=int, default=10)
    arguments.add_argument("--rate", type=float, default=10, help="traces a second, over all services")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    fleet = Fleet(given.services, given.rate, given.seed)
    baselines = Baselines(Settings())
    found: Counter[tuple[str, str, int]] = Counter()
    texts: list[str] = []
    spans, slowest_s, cpu_s = 0, 0.0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder))
        windows = DetectorSet(store, baselines, Settings(), 0.0)
        for number in range(int(given.hours * 3_600 / BATCH_S)):
            table = fleet.batch(START_NS + number * BATCH_S * S)
            now_s = float(number * BATCH_S)
            began_s = time.process_time()
            new = windows.observe(windows.step(table, now_s)).new
            took_s = time.process_time() - began_s
            baselines.add(windows.waits_to_learn(now_s - 5))
            spans, cpu_s, slowest_s = spans + table.num_rows, cpu_s + took_s, max(slowest_s, took_s)
            for anomaly in new:
                found[anomaly.detector, str(anomaly.details.get("rule", "")), anomaly.severity] += 1
                texts.append(f"{number * BATCH_S:7} s  {anomaly.operation}: {anomaly.text}")
        store.close()
    hours = given.hours
    if given.json:
        result = {
            "spans": spans,
            "operations": given.services * len(KINDS),
            "hours": hours,
            "cpu_us_per_span": round(cpu_s / spans * 1e6, 3),
            "slowest_batch_ms": round(slowest_s * 1e3, 1),
            "anomalies": [
                {"detector": detector, "rule": rule, "severity": severity, "count": count}
                for (detector, rule, severity), count in sorted(found.items())
            ],
            "machine": {
                "cpus": os.cpu_count(),
                "arch": platform.machine(),
                "python": platform.python_version(),
            },
            "versions": {name: version(name) for name in ("duckdb", "pyarrow", "numpy", "scipy")},
        }
        print(json.dumps(result, indent=2))
        return
    print(f"{spans:,} spans of {given.services * len(KINDS):,} operations over {hours:g} h")
    print(f"{cpu_s / spans * 1e6:.2f} µs of CPU a span; slowest batch {slowest_s * 1e3:.0f} ms")
    print(f"{sum(found.values())} anomalies, {sum(found.values()) / hours:.2f} an hour")
    for (detector, rule, severity), count in sorted(found.items()):
        print(f"  {detector} {rule} SEV{severity}: {count}")
    print("\n".join(texts[:20]))


if __name__ == "__main__":
    main()
