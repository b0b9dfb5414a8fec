"""A process is killed with a full spool; the next one starts, is ready, and catches up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from otlp_load import SPANS_PER_REQUEST, Renewed, make_bodies

READY_TIMEOUT_S = 120.0
CAUGHT_UP_TIMEOUT_S = 600.0
_GROUP = 64  # requests that share a sync, as under load

SERVE = """
import json, sys
from pathlib import Path
from collector.server import run
from collector.settings import Settings
anywhere = "127.0.0.1:0"
settings = Settings(data=Path(sys.argv[1]), otlp_grpc=anywhere, otlp_http=anywhere, api=anywhere)
run(settings, on_ready=lambda addresses: print(json.dumps(addresses), flush=True))
"""


def measure_catching_up(spool_bytes: int, distinct_spans: int) -> dict[str, Any]:
    """Seconds until ready and until all is queryable, spans a second, and that every span is there once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, __file__, name, str(spool_bytes), str(distinct_spans)]
        killed = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=300, check=False)
        if killed.returncode != -signal.SIGKILL:
            sys.exit(f"the spool was not written, exit code {killed.returncode}")
        span_count = int(killed.stdout) * SPANS_PER_REQUEST
        started_s = perf_counter()
        server = subprocess.Popen([sys.executable, "-c", SERVE, name], stdout=subprocess.PIPE, text=True)
        try:
            return _watch(server, folder, started_s, spool_bytes, span_count)
        finally:
            server.kill()
            server.communicate()


def _watch(
    server: subprocess.Popen[str], folder: Path, started_s: float, spool_bytes: int, span_count: int
) -> dict[str, Any]:
    import duckdb
    import httpx2

    assert server.stdout is not None
    api = json.loads(server.stdout.readline())["api"]
    with httpx2.Client(base_url=api, trust_env=False, timeout=READY_TIMEOUT_S) as client:
        while client.get("/readyz").status_code != 200:
            if perf_counter() - started_s > READY_TIMEOUT_S:
                sys.exit("the server did not become ready")
            sleep(0.02)
        ready_s = perf_counter() - started_s
        while client.get("/readyz").json()["checks"]["spool"]["bytes"]:
            if perf_counter() - started_s > CAUGHT_UP_TIMEOUT_S:
                sys.exit("the server did not catch up")
            sleep(0.1)
        caught_up_s = perf_counter() - started_s
    status = dict(_status_lines(server.pid))
    server.terminate()
    server.communicate(timeout=60)
    with duckdb.connect(str(folder / "spyhop.duckdb"), read_only=True) as con:
        stored = con.execute("SELECT count(*), count(DISTINCT span_id) FROM spans").fetchone()
    if stored != (span_count, span_count):
        sys.exit(f"{span_count} spans were in the spool, stored are {stored}")
    return {
        "spool_mib": spool_bytes >> 20,
        "spans": span_count,
        "ready_s": round(ready_s, 2),
        "caught_up_s": round(caught_up_s, 1),
        "landed_per_s": round(span_count / (caught_up_s - ready_s)),
        "server_max_rss_mb": int(status["VmHWM"].split()[0]) // 1024,
    }


def _status_lines(pid: int) -> Iterator[tuple[str, str]]:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        yield name, value.strip()


def fill_spool_and_die(folder: Path, spool_bytes: int, distinct_spans: int) -> None:
    """Leaves the folder of a server that is killed before it lands anything; prints how many requests."""
    from collector.landing.land import read_position
    from collector.settings import Settings
    from collector.signals import Signal
    from collector.store.store import Store
    from collector.wal.spool import Spool

    store = Store.open(folder)
    spool = Spool(
        folder / "spool",
        landed=read_position(store)[0],
        max_bytes=2 * spool_bytes,
        segment_bytes=Settings().spool_segment_bytes,
        torn_folder=folder / "quarantine",
    )
    bodies = Renewed(make_bodies(distinct_spans))
    written_bytes = request_count = 0
    while written_bytes < spool_bytes:
        group = [bodies.take() for _ in range(_GROUP)]
        for durable in [spool.append(Signal.TRACES, body) for body in group]:
            durable.result(60)
        written_bytes += sum(map(len, group))
        request_count += len(group)
    print(request_count, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    fill_spool_and_die(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
