"""OTLP JSON that is small on the wire and would be many times as large, or as slow, once parsed."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import httpx2
import pytest

from collector.receive.parts import PARTS_MAX, part_count
from tests.pace import check

JSON_HEADERS = {"content-type": "application/json"}
PROTOBUF_HEADERS = {"content-type": "application/x-protobuf"}
GROWTH_MAX_BYTES = 1000 * 1000 * 1000
SERVE = """
import json, sys
from pathlib import Path
from collector.server import run
from collector.settings import Settings
anywhere = "127.0.0.1:0"
settings = Settings(data=Path(sys.argv[1]), otlp_grpc=anywhere, otlp_http=anywhere, api=anywhere)
run(settings, on_ready=lambda addresses: print(json.dumps(addresses), flush=True))
"""
SPANS = b'{"resourceSpans":[{"scopeSpans":[{"spans":[', b"]}]}]}"
LOGS = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[', b"]}]}]}"
POINTS = b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"gauge":{"dataPoints":[', b"]}}]}]}]}"


class Process(NamedTuple):
    pid: int
    url: str

    def peak_bytes(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A server process with default limits."""
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is read from /proc")
    command = [sys.executable, "-c", SERVE, tmp_path_factory.mktemp("bombs")]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    yield Process(server.pid, json.loads(server.stdout.readline())["otlp_http"])
    server.terminate()
    server.communicate(timeout=20)


def repeated(ends: tuple[bytes, bytes], item: bytes, count: int) -> bytes:
    return ends[0] + b",".join([item] * count) + ends[1]


def many_keys(count: int) -> bytes:
    return b'{"resourceSpans":[{' + b",".join(b'"%x":{}' % number for number in range(count)) + b"}]}"


BOMBS: dict[str, tuple[str, bytes, int]] = {
    "12 MB of resources": ("traces", repeated((b'{"resourceSpans":[', b"]}"), b"{}", 4_000_000), 413),
    "12 MB of spans": ("traces", repeated(SPANS, b"{}", 4_000_000), 413),
    "12 MB of logs": ("logs", repeated(LOGS, b"{}", 4_000_000), 413),
    "12 MB of points": ("metrics", repeated(POINTS, b"{}", 4_000_000), 413),
    "12 MB of keys": ("traces", many_keys(1_100_000), 413),
    "the same key": ("traces", b'{"resourceSpans":[]' + b',"resourceSpans":[]' * 600_000 + b"}", 413),
    "10 million brackets": ("logs", b"[" * 10_000_000, 413),
    "900,000 brackets": ("logs", b"[" * 900_000, 400),
    "a number of 5 million digits": ("traces", b'{"resourceSpans":' + b"9" * 5_000_000 + b"}", 400),
    "quotes and backslashes": ("logs", b'{"resourceLogs":"' + b'\\"' * 2_500_000, 400),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_refused_unparsed(process: Process, bomb: str) -> None:
    """Bodies that would be a hundred times as large once parsed are refused, within seconds and 300 MB."""
    signal, body, status = BOMBS[bomb]
    with httpx2.Client(base_url=process.url, trust_env=False, timeout=30) as http:
        assert http.post("/v1/traces", content=b"{}", headers=JSON_HEADERS).status_code == 200
        before_bytes = process.peak_bytes()
        for content, headers in ((body, {}), (gzip.compress(body, 1), {"content-encoding": "gzip"})):
            started_s = monotonic()
            answer = http.post(f"/v1/{signal}", content=content, headers=JSON_HEADERS | headers)
            assert answer.status_code == status
            assert answer.json()["message"]
            check(monotonic() - started_s, 10)
        assert process.peak_bytes() - before_bytes < 300 * 1024 * 1024


def test_eight_at_once(process: Process, make_request: Callable[..., Any]) -> None:
    """Eight of what is just allowed take less than 1 GB together, and others are answered meanwhile."""
    count = PARTS_MAX // 2 - 10
    long_text = b'{"body":{"stringValue":"\xf0\x9f\x90\x8b' + b"a" * 20_000_000 + b'"}}'
    bodies = [
        ("traces", repeated((b'{"resourceSpans":[', b"]}"), b"{}", count)),
        ("traces", repeated(SPANS, b"{}", count)),
        ("logs", repeated(LOGS, long_text, 1)),
        ("metrics", b'{"resourceMetrics":"' + b"a" * 20_000_000 + b'"}'),
    ]
    before_bytes = process.peak_bytes()
    done = threading.Event()
    waits_s: list[float] = []

    def post(body: tuple[str, bytes]) -> int:
        with httpx2.Client(base_url=process.url, trust_env=False, timeout=120) as http:
            return http.post(f"/v1/{body[0]}", content=body[1], headers=JSON_HEADERS).status_code

    def export() -> None:
        with httpx2.Client(base_url=process.url, trust_env=False, timeout=30) as http:
            while not done.is_set():
                started_s = monotonic()
                body = make_request(10).SerializeToString()
                answer = http.post("/v1/traces", content=body, headers=PROTOBUF_HEADERS)
                assert answer.status_code == 200
                waits_s.append(monotonic() - started_s)
                done.wait(0.02)

    with ThreadPoolExecutor(9) as pool:
        exporting = pool.submit(export)
        statuses = list(pool.map(post, bodies * 2))
        done.set()
        exporting.result()
    assert statuses == [200, 200, 200, 400] * 2
    check(sorted(waits_s)[len(waits_s) // 2], 0.5)
    check(max(waits_s), 10)
    assert process.peak_bytes() - before_bytes < GROWTH_MAX_BYTES


def test_ordinary_spans_pass(make_request: Callable[..., Any]) -> None:
    """15 MB of spans with nine attributes are within the bound."""
    from google.protobuf import json_format

    attributes = {f"http.key.{number}": f"value number {number}" for number in range(9)}
    body = json_format.MessageToJson(make_request(100, attributes=attributes), indent=None).encode()
    assert part_count(body, is_json=True) * (15_000_000 / len(body)) < PARTS_MAX
