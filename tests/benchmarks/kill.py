"""Kills a server under load, again and again on one data folder, and compares every id in the end.

    uv run python tests/benchmarks/kill.py --rounds 50 [--inside sealing] [--seed 7]

Each round starts a server, sends spans over gRPC and HTTP and logs over HTTP while hours are sealed to
Parquet and their files rewritten, and ends it with SIGKILL: at any random moment, also when it has just
started or is catching up, or at a random moment inside one step: the spool's write, landing, a hot file,
joining or merging some, sealing, compaction, the deletion of replaced files. Without --inside the rounds take
turns. What a round got an answer for must be stored once. Spans that it got no answer for are sent again in
the next round, as exporters do, and must be stored once too; such logs, which nothing tells apart, are not.
Exits with 1 otherwise.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter, sleep
from typing import Any, NamedTuple

import duckdb
import grpc
import httpx2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SPANS_PER_REQUEST = 50
SERVER = Path(__file__).parent / "killed_server.py"
STEPS = (
    "any",
    "spool",
    "hot",
    "merging",
    "sealing",
    "compaction",
    "deletion",
    "landing",
    "joining",
)  # inside which a round may end
HOURS = 12  # few, so that each of them soon has several files to rewrite
CALLS_MAX = 4
STEP_TIMEOUT_S = 15.0  # a round whose step does not come is ended from outside

_numbers = itertools.count(1)


def make_request() -> tuple[list[str], bytes]:
    """Span ids that were never used before, and a request with them."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    ids = []
    for number in itertools.islice(_numbers, SPANS_PER_REQUEST):
        span = scope.spans.add(trace_id=number.to_bytes(16, "big"), span_id=number.to_bytes(8, "big"))
        # Another hour for each request: all get late rows again and again.
        hour = number // SPANS_PER_REQUEST % HOURS
        span.start_time_unix_nano = 1_780_000_000_000_000_000 + hour * 3_600_000_000_000 + number
        span.end_time_unix_nano = span.start_time_unix_nano
        span.attributes.add(key="text").value.string_value = "x" * 50
        ids.append(span.span_id.hex())
    return ids, request.SerializeToString()


def make_logs() -> tuple[list[str], bytes]:
    """The same of log records, whose ids stand in an attribute."""
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    ids = []
    for number in itertools.islice(_numbers, SPANS_PER_REQUEST):
        hour = number // SPANS_PER_REQUEST % HOURS
        record = scope.log_records.add()
        record.time_unix_nano = 1_780_000_000_000_000_000 + hour * 3_600_000_000_000 + number
        record.body.string_value = "y" * 100
        ids.append(f"log-{number}")
        record.attributes.add(key="id").value.string_value = ids[-1]
    return ids, request.SerializeToString()


class Sender(threading.Thread):
    """Sends until the server is gone; begins with what it got no answer for the last time."""

    def __init__(
        self,
        send: Callable[[bytes], object],
        unanswered: tuple[list[str], bytes] | None,
        make: Callable[[], tuple[list[str], bytes]] = make_request,
    ) -> None:
        super().__init__(daemon=True)
        self._send, self._make = send, make
        self.unanswered = unanswered
        self.acknowledged: list[str] = []

    def run(self) -> None:
        try:
            while True:
                self.unanswered = self.unanswered or self._make()
                ids, body = self.unanswered
                self._send(body)
                self.acknowledged += ids
                self.unanswered = None
        except (httpx2.HTTPError, grpc.RpcError):
            return


class Round(NamedTuple):
    """How one server lived."""

    acknowledged: list[str]
    unanswered: list[Any]  # for each sender of spans the request that got no answer
    unknown: list[str]  # logs that may have landed, and are not sent again
    inside: bool  # it died in the step, not from outside


