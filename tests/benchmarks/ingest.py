"""How many spans a second a server accepts and lands, with the generator in a process of its own.

    uv run python tests/benchmarks/ingest.py --spans 200000 [--http | --json-body] [--json]
    uv run python tests/benchmarks/ingest.py --seconds 60                     what landing sustains
    uv run python tests/benchmarks/ingest.py --seconds 60 --rate 150000       acknowledgements at a given pace
    uv run python tests/benchmarks/ingest.py --total-spans 10000000           memory while so many land
    uv run python tests/benchmarks/ingest.py --catch-up-mib 1024              start after a kill, full spool

A span has 9 attributes and about 320 bytes; a request has 512 spans. The clock of "accepted" runs from the
first request sent to the last acknowledged, the clock of "landed" until the spool is empty. With --seconds
or --total-spans the same spans are sent again and again under fresh ids; a spool of 256 MiB then holds the
senders to the pace of landing, so that "landed" is what the server sustains. With --rate the spool is as
large as by default, and an acknowledgement's time runs from when its request was due. Memory is sampled
twice a second, and before the stored spans are counted, which takes memory of its own. Exits with 1 when a
span is missing or there twice.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import sys
import tempfile
import threading
from importlib.metadata import version
from pathlib import Path
from time import perf_counter, sleep, time_ns
from typing import Any

from catching_up import measure_catching_up
from otlp_load import SENDERS, SPANS_PER_REQUEST, Load, Renewed, generate, make_bodies
from own_processes import tree_cpu_s, tree_rss_bytes

__all__ = ["SENDERS", "SPANS_PER_REQUEST", "Renewed", "make_bodies", "measure"]

PACKAGES = ("duckdb", "pyarrow", "ptars", "msgspec", "grpcio", "uvicorn")
_SAMPLE_INTERVAL_S = 0.5
# A server imports what decoding needs 2 s after its start, or with the first request: half a second, once.
_SETTLE_S = 4.0
_MIB = 1 << 20


class MemoryWatch:
    """Resident memory of the server's processes over time, beside the spans landed so far."""

    def __init__(self, landed_spans: Any, others: set[int | None]) -> None:
        self._landed_spans, self._others = landed_spans, others
        self._samples: list[tuple[int, int]] = []  # spans landed, MiB
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def stop(self) -> dict[str, Any]:
        """`max_mb`, and `by_spans`: the most that was seen in each tenth of the spans."""
        self._sample()
        self._stopping.set()
        self._thread.join()
        total = max(1, self._samples[-1][0])
        tenths: dict[int, int] = {}
        for spans, mb in self._samples:
            end = (min(9, spans * 10 // total) + 1) * total // 10
            tenths[end] = max(mb, tenths.get(end, 0))
        return {"max_mb": max(mb for _, mb in self._samples), "by_spans": tenths}

    def _loop(self) -> None:
        while not self._stopping.wait(_SAMPLE_INTERVAL_S):
            self._sample()

    def _sample(self) -> None:
        self._samples.append((self._landed_spans(), tree_rss_bytes(self._others) // _MIB))


def measure(load: Load, max_seconds: float = 900) -> dict[str, Any]:
    """One server in this process, one generator beside it; everything sent is stored once in the end."""
    from collector.server import Server
    from collector.settings import Settings

    context = multiprocessing.get_context("spawn")
    is_held_back = (load.seconds or load.total_spans) and not load.spans_per_s
    with tempfile.TemporaryDirectory() as folder:
        anywhere = "127.0.0.1:0"
        settings = Settings(data=Path(folder), otlp_grpc=anywhere, otlp_http=anywhere, api=anywhere)
        if not load.spans_per_s:
            settings.spool_max_bytes = (256 if is_held_back else 4096) * _MIB
        server = Server(settings)
        addresses = server.start()
        results, go = context.Queue(), context.Event()
        generator = context.Process(target=generate, args=(addresses, load, results, go), daemon=True)
        generator.start()
        try:
            assert results.get(timeout=120) == "ready"
            sleep(_SETTLE_S)
            memory = MemoryWatch(lambda: server.lander.totals.spans, {generator.pid})
            cpu_s, started_s = tree_cpu_s({generator.pid}), perf_counter()
            go.set()
            sent = results.get(timeout=max_seconds)
            while server.spool.status()["bytes"]:
                sleep(0.005)
            landed_s = perf_counter() - started_s
            server_cpu_s = tree_cpu_s({generator.pid}) - cpu_s
            memory_mb = memory.stop()
            generator.join(10)
            span_count = sent["requests"] * SPANS_PER_REQUEST
            stored = server.store.read("SELECT count(*) AS n, count(DISTINCT span_id) AS ids FROM spans")
            if stored.to_pylist() != [{"n": span_count, "ids": span_count}]:
                sys.exit(f"{span_count} spans were acknowledged, stored are {stored.to_pylist()}")
        finally:
            generator.kill()
            server.stop()
    return {
        "mode": load.mode,
        "offered_per_s": round(load.spans_per_s) or None,
        "spans": span_count,
        "bytes_per_span": round(sent["bytes_per_span"]),
        "seconds": round(landed_s, 1),
        "accepted_per_s": round(span_count / sent["seconds"]),
        "landed_per_s": round(span_count / landed_s),
        "acknowledged_ms": sent["acknowledged_ms"],
        "refused_requests": sent["refused"],
        "server_cpu_us_per_span": round(server_cpu_s / span_count * 1e6, 1),
        "generator_cpu_us_per_span": round(sent["cpu_s"] / span_count * 1e6, 1),
        "server_rss_mb": memory_mb,
    }


def tell(found: dict[str, Any], *, as_json: bool) -> None:
    """Print figures: with their surroundings as JSON, or a line each."""
    if as_json:
        print(json.dumps({**surroundings(), **found}))
        return
    for name, value in found.items():
        print(f"{name}: {value}")


def surroundings() -> dict[str, Any]:
    """When and on what this ran."""
    return {
        "at_unix_s": time_ns() // 1_000_000_000,
        "machine": {
            "cpus": os.cpu_count(),
            "arch": platform.machine(),
            "python": platform.python_version(),
            "load_1m": os.getloadavg()[0],
        },
        "versions": {name: version(name) for name in PACKAGES},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--spans", type=int, default=0, help="distinct spans, 200,000; sent once by default")
    parser.add_argument("--seconds", type=float, default=0, help="send for this long, as fast as it lands")
    parser.add_argument("--total-spans", type=int, default=0, help="send so many, as fast as they land")
    parser.add_argument(
        "--rate", type=float, default=0, help="spans a second; with --seconds or --total-spans"
    )
    parser.add_argument("--catch-up-mib", type=int, default=0, help="spool that a killed process left behind")
    parser.add_argument("--http", action="store_true", help="OTLP/HTTP protobuf instead of gRPC")
    parser.add_argument("--json-body", action="store_true", help="OTLP/HTTP JSON instead of gRPC")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if options.rate and not (options.seconds or options.total_spans):
        parser.error("--rate needs --seconds or --total-spans")
    mode = "json" if options.json_body else "http" if options.http else "grpc"
    # JSON takes the generator 60 µs a span to prepare.
    spans = options.spans or (51_200 if mode == "json" else 204_800)
    spans = max(spans // SPANS_PER_REQUEST, 1) * SPANS_PER_REQUEST
    if options.catch_up_mib:
        result = measure_catching_up(options.catch_up_mib * _MIB, spans)
    else:
        result = measure(Load(mode, spans, options.seconds, options.total_spans, options.rate))
    result |= surroundings()
    if options.json:
        json.dump(result, sys.stdout, indent=2)
        print()
        return
    for name, value in result.items():
        print(f"{name:28} {value}")


if __name__ == "__main__":
    main()
