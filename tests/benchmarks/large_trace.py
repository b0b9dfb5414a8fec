"""One trace of 200,000 spans: how long until it has landed, is shown and is explained, and in what memory.

    uv run python tests/benchmarks/large_trace.py [--spans 200000] [--json]

The trace is a chain; every span of it has nine children. "landed" runs from the first request to the empty
spool; "shown" is GET /api/monitor/trace/{id}, which says how much it leaves out; "explained" is POST
/api/monitor/analyze without a model. Memory is resident, above that before each step.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, sleep, time_ns
from typing import Any

import httpx2
from ingest import surroundings
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from own_processes import tree_rss_bytes

TRACE_ID = bytes(range(1, 17))
SPANS_PER_REQUEST = 2_000
_MIB = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spans", type=int, default=200_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = {**surroundings(), **measure(options.spans)}
    print(json.dumps(result) if options.json else "\n".join(f"{k:>24}  {v}" for k, v in result.items()))


def measure(span_count: int) -> dict[str, Any]:
    import spyhop
    from collector.server import Server
    from collector.settings import Settings

    bodies = list(requests(span_count, time_ns() - 60_000_000_000))
    with tempfile.TemporaryDirectory() as folder:
        anywhere = "127.0.0.1:0"
        settings = Settings(data=Path(folder) / "d", otlp_grpc=anywhere, otlp_http=anywhere, api=anywhere)
        server = Server(settings, spyhop.build_services)
        addresses = server.start()
        try:
            sleep(4)
            with httpx2.Client(base_url=addresses["api"], timeout=120, trust_env=False) as api:
                landed_s, landed_mb = _timed(lambda: _land(server, addresses["otlp_http"], bodies))
                path = f"/api/monitor/trace/{TRACE_ID.hex()}"
                shown_s, shown_mb = _timed(lambda: _checked(api.get(path)))
                trace = api.get(path).json()
                body = {"trace_id": TRACE_ID.hex()}
                explained_s, explained_mb = _timed(
                    lambda: _checked(api.post("/api/monitor/analyze", json=body))
                )
        finally:
            server.stop()
    return {
        "spans": span_count,
        "landed": {"s": landed_s, "mb": landed_mb},
        "shown": {"s": shown_s, "mb": shown_mb, "spans": len(trace["spans"])},
        "explained": {"s": explained_s, "mb": explained_mb},
    }


def requests(span_count: int, start_ns: int) -> Iterator[bytes]:
    """The trace, in requests of 2,000 spans."""
    for first in range(0, span_count, SPANS_PER_REQUEST):
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        resource.resource.attributes.add(key="service.name").value.string_value = f"service-{first % 7}"
        spans = resource.scope_spans.add().spans
        for number in range(first, min(first + SPANS_PER_REQUEST, span_count)):
            parent = number - number % 10 - (10 if number % 10 == 0 else 0)
            spans.add(
                trace_id=TRACE_ID,
                span_id=(number + 1).to_bytes(8, "big"),
                parent_span_id=b"" if number == 0 else (max(parent, 0) + 1).to_bytes(8, "big"),
                name=f"step-{number % 40}",
                start_time_unix_nano=start_ns + number * 1_000,
                end_time_unix_nano=start_ns + (2 * span_count - number) * 1_000,
            )
        yield request.SerializeToString()


def _land(server: Any, otlp_http: str, bodies: list[bytes]) -> None:
    with httpx2.Client(base_url=otlp_http, timeout=60, trust_env=False) as otlp:
        for body in bodies:
            headers = {"content-type": "application/x-protobuf"}
            otlp.post("/v1/traces", content=body, headers=headers).raise_for_status()
    while server.spool.status()["bytes"]:
        sleep(0.01)


def _checked(answer: httpx2.Response) -> None:
    if answer.status_code != 200:
        sys.exit(f"{answer.request.url} answered {answer.status_code}: {answer.text[:300]}")


def _timed(work: Any) -> tuple[float, int]:
    """Seconds, and the most resident memory in MiB above that at the start."""
    before, most, done = tree_rss_bytes(set()), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            most[0] = max(most[0], tree_rss_bytes(set()))

    watching = threading.Thread(target=watch)
    watching.start()
    started_s = perf_counter()
    work()
    seconds = perf_counter() - started_s
    done.set()
    watching.join()
    return round(seconds, 2), max(0, most[0] - before) // _MIB


if __name__ == "__main__":
    main()