def serve(folder: Path, step: str, calls: int = 0, fraction: float = 0) -> subprocess.Popen[str]:
    command = [sys.executable, str(SERVER), str(folder), step, str(calls), str(fraction)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def one_round(folder: Path, step: str, moments: random.Random, carried: list[Any]) -> Round:
    process = serve(folder, step, moments.randint(1, CALLS_MAX), moments.uniform(0, 1.1))
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line and process.wait() == -signal.SIGKILL:
        return Round([], carried, [], inside=True)  # inside the step already while it caught up
    if not line:
        sys.exit(f"the server did not start again, exit code {process.wait()}")
    addresses = json.loads(line)
    http = httpx2.Client(base_url=addresses["otlp_http"], trust_env=False)
    channel = grpc.insecure_channel(addresses["otlp_grpc"])
    export: Any = channel.unary_unary(EXPORT)
    headers = {"content-type": "application/x-protobuf"}
    sends: list[Callable[[bytes], object]] = [
        lambda body: http.post("/v1/traces", content=body, headers=headers).raise_for_status(),
        lambda body: export(body, timeout=10),
    ]
    senders = [Sender(send, unanswered) for send, unanswered in zip(sends, carried, strict=True)]
    logs = Sender(
        lambda body: http.post("/v1/logs", content=body, headers=headers).raise_for_status(), None, make_logs
    )
    for sender in (*senders, logs):
        sender.start()
    inside = ended_by_itself(process, moments.uniform(0.02, 1.2) if step == "any" else STEP_TIMEOUT_S)
    process.kill()
    process.communicate()
    for sender in (*senders, logs):
        sender.join(20)
    http.close()
    channel.close()
    acknowledged = [i for sender in (*senders, logs) for i in sender.acknowledged]
    unknown = logs.unanswered[0] if logs.unanswered else []
    return Round(acknowledged, [sender.unanswered for sender in senders], unknown, inside)


def ended_by_itself(process: subprocess.Popen[str], timeout_s: float) -> bool:
    try:
        return process.wait(timeout_s) == -signal.SIGKILL
    except subprocess.TimeoutExpired:
        return False


def stored_ids(folder: Path) -> list[str]:
    """Let a last server land what is left, stop it cleanly, and read the file itself."""
    process = serve(folder, "any")
    assert process.stdout is not None
    api = json.loads(process.stdout.readline())["api"]
    with httpx2.Client(base_url=api, trust_env=False) as client:
        while client.get("/readyz").json()["checks"]["spool"]["bytes"]:
            sleep(0.02)
    process.terminate()
    process.communicate(timeout=60)
    with duckdb.connect(str(folder / "spyhop.duckdb"), read_only=True) as con:
        ids = "SELECT span_id FROM spans UNION ALL SELECT attributes['id']::VARCHAR FROM logs"
        return [row[0] for row in con.execute(ids).fetchall()]


_KNOWN_FILES = "SELECT path FROM lake_files UNION SELECT path FROM lake_writes"


def unlisted_files(folder: Path) -> int:
    """Lake and hot files that no transaction knows of: what a crash has left and nobody will remove.

    A file that stands in `lake_writes` is known: the last stop interrupted it, and a start removes it.
    """
    with duckdb.connect(str(folder / "spyhop.duckdb"), read_only=True) as con:
        known = {path for (path,) in con.execute(_KNOWN_FILES).fetchall()}
        hot = {path for (path,) in con.execute("SELECT path FROM hot_files").fetchall()}
    lake = folder / "lake"
    unlisted = sum(path.relative_to(lake).as_posix() not in known for path in lake.glob("*/date=*/hour=*/*"))
    return unlisted + sum(
        path.relative_to(folder).as_posix() not in hot for path in folder.glob("hot/*/*.parquet")
    )


def run(rounds: int, seed: int, steps: Sequence[str]) -> dict[str, Any]:
    moments = random.Random(seed)
    acknowledged: set[str] = set()
    unknown: set[str] = set()  # stored or not: both are right
    carried: list[Any] = [None, None]
    started_s = perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inside = dict.fromkeys(steps, 0)
        for number in range(rounds):
            step = steps[number % len(steps)]
            lived = one_round(folder, step, moments, carried)
            carried = lived.unanswered
            acknowledged |= set(lived.acknowledged)
            unknown |= set(lived.unknown)
            inside[step] += lived.inside
        stored = stored_ids(folder)
        files = len(list(folder.glob("lake/*/*/*/*.parquet")))
        unlisted = unlisted_files(folder)
    unknown |= {i for request in carried if request for i in request[0]}
    return {
        "rounds": rounds,
        "ended_inside": {step: count for step, count in inside.items() if step != "any"},
        "acknowledged": len(acknowledged),
        "sealed_files": files,
        "unlisted_files": unlisted,
        "lost": len(acknowledged - set(stored)),
        "twice": len(stored) - len(set(stored)),
        "never_sent": len(set(stored) - acknowledged - unknown),
        "seconds": round(perf_counter() - started_s, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--inside", choices=STEPS, help="the step in which every round ends")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    result = run(options.rounds, options.seed, [options.inside] if options.inside else STEPS)
    print(json.dumps(result))
    sys.exit(any(result[fault] for fault in ("lost", "twice", "never_sent", "unlisted_files")))


if __name__ == "__main__":
    main()
