"""The spans that benchmarks send, and a process that sends them."""

from __future__ import annotations

import itertools
import json
import os
import queue
import threading
from collections.abc import Callable, Iterator
from time import perf_counter, sleep
from typing import Any, NamedTuple

SPANS_PER_REQUEST = 512
SENDERS = 4
TRACES_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_REFUSED_PAUSE_S = 0.05  # after "the spool is full", as a client does


class Load(NamedTuple):
    """The requests of a generator."""

    mode: str  # grpc, http or json
    distinct_spans: int  # sent again and again under fresh ids, unless neither of the next two is set
    seconds: float = 0  # send for this long
    total_spans: int = 0  # send so many
    spans_per_s: float = 0  # at this pace; 0: as fast as they are taken


def _requests(count: int) -> Iterator[tuple[str, range]]:
    """The service of each request, and the numbers of its rows."""
    for first in range(0, count, SPANS_PER_REQUEST):
        service = f"service-{first // SPANS_PER_REQUEST % 50:02d}"
        yield service, range(first, min(first + SPANS_PER_REQUEST, count))


def make_bodies(span_count: int) -> list[bytes]:
    """Requests of distinct spans: 50 services, 500 operations, 10 spans a trace."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    bodies = []
    for service, numbers in _requests(span_count):
        request = ExportTraceServiceRequest()
        envelope = request.resource_spans.add()
        attribute(envelope.resource, "service.name", string_value=service)
        scope = envelope.scope_spans.add()
        scope.scope.name = "bench"
        for number in numbers:
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


def make_log_bodies(record_count: int) -> list[bytes]:
    """Requests of distinct log records: 50 services, 40 forms of text, 6 attributes, half within a trace."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    bodies = []
    for service, numbers in _requests(record_count):
        request = ExportLogsServiceRequest()
        envelope = request.resource_logs.add()
        attribute(envelope.resource, "service.name", string_value=service)
        scope = envelope.scope_logs.add()
        scope.scope.name = "bench"
        for number in numbers:
            time_ns = 1_790_000_000_000_000_000 + number * 10_000
            record = scope.log_records.add(
                time_unix_nano=time_ns,
                observed_time_unix_nano=time_ns + 1_000_000,
                trace_id=(number // 10 + 1).to_bytes(16, "big") if number % 2 else b"",
                span_id=(number + 1).to_bytes(8, "big") if number % 2 else b"",
                severity_number=9 + number % 3 * 4,
                severity_text=("INFO", "WARN", "ERROR")[number % 3],
            )
            record.body.string_value = (
                f"step {number % 40} of order {number} took {number % 997} ms for user-{number % 10007}"
            )
            attribute(record, "code.function", string_value=f"handle_{number % 40}")
            attribute(record, "code.lineno", int_value=number % 40 * 7)
            attribute(record, "thread.name", string_value="worker-1")
            attribute(record, "user.id", string_value=f"user-{number % 10007}")
            attribute(record, "cache.hit", bool_value=number % 3 == 0)
            attribute(record, "amount", double_value=number * 0.25)
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
        self._is_json = bodies[0].startswith(b"{")
        # The first two bytes of every id are zero in `make_bodies`: they take the number of the round.
        places_of = json_id_places if self._is_json else id_places
        self._places = [np.array(list(places_of(body))) for body in bodies]
        self._numbers = itertools.count()

    def take(self) -> bytes:
        turn, index = divmod(next(self._numbers), len(self._bodies))
        body = self._bodies[index].copy()
        marks = f"{turn:04x}".encode() if self._is_json else turn.to_bytes(2, "big")
        for offset, mark in enumerate(marks):
            body[self._places[index] + offset] = mark
        return body.tobytes()


def id_places(body: bytes) -> Iterator[int]:
    """Where the ids of all spans begin: tag and length, then at least two bytes that are zero."""
    for tag in (b"\x0a\x10\0\0\0\0", b"\x12\x08\0\0\0\0", b"\x22\x08\0\0\0\0"):
        yield from _behind(body, tag, 2)


def json_id_places(body: bytes) -> Iterator[int]:
    """The same in OTLP JSON, where four digits are two bytes."""
    for name in (b'"traceId": "', b'"spanId": "', b'"parentSpanId": "'):
        yield from _behind(body, name, len(name))


def _behind(body: bytes, mark: bytes, size: int) -> Iterator[int]:
    place = body.find(mark)
    while place >= 0:
        yield place + size
        place = body.find(mark, place + size)


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


def generate(addresses: dict[str, str], load: Load, results: Any, go: Any, stop: Any = None) -> None:
    """Runs in its own process: prepare, wait for the start, send with a few threads until the load is over or
    the event `stop` is set, report."""
    prepared = [as_json(b) if load.mode == "json" else b for b in make_bodies(load.distinct_spans)]
    bodies: queue.Queue[bytes] = queue.Queue()
    for body in prepared:
        bodies.put(body)
    is_endless = bool(load.seconds or load.total_spans)
    take = Renewed(prepared).take if is_endless else bodies.get_nowait
    request_limit = -(-load.total_spans // SPANS_PER_REQUEST) or 2**62
    request_numbers = itertools.count()
    results.put("ready")
    go.wait()
    started_s, prepared_cpu_s = perf_counter(), sum(os.times()[:2])
    acknowledged_ms: list[float] = []
    refused = itertools.count()

    def work() -> None:
        send, refusals = sender(addresses, load.mode)
        for number in request_numbers:
            if number >= request_limit or (load.seconds and perf_counter() - started_s >= load.seconds):
                return
            if stop is not None and stop.is_set():
                return
            try:
                body = take()
            except queue.Empty:
                return
            # At a given pace the clock runs from when a request was due: a late one counts as slow.
            due_s = perf_counter()
            if load.spans_per_s:
                due_s = started_s + number * SPANS_PER_REQUEST / load.spans_per_s
                sleep(max(0.0, due_s - perf_counter()))
            while True:
                sent_s = perf_counter()
                try:
                    send(body)
                    break
                except refusals:
                    if not is_endless:
                        raise
                    next(refused)
                    sleep(_REFUSED_PAUSE_S)
            acknowledged_ms.append((perf_counter() - (due_s if load.spans_per_s else sent_s)) * 1000)

    # At a given pace more senders than needed: one that waits must not delay what is due after it.
    threads = [threading.Thread(target=work) for _ in range(2 * SENDERS if load.spans_per_s else SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = perf_counter() - started_s
    results.put(
        {
            "seconds": seconds,
            "bytes_per_span": sum(map(len, prepared)) / load.distinct_spans,
            "requests": len(acknowledged_ms),
            "refused": next(refused),
            "acknowledged_ms": percentiles(acknowledged_ms),
            "cpu_s": sum(os.times()[:2]) - prepared_cpu_s,
        }
    )


def sender(
    addresses: dict[str, str], mode: str
) -> tuple[Callable[[bytes], object], tuple[type[Exception], ...]]:
    """A call that returns when a request is acknowledged, on a connection of its own; and its refusals."""
    import grpc
    import httpx2

    if mode == "grpc":
        options = [("grpc.use_local_subchannel_pool", 1)]
        channel = grpc.insecure_channel(addresses["otlp_grpc"], options=options)
        return channel.unary_unary(TRACES_EXPORT), (grpc.RpcError,)
    client = httpx2.Client(base_url=addresses["otlp_http"], trust_env=False)
    kind = "application/json" if mode == "json" else "application/x-protobuf"

    def send(body: bytes) -> None:
        client.post("/v1/traces", content=body, headers={"content-type": kind}).raise_for_status()

    return send, (httpx2.HTTPStatusError,)


def percentiles(values_ms: list[float]) -> dict[str, float]:
    """`p50`, `p99` and `max` in milliseconds."""
    ordered = sorted(values_ms)
    places = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {name: round(ordered[int((len(ordered) - 1) * q)], 1) for name, q in places.items()}
