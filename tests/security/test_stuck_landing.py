"""Landing that is stuck: readiness says so, and the process ends all the same."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx2
import pytest

from collector.landing.lag import LAG_MAX_S, LagWatch
from collector.wal.segment import Position
from tests.pace import check, patience_s

SERVE = """
import json, sys, time
from pathlib import Path
import collector.landing.insert
from collector.server import run
from collector.settings import Settings

how = sys.argv[2]
if how:
    def stuck(con, *_):
        print("landing", flush=True)
        if how == "statement":
            con.execute("SELECT count(*) FROM range(10_000_000_000_000)").fetchall()
        time.sleep(600)
    collector.landing.insert.insert_rows = stuck
anywhere = "127.0.0.1:0"
settings = Settings(data=Path(sys.argv[1]), otlp_grpc=anywhere, otlp_http=anywhere, api=anywhere,
                    land_interval_ms=20, drain_timeout_s=1)
run(settings, on_ready=lambda addresses: print(json.dumps(addresses), flush=True))
"""


def start(folder: Path, how: str) -> tuple[subprocess.Popen[str], dict[str, str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, folder, how], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


@pytest.mark.parametrize("how", ["statement", "anything else"])
def test_sigterm_while_landing_is_stuck(tmp_path: Path, make_request: Callable[..., Any], how: str) -> None:
    """At SIGTERM a server whose landing does not end ends by itself, without an abort, soon after its drain
    time; the next one lands what was acknowledged."""
    process, addresses = start(tmp_path, how)
    try:
        with httpx2.Client(base_url=addresses["otlp_http"], trust_env=False, timeout=patience_s(5)) as http:
            headers = {"content-type": "application/x-protobuf"}
            body = make_request(7).SerializeToString()
            assert http.post("/v1/traces", content=body, headers=headers).status_code == 200
        assert process.stdout is not None
        assert process.stdout.readline() == "landing\n"
        began_s = monotonic()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=patience_s(20))
        assert process.returncode == 0, errors
        check(monotonic() - began_s, 8)
    finally:
        process.kill()
        process.communicate()
    process, addresses = start(tmp_path, "")
    try:
        patient = patience_s(10)
        with httpx2.Client(base_url=addresses["api"], trust_env=False, timeout=patient) as api:
            deadline_s = monotonic() + patient
            rows: list[list[int]] = []
            while rows != [[7]] and monotonic() < deadline_s:
                sleep(0.05)
                rows = api.post("/api/sql", json={"query": "SELECT count(*) FROM spans"}).json()["rows"]
            assert rows == [[7]]
    finally:
        process.terminate()
        process.communicate(timeout=patience_s(20))


def test_lag_without_progress_is_a_failure() -> None:
    """Landing that stands still for longer than `LAG_MAX_S`, or falls behind for as long, is a failure that
    says how far behind it is; one that catches up from a large backlog is none."""
    start_end, landed = Position(1, 0), Position(1, 0)

    def watch(backlog: Callable[[int], int], seconds: int) -> LagWatch:
        made = LagWatch()
        for second in range(seconds):
            made.note(float(second), Position(1, second + 1), backlog(second))
        return made

    long = int(LAG_MAX_S) + 30
    still = watch(lambda _: 5_000, long)
    assert still.lag_s(long, landed) == long
    assert still.failure(long, landed) == (
        f"landing is {long} s behind and has not caught up for 60 s; 5,000 bytes wait in the spool"
    )
    assert watch(lambda second: 1_000 * second, long).failure(long, start_end)
    assert not watch(lambda second: 1_000_000 - 1_000 * second, long).failure(long, landed)
    assert not watch(lambda _: 5_000, 30).failure(30, landed)
    assert still.lag_s(long, Position(1, long)) == 0
    assert not still.failure(long, Position(1, long))


def test_readiness_tells_of_the_lag(running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`/readyz` is 503 with the reason while landing does not catch up, and 200 again when it has."""
    assert running.api.get("/readyz").status_code == 200
    with monkeypatch.context() as patch:
        patch.setattr("collector.landing.lag.LagWatch.failure", lambda *_: "landing is 75 s behind")
        answer = running.api.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"]["landing"]["failure"] == "landing is 75 s behind"
    assert running.api.get("/readyz").status_code == 200
