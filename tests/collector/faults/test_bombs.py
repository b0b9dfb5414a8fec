from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
import zstandard

BOMB_BYTES = 200 * 1024 * 1024
GROWTH_MAX_BYTES = 100 * 1024 * 1024
SERVE = """
import json, sys
from pathlib import Path
from collector.server import run
from collector.settings import Settings
anywhere = "127.0.0.1:0"
settings = Settings(data=Path(sys.argv[1]), otlp_grpc=anywhere, otlp_http=anywhere, api=anywhere)
run(settings, on_ready=lambda addresses: print(json.dumps(addresses), flush=True))
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """A server process with default limits: its pid and its OTLP/HTTP address."""
    process = subprocess.Popen([sys.executable, "-c", SERVE, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    addresses = json.loads(process.stdout.readline())
    yield process.pid, addresses["otlp_http"]
    process.terminate()
    process.communicate(timeout=10)


def memory_bytes(pid: int, field: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", lambda zeros: gzip.compress(zeros, 1)),
        ("deflate", lambda zeros: zlib.compress(zeros, 1)),
        ("zstd", zstandard.compress),
    ],
)
def test_bomb(server: tuple[int, str], encoding: str, compress: Callable[[bytes], bytes]) -> None:
    """200 MiB of zeros in a small body are refused with 413, for less than 100 MB of memory."""
    pid, url = server
    bomb = compress(bytes(BOMB_BYTES))
    assert len(bomb) < 2 * 1024 * 1024
    headers = {"content-type": "application/x-protobuf", "content-encoding": encoding}
    with httpx2.Client(base_url=url, trust_env=False, timeout=30) as http:
        assert http.post("/v1/traces", content=b"", headers=headers | {"content-encoding": ""}).is_success
        before_bytes = memory_bytes(pid, "VmRSS")
        for _ in range(3):
            assert http.post("/v1/traces", content=bomb, headers=headers).status_code == 413
        assert memory_bytes(pid, "VmHWM") - before_bytes < GROWTH_MAX_BYTES
