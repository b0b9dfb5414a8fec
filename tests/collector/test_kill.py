"""A server process killed under load: what it acknowledged is there after a restart, exactly once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

pytestmark = pytest.mark.long

SERVE = """
import json, sys
from pathlib import Path
from collector.server import run
from collector.settings import Settings
anywhere = "127.0.0.1:0"
settings = Settings(data=Path(sys.argv[1]), otlp_grpc=anywhere, otlp_http=anywhere, api=anywhere,
                    land_interval_ms=20, spool_segment_bytes=65536)
run(settings, on_ready=lambda addresses: print(json.dumps(addresses), flush=True))
"""


def start(folder: Path) -> tuple[subprocess.Popen[str], dict[str, str]]:
    process = subprocess.Popen([sys.executable, "-c", SERVE, folder], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def test_kill_at_random_moments() -> None:
    """Killed under load on one data folder, at any moment and inside the spool's write, a hot file's landing,
    merging, sealing, compaction and deletion, the server loses nothing acknowledged, doubles nothing that was
    sent again, and leaves no file behind.
    """
    script = Path(__file__).parent.parent / "benchmarks" / "kill.py"
    done = subprocess.run(
        [sys.executable, script, "--rounds", "7"], capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert (result["lost"], result["twice"], result["never_sent"], result["unlisted_files"]) == (0, 0, 0, 0)
    assert sum(result["ended_inside"].values()) >= 3, "the steps that rounds should end in do not come"
    assert result["acknowledged"] > 200


def test_sigterm_drains(tmp_path: Path, make_request: Callable[..., Any]) -> None:
    """At SIGTERM everything acknowledged is landed, the process ends by itself, and the folder is free."""
    process, addresses = start(tmp_path)
    with httpx2.Client(base_url=addresses["otlp_http"], trust_env=False) as http:
        for _ in range(20):
            body = make_request(50).SerializeToString()
            http.post(
                "/v1/traces", content=body, headers={"content-type": "application/x-protobuf"}
            ).raise_for_status()
    process.terminate()
    process.communicate(timeout=5)
    assert process.returncode == 0
    from collector.store.store import Store

    store = Store.open(tmp_path)
    assert store.read("SELECT count(*) AS n FROM spans")["n"][0].as_py() == 1000
    store.close()
