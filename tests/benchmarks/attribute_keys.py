"""What distinct attribute keys cost beside ordinary telemetry: landing, memory, a kill, a restart, sealing.

    uv run python tests/benchmarks/attribute_keys.py [--keys 100000] [--kind span …] [--json]

Each kind runs twice over real HTTP against `spyhop serve`: with one and the same key in every item, and with
a key of its own in each. Both have nine usual attributes beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep, time_ns
from typing import Any

import duckdb
import httpx2
import pyarrow as pa
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from collector.store.lock import read_owner

ITEMS_PER_REQUEST = 500
HOUR_NS = 3_600_000_000_000
START_TIMEOUT_S, LAND_TIMEOUT_S, SEAL_TIMEOUT_S = 90.0, 120.0, 120.0
# The view, and an expression that reads the key `k` of an item from it.
KINDS = {
    "span": ("spans", "attributes[{}]"),
    "nested": ("spans", "attributes['map'][{}]"),
    "resource": ("spans", "resource_attributes[{}]"),
    "event": ("spans", "events[1].attributes[{}]"),
    "log": ("logs", "attributes[{}]"),
    "body": ("logs", "body[{}]"),
    "metric": ("metrics", "attributes[{}]"),
}


def requests(kind: str, count: int, *, distinct: bool) -> Iterator[tuple[str, bytes]]:
    """HTTP paths and bodies of `count` items, a few hours old."""
    start_ns = time_ns() // HOUR_NS * HOUR_NS - 5 * HOUR_NS
    for first in range(0, count, ITEMS_PER_REQUEST):
        numbers = range(first, min(count, first + ITEMS_PER_REQUEST))
        yield _request(kind, start_ns, [(n, f"key.{n}" if distinct else "key.0") for n in numbers])


def _request(kind: str, start_ns: int, items: list[tuple[int, str]]) -> tuple[str, bytes]:
    match KINDS[kind][0]:
        case "spans":
            return "/v1/traces", _spans(kind, start_ns, items).SerializeToString()
        case "logs":
            return "/v1/logs", _logs(kind, start_ns, items).SerializeToString()
        case _:
            return "/v1/metrics", _points(start_ns, items).SerializeToString()


def _spans(kind: str, start_ns: int, items: list[tuple[int, str]]) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    for number, key in items:
        if kind == "resource" or not request.resource_spans:
            resource = request.resource_spans.add()
            resource.resource.attributes.append(_pair("service.name", "keys"))
            scope = resource.scope_spans.add()
            if kind == "resource":
                resource.resource.attributes.append(_pair(key, number))
        span = scope.spans.add(
            trace_id=(number + 1).to_bytes(16, "big"),
            span_id=(number + 1).to_bytes(8, "big"),
            name="op",
            start_time_unix_nano=start_ns + number,
            end_time_unix_nano=start_ns + number + 1000,
            attributes=_usual(number),
        )
        if kind == "span":
            span.attributes.append(_pair(key, number))
        elif kind == "nested":
            span.attributes.add(key="map").value.kvlist_value.values.append(_pair(key, number))
        elif kind == "event":
            span.events.add(name="e", time_unix_nano=start_ns).attributes.append(_pair(key, number))
    return request


def _logs(kind: str, start_ns: int, items: list[tuple[int, str]]) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for number, key in items:
        record = records.add(time_unix_nano=start_ns + number, attributes=_usual(number))
        pairs = record.body.kvlist_value.values if kind == "body" else record.attributes
        pairs.append(_pair(key, number))
    return request


def _points(start_ns: int, items: list[tuple[int, str]]) -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    for number, key in items:
        attributes = [*_usual(number), _pair(key, number)]
        metric.gauge.data_points.add(time_unix_nano=start_ns + number, as_int=number, attributes=attributes)
    return request


def _usual(number: int) -> list[KeyValue]:
    return [_pair(f"usual.{place}", f"value {number % 7}") for place in range(9)]


def _pair(key: str, value: str | int) -> KeyValue:
    member = {"string_value": value} if isinstance(value, str) else {"int_value": value}
    return KeyValue(key=key, value=AnyValue(**member))


# `spyhop serve` that seals what has just landed.
SEAL_SOON = """
import collector.settings, spyhop

class Settings(collector.settings.Settings):
    seal_settle_min: float = 0.0
    seal_interval_s: float = 1.0

