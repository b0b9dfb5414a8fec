"""How many spans a second a server accepts and lands, with the generator in a process of its own.

    uv run python tests/benchmarks/ingest.py --spans 200000 [--http | --json-body] [--json]
    uv run python tests/benchmarks/ingest.py --seconds 60

A span has 9 attributes and about 320 bytes; a request has 512 spans. The clock of "accepted" runs from the
first request sent to the last acknowledged, the clock of "landed" until the spool is empty. With --seconds
the same spans are sent again and again under fresh ids; a spool of 64 MiB then holds the senders to the pace
of landing, so that "landed" is what the server sustains.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import platform
import queue
import resource
import sys
import tempfile
import threading
from collections.abc import Iterator
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


class Renewed:
    """Bodies without end: the same ones, each round under ids of its own."""

    def __init__(self, bodies: list[bytes]) -> None:
        import numpy as np

        self._bodies = [np.frombuffer(body, dtype=np.uint8) for body in bodies]
        # The first two bytes of every id are zero in `make_bodies`: they take the number of the round.
        self._places = [np.array(list(id_places(body))) for body in bodies]
        self._numbers = itertools.count()

    def take(self) -> bytes:
        turn, index = divmod(next(self._numbers), len(self._bodies))
        body = self._bodies[index].copy()
        body[self._places[index]] = turn >> 8
        body[self._places[index] + 1] = turn & 0xFF
        return body.tobytes()


def id_places(body: bytes) -> Iterator[int]:
    """Where the ids of all spans begin: tag and length, then at least two bytes that are zero."""
    for tag in (b"\x0a\x10\0\0\0\0", b"\x12\x08\0\0\0\0", b"\x22\x08\0\0\0\0"):
        place = body.find(tag)
        while place >= 0:
            yield place + 2
            place = body.find(tag, place + 2)


def generate(  # noqa: PLR0917  # a process starts with positional arguments
    addresses: dict[str, str], span_count: int, mode: str, seconds: float, results: Any, go: Any
) -> None:
    """Runs in its own process: prepare, wait for the start, send with a few threads, report the seconds."""
    import grpc
    import httpx2

    prepared = [as_json(body) if mode == "json" else body for body in make_bodies(span_count)]
    bytes_per_span = sum(map(len, prepared)) / span_count
    bodies: queue.Queue[bytes] = queue.Queue()
    for body in prepared:
        bodies.put(body)
    take = Renewed(prepared).take if seconds else bodies.get_nowait
    refusals = (grpc.RpcError, httpx2.HTTPStatusError)
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

        while not seconds or perf_counter() - started_s < seconds:
            try:
                body = take()
            except queue.Empty:
                return
            while True:
                sent_s = perf_counter()
                try:
                    send(body)
                    break
                except refusals:
                    if not seconds:
                        raise
                    sleep(0.05)  # the spool is full: as a client does, try again later
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
            "bytes_per_span": bytes_per_span,
            "requests": len(acknowledged_ms),
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


def measure(span_count: int, mode: str, seconds: float = 0) -> dict[str, Any]:
    from collector.server import Server
    from collector.settings import Settings

    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        anywhere = "127.0.0.1:0"
        spool_max_bytes = (64 if seconds else 4096) << 20
        settings = Settings(
            data=Path(folder),
            otlp_grpc=anywhere,
            otlp_http=anywhere,
            api=anywhere,
            spool_max_bytes=spool_max_bytes,
        )
        server = Server(settings)
        addresses = server.start()
        results, go = context.Queue(), context.Event()
        generator = context.Process(target=generate, args=(addresses, span_count, mode, seconds, results, go))
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
        if seconds:
            span_count = sent["requests"] * SPANS_PER_REQUEST
        assert row == {"n": span_count, "ids": span_count}, row
        server.stop()
    return {
        "mode": mode,
        "spans": span_count,
        "bytes_per_span": round(sent["bytes_per_span"]),
        "seconds": round(landed_s, 1),
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
    parser.add_argument("--seconds", type=float, default=0, help="send for this long, as fast as it lands")
    parser.add_argument("--http", action="store_true", help="OTLP/HTTP protobuf instead of gRPC")
    parser.add_argument("--json-body", action="store_true", help="OTLP/HTTP JSON instead of gRPC")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if options.seconds and options.json_body:
        parser.error("--seconds renews protobuf bodies only")
    options.spans = options.spans // SPANS_PER_REQUEST * SPANS_PER_REQUEST or SPANS_PER_REQUEST
    mode = "json" if options.json_body else "http" if options.http else "grpc"
    result = measure(options.spans, mode, options.seconds)
    if options.json:
        json.dump(result, sys.stdout, indent=2)
        print()
        return
    for name, value in result.items():
        print(f"{name:24} {value}")


if __name__ == "__main__":
    main()
