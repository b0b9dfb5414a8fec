"""How many spans a second a server accepts and lands, with the generator in a process of its own.

    uv run python tests/benchmarks/ingest.py --spans 200000 [--http | --json-body] [--json]

A span has 9 attributes and about 320 bytes; a request has 512 spans. The clock of "accepted" runs from the
first request sent to the last acknowledged, the clock of "landed" until the spool is empty.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import queue
import resource
import sys
import tempfile
import threading
from importlib.metadata import version
from pathlib import Path
from time import perf_counter, sleep, time_ns
from typing import Any

SPANS_PER_REQUEST = 512
SENDERS = 4
PACKAGES = ("duckdb", "pyarrow", "ptars", "grpcio", "uvicorn")


def make_bodies(span_count: int) -> list[bytes]:
    """Requests of distinct spans: 50 services, 500 operations, 10 spans a trace."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    bodies = []
    for first in range(0, span_count, SPANS_PER_REQUEST):
        request = ExportTraceServiceRequest()
        envelope = request.resource_spans.add()
        service = f"service-{first // SPANS_PER_REQUEST % 50:02d}"
        attribute(envelope.resource, "service.name", string_value=service)
        scope = envelope.scope_spans.add()
        scope.scope.name = "bench"
        for number in range(first, min(first + SPANS_PER_REQUEST, span_count)):
            start_ns = 1_790_000_000_000_000_000 + number * 10_000
            span = scope.spans.add(
                trace_id=(number // 10 + 1).to_bytes(16, "big"),
                span_id=(number + 1).to_bytes(8, "big"),
                parent_span_id=b"" if number % 10 == 0 else (number // 10 * 10 + 1).to_bytes(8, "big"),
                name=f"GET /resource/{number % 500}",
                kind=2 + number % 2,
                start_time_unix_nano=start_ns,
                end_time_unix_nano=start_ns + 1_000_000 + number % 997 * 1000,
            )
            attribute(span, "http.request.method", string_value="GET")
            attribute(span, "http.route", string_value=f"/resource/{number % 500}")
            attribute(span, "http.response.status_code", int_value=200 + number % 5)
            attribute(span, "server.address", string_value="10.0.0.1")
            attribute(span, "server.port", int_value=8080)
            attribute(span, "user.id", string_value=f"user-{number % 10007}")
            attribute(span, "cache.hit", bool_value=number % 3 == 0)
            attribute(span, "amount", double_value=number * 0.25)
            attribute(span, "thread.name", string_value="worker-1")
        bodies.append(request.SerializeToString())
    return bodies


def attribute(owner: Any, key: str, **value: Any) -> None:
    item = owner.attributes.add(key=key)
    for name, member in value.items():
        setattr(item.value, name, member)


def generate(addresses: dict[str, str], span_count: int, mode: str, results: Any, go: Any) -> None:
    """Runs in its own process: prepare, wait for the start, send with a few threads, report the seconds."""
    import grpc
    import httpx2

    bodies: queue.Queue[bytes] = queue.Queue()
    total_bytes = 0
    for protobuf in make_bodies(span_count):
        body = as_json(protobuf) if mode == "json" else protobuf
        total_bytes += len(body)
        bodies.put(body)
    acknowledged_ms: list[float] = []

    def work() -> None:
        if mode == "grpc":
            options = [("grpc.use_local_subchannel_pool", 1)]  # a connection for each thread
            channel = grpc.insecure_channel(addresses["otlp_grpc"], options=options)
            send = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        else:
            client = httpx2.Client(base_url=addresses["otlp_http"], trust_env=False)
            kind = "application/json" if mode == "json" else "application/x-protobuf"

            def send(body: bytes) -> None:
                client.post("/v1/traces", content=body, headers={"content-type": kind}).raise_for_status()

        while True:
            try:
                body = bodies.get_nowait()
            except queue.Empty:
                return
            sent_s = perf_counter()
            send(body)
            acknowledged_ms.append((perf_counter() - sent_s) * 1000)

    results.put("ready")
    go.wait()
    started_s = perf_counter()
    threads = [threading.Thread(target=work) for _ in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    acknowledged_ms.sort()
    results.put(
        {
            "seconds": perf_counter() - started_s,
            "bytes": total_bytes,
            "p99_ms": acknowledged_ms[int(len(acknowledged_ms) * 0.99)],
        }
    )


def as_json(body: bytes) -> bytes:
    import base64

    from google.protobuf import json_format
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    document = json_format.MessageToDict(ExportTraceServiceRequest.FromString(body))
    for span in document["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for name in ("traceId", "spanId", "parentSpanId"):
            if name in span:
                span[name] = base64.b64decode(span[name]).hex()
    return json.dumps(document).encode()


def measure(span_count: int, mode: str) -> dict[str, Any]:
    from collector.server import Server
    from collector.settings import Settings

    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        anywhere = "127.0.0.1:0"
        server = Server(Settings(data=Path(folder), otlp_grpc=anywhere, otlp_http=anywhere, api=anywhere))
        addresses = server.start()
        results, go = context.Queue(), context.Event()
        generator = context.Process(target=generate, args=(addresses, span_count, mode, results, go))
        generator.start()
        assert results.get() == "ready"
        started_s = perf_counter()
        go.set()
        sent = results.get()
        while server._spool.status()["bytes"]:
            sleep(0.005)
        landed_s = perf_counter() - started_s
        generator.join()
        (row,) = server.store.read(
            "SELECT count(*) AS n, count(DISTINCT span_id) AS ids FROM spans"
        ).to_pylist()
        assert row == {"n": span_count, "ids": span_count}, row
        server.stop()
    return {
        "mode": mode,
        "spans": span_count,
        "bytes_per_span": round(sent["bytes"] / span_count),
        "accepted_per_s": round(span_count / sent["seconds"]),
        "landed_per_s": round(span_count / landed_s),
        "acknowledged_p99_ms": round(sent["p99_ms"], 1),
        "server_max_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
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
    parser.add_argument("--spans", type=int, default=200_000)
    parser.add_argument("--http", action="store_true", help="OTLP/HTTP protobuf instead of gRPC")
    parser.add_argument("--json-body", action="store_true", help="OTLP/HTTP JSON instead of gRPC")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    mode = "json" if options.json_body else "http" if options.http else "grpc"
    result = measure(options.spans, mode)
    if options.json:
        json.dump(result, sys.stdout, indent=2)
        print()
        return
    for name, value in result.items():
        print(f"{name:24} {value}")


if __name__ == "__main__":
    main()