collector.settings.Settings = Settings
spyhop.main()
"""


class Served:
    """`spyhop serve` on a folder, and the most memory that it and its children have had together."""

    def __init__(self, folder: Path, *, seals: bool) -> None:
        self.folder = folder
        anywhere = {f"SPYHOP_{name}": "127.0.0.1:0" for name in ("OTLP_GRPC", "OTLP_HTTP", "API")}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", SEAL_SOON, "serve", "--data", str(folder)],
            env={**os.environ, **anywhere, **({} if seals else {"SPYHOP_SEAL_AFTER_MIN": "0"})},
            stdout=subprocess.DEVNULL,
        )
        self.peak_mb = 0
        threading.Thread(target=self._watch, daemon=True).start()
        addresses: dict[str, Any] = {}
        deadline_s = monotonic() + START_TIMEOUT_S
        while addresses.get("pid") != self.process.pid or "api" not in addresses:
            if self.process.poll() is not None or monotonic() > deadline_s:
                self.process.kill()
                sys.exit("the server does not start")
            sleep(0.05)
            addresses = read_owner(folder)
        self.http = httpx2.Client(base_url=addresses["otlp_http"], trust_env=False, timeout=60)
        self.api = httpx2.Client(base_url=addresses["api"], trust_env=False, timeout=60)

    def ready(self) -> dict[str, Any]:
        checks: dict[str, Any] = self.api.get("/readyz").json()["checks"]
        return checks

    def sql(self, query: str) -> list[list[Any]]:
        answer = self.api.post("/api/sql", json={"query": query})
        answer.raise_for_status()
        rows: list[list[Any]] = answer.json()["rows"]
        return rows

    def wait(self, query: str, expected: int, timeout_s: float) -> float:
        """Seconds until the query gives that number."""
        started_s = monotonic()
        while self.sql(query) != [[expected]]:
            if monotonic() - started_s > timeout_s:
                sys.exit(f"not within {timeout_s} s: {query} = {expected}")
            sleep(0.1)
        return round(monotonic() - started_s, 2)

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)

    def _watch(self) -> None:
        while self.process.poll() is None:
            self.peak_mb = max(self.peak_mb, _tree_rss_mb(self.process.pid))
            sleep(0.02)


def _tree_rss_mb(pid: int) -> int:
    total = 0
    for process in (pid, *_children(pid)):
        try:
            total += int(Path(f"/proc/{process}/statm").read_text().split()[1])
        except OSError:
            continue
    return total * os.sysconf("SC_PAGE_SIZE") // 1_000_000


def _children(pid: int) -> list[int]:
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:
        return []


def measure(kind: str, count: int, *, distinct: bool) -> dict[str, Any]:
    """Seconds, megabytes and answers of one folder's life."""
    view, accessor = KINDS[kind]
    key = f"key.{count - 3}" if distinct else "key.0"
    value = accessor.format(f"'{key}'")
    of_key = f"SELECT count(*) FROM {view} WHERE {value}::BIGINT = {count - 3}"
    usual = f"SELECT count(*) FROM {view} WHERE attributes['usual.3']::VARCHAR = 'value 3'"
    expected = [[sum(1 for number in range(count) if number % 7 == 3)]]
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        with Served(folder, seals=False) as served:
            result |= _land(served, kind, count, distinct=distinct)
            result |= _ask(served, "landed", of_key, usual, expected)
            served.end(signal.SIGKILL)
        with Served(folder, seals=True) as served:
            result |= _seal(served, view, count)
            result |= _ask(served, "sealed", of_key, usual, expected)
            started_s = monotonic()
            result["exit_code"] = served.end(signal.SIGTERM)
            result["end_s"] = round(monotonic() - started_s, 2)
            result["second_peak_mb"] = served.peak_mb
        result["database_mb"] = round((folder / "spyhop.duckdb").stat().st_size / 1e6, 1)
        result["lake_mb"] = round(sum(f.stat().st_size for f in folder.glob("lake/*/*/*/*.parquet")) / 1e6, 1)
    return result


def _land(served: Served, kind: str, count: int, *, distinct: bool) -> dict[str, Any]:
    sleep(3)  # what it imports after the start is no cost of the keys
    idle_mb = served.peak_mb
    bodies = list(requests(kind, count, distinct=distinct))
    started_s = monotonic()
    for path, body in bodies:
        answer = served.http.post(path, content=body, headers={"content-type": "application/x-protobuf"})
        answer.raise_for_status()
    sent_s = monotonic() - started_s
    served.wait(f"SELECT count(*) FROM {KINDS[kind][0]}", count, LAND_TIMEOUT_S)
    landed_s = monotonic() - started_s
    sleep(1)  # a checkpoint may follow
    return {
        "idle_mb": idle_mb,
        "sent_s": round(sent_s, 2),
        "landed_s": round(landed_s, 2),
        "landed_peak_mb": served.peak_mb,
    }


def _seal(served: Served, view: str, count: int) -> dict[str, Any]:
    restarted_s = served.wait(f"SELECT count(*) FROM {view}", count, LAND_TIMEOUT_S)
    label = {"spans": "traces"}.get(view, view)
    sealed = f"SELECT coalesce(sum(row_count), 0)::BIGINT FROM lake_files WHERE signal = '{label}'"
    return {"restarted_s": restarted_s, "sealed_s": served.wait(sealed, count, SEAL_TIMEOUT_S)}


def _ask(served: Served, when: str, of_key: str, usual: str, expected: list[list[int]]) -> dict[str, float]:
    seconds = {}
    for name, query, right in (("key", of_key, [[1]]), ("usual", usual, expected)):
        started_s = monotonic()
        found = served.sql(query)
        if found != right:
            sys.exit(f"{when}: {query} gave {found} instead of {right}")
        seconds[f"{when}_{name}_query_ms"] = round(1000 * (monotonic() - started_s))
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=100_000, help="items, each with a key of its own")
    parser.add_argument("--kind", nargs="*", default=["span"], choices=list(KINDS))
    parser.add_argument("--distinct-only", action="store_true", help="without ordinary items to compare with")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    report: dict[str, Any] = {
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "system": platform.platform()},
        "versions": {
            "python": platform.python_version(),
            "duckdb": duckdb.__version__,
            "pyarrow": pa.__version__,
        },
        "keys": options.keys,
        "kinds": {},
    }
    for kind in options.kind:
        distinct = measure(kind, options.keys, distinct=True)
        found: dict[str, Any] = {"distinct": distinct}
        if not options.distinct_only:
            found["ordinary"] = ordinary = measure(kind, options.keys, distinct=False)
            found["above_ordinary_mb"] = {
                name: distinct[name] - ordinary[name] for name in ("landed_peak_mb", "second_peak_mb")
            }
        report["kinds"][kind] = found
        if not options.json:
            print(kind, json.dumps(report["kinds"][kind], indent=1), flush=True)
    if options.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
