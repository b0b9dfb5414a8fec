from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import httpx2
import pytest
import zstandard

from collector.signals import GRPC_METHODS, Signal

BOMB_BYTES = 200 * 1024 * 1024
GROWTH_MAX_BYTES = 100 * 1024 * 1024
TRIES = 3
SERVE = """
import json, sys
from pathlib import Path
from collector.server import run
from collector.settings import Settings
anywhere = "127.0.0.1:0"
settings = Settings(data=Path(sys.argv[1]), otlp_grpc=anywhere, otlp_http=anywhere, api=anywhere)
run(settings, on_ready=lambda addresses: print(json.dumps(addresses), flush=True))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, dict[str, str]]]:
    """A server process with default limits: its pid and its addresses."""
    command = [sys.executable, "-c", SERVE, tmp_path_factory.mktemp("bombs")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    addresses = json.loads(process.stdout.readline())
    yield process.pid, addresses
    process.terminate()
    process.communicate(timeout=10)


def memory_bytes(pid: int, field: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def held_bytes(pid: int) -> int:
    """The memory of a process now; the peak is counted from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # see proc(5)
    return memory_bytes(pid, "VmRSS")


def growth_bytes(pid: int, send: Callable[[], None]) -> int:
    """How much memory it takes to refuse what `send` sends: the least of some tries.

    The process does other work meanwhile (it has just begun), whose memory stands in the same peak; what the
    bomb takes is taken each time.
    """
    grown: list[int] = []
    while len(grown) < TRIES and min(grown, default=GROWTH_MAX_BYTES) >= GROWTH_MAX_BYTES:
        before_bytes = held_bytes(pid)
        send()
        grown.append(memory_bytes(pid, "VmHWM") - before_bytes)
    return min(grown)


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")


def field(tag: bytes, content: bytes) -> bytes:
    """A field whose content is longer than 2 MiB and shorter than 256 MiB: its length takes four bytes."""
    size = len(content)
    length = bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14 & 127 | 128, size >> 21])
    return tag + length + content


# 20 MiB of empty spans pass the limit on the size; parsed they would be 3 GB. No more, since gRPC holds a
# body three times.
EMPTY_SPANS = field(b"\x0a", field(b"\x12", b"\x12\x00" * (10 * 1024 * 1024)))


@needs_proc
@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", lambda body: gzip.compress(body, 1)),
        ("deflate", lambda body: zlib.compress(body, 1)),
        ("zstd", zstandard.compress),
    ],
)
@pytest.mark.parametrize("content", [bytes(BOMB_BYTES), EMPTY_SPANS], ids=["zeros", "empty spans"])
def test_bomb(
    server: tuple[int, dict[str, str]], encoding: str, compress: Callable[[bytes], bytes], content: bytes
) -> None:
    """Bodies that are small on the wire and huge once decompressed or parsed are 413, with less than 100 MB
    of memory.
    """
    pid, addresses = server
    bomb = compress(content)
    assert len(bomb) < 2 * 1024 * 1024
    headers = {"content-type": "application/x-protobuf", "content-encoding": encoding}
    with httpx2.Client(base_url=addresses["otlp_http"], trust_env=False, timeout=30) as http:
        assert http.post("/v1/traces", content=b"", headers=headers | {"content-encoding": ""}).is_success

        def send() -> None:
            for _ in range(3):
                assert http.post("/v1/traces", content=bomb, headers=headers).status_code == 413

        assert growth_bytes(pid, send) < GROWTH_MAX_BYTES


@needs_proc
@pytest.mark.parametrize("content", [bytes(BOMB_BYTES), EMPTY_SPANS], ids=["zeros", "empty spans"])
def test_grpc_bomb(server: tuple[int, dict[str, str]], content: bytes) -> None:
    """The same over gRPC: RESOURCE_EXHAUSTED, for less than 100 MB of memory.

    gRPC itself decompresses up to the limit of 64 MiB, and may still hold that when the next bomb comes.
    """
    pid, addresses = server
    with grpc.insecure_channel(addresses["otlp_grpc"]) as channel:
        export = channel.unary_unary(GRPC_METHODS[Signal.TRACES])
        export(b"", timeout=10)

        def send() -> None:
            with pytest.raises(grpc.RpcError) as caught:
                export(content, compression=grpc.Compression.Gzip, timeout=30)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

        assert growth_bytes(pid, send) < GROWTH_MAX_BYTES
