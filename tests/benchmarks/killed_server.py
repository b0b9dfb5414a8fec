"""A server that ends itself with SIGKILL inside one of its steps: the other half of `kill.py`.

    python killed_server.py DATA STEP CALLS FRACTION

It dies during the call number CALLS of the step, after FRACTION of the time that the call before took. With
STEP `any` it waits to be killed. It seals at once, keeps segments small and deletes replaced files after a
second, so that everything happens within a short life.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import collector.lake.joining
import collector.lake.retention
import collector.lake.sealer
import collector.landing.insert
import collector.landing.land
import collector.store.hot
from collector.landing.land import Lander
from collector.server import run
from collector.settings import Settings
from collector.wal.spool import Spool

STEPS: dict[str, tuple[Any, str]] = {
    "spool": (Spool, "_write_durably"),
    "landing": (Lander, "_land_together"),
    "hot": (collector.landing.insert, "store_rows"),
    "joining": (collector.lake.sealer, "join_hot"),
    "merging": (collector.lake.sealer, "seal_hot"),
    "sealing": (collector.lake.sealer, "seal"),
    "compaction": (collector.lake.sealer, "compact"),
    "deletion": (collector.lake.sealer, "delete_expired"),
}
HOT_BYTES = 8_000
FIRST_DURATION_S = 0.01  # taken for the call before the first


def arm(owner: Any, name: str, calls: int, fraction: float) -> None:
    """Replace the step by one that begins the process's end at call number `calls`."""
    real: Callable[..., Any] = getattr(owner, name)
    state = {"calls": 0, "duration_s": FIRST_DURATION_S}

    def step(*arguments: Any, **named: Any) -> Any:
        state["calls"] += 1
        if state["calls"] == calls:
            threading.Thread(target=die, args=[fraction * state["duration_s"]], daemon=True).start()
        started_s = monotonic()
        try:
            return real(*arguments, **named)
        finally:
            state["duration_s"] = monotonic() - started_s

    setattr(owner, name, step)


def die(after_s: float) -> None:
    sleep(after_s)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    folder, step, calls, fraction = sys.argv[1:]
    if step in STEPS:
        arm(*STEPS[step], int(calls), float(fraction))
    collector.lake.retention.EXPIRED_KEEP_S = 1
    # Two requests and more within an interval go to hot files, however few rows, a single one to the table.
    collector.landing.land.HOT_GATHER_S = 0.02
    collector.store.hot.HOUR_ROWS_MIN = 1
    collector.lake.joining.FILES_MIN = 2
    anywhere = "127.0.0.1:0"
    settings = Settings(
        data=Path(folder),
        otlp_grpc=anywhere,
        otlp_http=anywhere,
        api=anywhere,
        land_interval_ms=20,
        land_hot_bytes=0 if step == "sealing" else HOT_BYTES,  # that step moves rows of the table
        spool_segment_bytes=65536,
        # Sealing takes every hot file before it can be joined, unless its rows must settle first.
        seal_settle_min=60 if step == "joining" else 0,
        seal_interval_s=0.1,
    )
    run(settings, on_ready=lambda addresses: print(json.dumps(addresses), flush=True))


if __name__ == "__main__":
    main()
