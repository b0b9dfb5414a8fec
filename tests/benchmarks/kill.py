"""Kills a server under load, again and again on one data folder, and compares every span id in the end.

    uv run python tests/benchmarks/kill.py --rounds 50 [--seed 7]

Each round starts a server, sends over gRPC and HTTP at once while hours are sealed to Parquet, and ends it
with SIGKILL at a random moment, also when it has just started or is catching up. What a round got an answer
for must be stored once; what it got no answer for is sent again in the next round, as exporters do, and must
be stored once too. Exits with 1 otherwise.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import duckdb
import grpc
import httpx2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SPANS_PER_REQUEST = 50
SERVE = """
import json, sys
from pathlib import Path
from collector.server import run
from collector.settings import Settings
anywhere = "127.0.0.1:0"
settings = Settings(data=Path(sys.argv[1]), otlp_grpc=anywhere, otlp_http=anywhere, api=anywhere,
                    land_interval_ms=20, spool_segment_bytes=65536,
                    seal_settle_min=0, seal_interval_s=0.1)
run(settings, on_ready=lambda addresses: print(json.dumps(addresses), flush=True))
"""

_numbers = itertools.count(1)


def make_request() -> tuple[list[str], bytes]:
    """Span ids that were never used before, and a request with them."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    ids = []
    for number in itertools.islice(_numbers, SPANS_PER_REQUEST):
        span = scope.spans.add(trace_id=number.to_bytes(16, "big"), span_id=number.to_bytes(8, "big"))
        # Another hour for each request, so that some are always being sealed.
        hour = number // SPANS_PER_REQUEST % 500
        span.start_time_unix_nano = 1_780_000_000_000_000_000 + hour * 3_600_000_000_000 + number
        span.end_time_unix_nano = span.start_time_unix_nano
        span.attributes.add(key="text").value.string_value = "x" * 50
        ids.append(span.span_id.hex())
    return ids, request.SerializeToString()


class Sender(threading.Thread):
    """Sends until the server is gone; begins with what it got no answer for the last time."""

    def __init__(self, send: Callable[[bytes], object], unanswered: tuple[list[str], bytes] | None) -> None:
        super().__init__(daemon=True)
        self._send = send
        self.unanswered = unanswered
        self.acknowledged: list[str] = []

    def run(self) -> None:
        try:
            while True:
                self.unanswered = self.unanswered or make_request()
                ids, body = self.unanswered
                self._send(body)
                self.acknowledged += ids
                self.unanswered = None
        except (httpx2.HTTPError, grpc.RpcError):
            return


def one_round(folder: Path, alive_s: float, carried: list[Any]) -> tuple[list[str], list[Any]]:
    """The ids acknowledged, and for each sender the request that got no answer."""
    process = subprocess.Popen([sys.executable, "-c", SERVE, folder], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        sys.exit(f"the server did not start again, exit code {process.wait()}")
    addresses = json.loads(line)
    http = httpx2.Client(base_url=addresses["otlp_http"], trust_env=False)
    channel = grpc.insecure_channel(addresses["otlp_grpc"])
    export = channel.unary_unary(EXPORT)
    headers = {"content-type": "application/x-protobuf"}
    sends: list[Callable[[bytes], object]] = [
        lambda body: http.post("/v1/traces", content=body, headers=headers).raise_for_status(),
        lambda body: export(body, timeout=10),
    ]
    senders = [Sender(send, unanswered) for send, unanswered in zip(sends, carried, strict=True)]
    for sender in senders:
        sender.start()
    sleep(alive_s)
    process.kill()
    process.communicate()
    for sender in senders:
        sender.join(20)
    http.close()
    channel.close()
    return [i for sender in senders for i in sender.acknowledged], [sender.unanswered for sender in senders]


def stored_ids(folder: Path) -> list[str]:
    """Let a last server land what is left, stop it cleanly, and read the file itself."""
    process = subprocess.Popen([sys.executable, "-c", SERVE, folder], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    api = json.loads(process.stdout.readline())["api"]
    with httpx2.Client(base_url=api, trust_env=False) as client:
        while client.get("/readyz").json()["checks"]["spool"]["bytes"]:
            sleep(0.02)
    process.terminate()
    process.communicate(timeout=20)
    with duckdb.connect(str(folder / "spyhop.duckdb"), read_only=True) as con:
        return [row[0] for row in con.execute("SELECT span_id FROM spans").fetchall()]


def run(rounds: int, seed: int) -> dict[str, int | float]:
    moments = random.Random(seed)
    acknowledged: set[str] = set()
    carried: list[Any] = [None, None]
    started_s = perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for _ in range(rounds):
            answered, carried = one_round(folder, moments.uniform(0.02, 1.2), carried)
            acknowledged |= set(answered)
        stored = stored_ids(folder)
        sealed_files = len(list(folder.rglob("*.parquet")))
    unknown = {i for request in carried if request for i in request[0]}  # stored or not: both are right
    return {
        "rounds": rounds,
        "acknowledged": len(acknowledged),
        "sealed_files": sealed_files,
        "lost": len(acknowledged - set(stored)),
        "twice": len(stored) - len(set(stored)),
        "never_sent": len(set(stored) - acknowledged - unknown),
        "seconds": round(perf_counter() - started_s, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    result = run(options.rounds, options.seed)
    print(json.dumps(result))
    sys.exit(bool(result["lost"] or result["twice"] or result["never_sent"]))


if __name__ == "__main__":
    main()
