"""The demo's figures: seconds until all parts are ready, load on the machine, seconds until Ctrl-C is done.

    uv run python tests/benchmarks/demo.py [--seconds 45] [--json]

The process tree's CPU time is read from /proc (Linux), as a share of the machine's cores. Detection delays
are those of the demo's own verdict.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path

CLOCK_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def descendants(root: int) -> list[int]:
    """`root` and all processes below it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
    found = [root]
    for pid in found:
        found.extend(child for child, parent in parents.items() if parent == pid)
    return found


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS_PER_S


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def name_of(pid: int) -> str:
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    after = arguments[arguments.index("spyhop") + 1 :] if "spyhop" in arguments else arguments
    return next((word for word in after if not word.startswith("-")), "?")


def measure(seconds: float) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        command = [
            sys.executable,
            "-P",
            "-m",
            "spyhop",
            "demo",
            "--headless",
            "--json",
            "--data",
            f"{folder}/data",
        ]
        demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert demo.stderr is not None
        for line in demo.stderr:
            if "running until" in line:
                break
        else:
            sys.exit("the demo did not start")
        ready_s = time.monotonic() - began
        # Nobody else reads the pipe, and a full one would stop the demo.
        threading.Thread(target=demo.stderr.read, daemon=True).start()
        tree = descendants(demo.pid)
        before = {pid: cpu_seconds(pid) for pid in tree}
        started = time.monotonic()
        time.sleep(seconds)
        wall_s = time.monotonic() - started
        used = {name_of(pid): round((cpu_seconds(pid) - before[pid]) / wall_s, 3) for pid in tree}
        memory = {name_of(pid): round(resident_mb(pid)) for pid in tree}
        interrupted = time.monotonic()
        demo.send_signal(signal.SIGINT)
        output = demo.stdout.read() if demo.stdout else ""
        demo.wait(30)
        stop_s = time.monotonic() - interrupted
        report = json.loads(output)
    cores = os.cpu_count() or 1
    return {
        "machine": {"cores": cores, "platform": platform.platform(), "python": platform.python_version()},
        "versions": {name: version(name) for name in ("duckdb", "streamlit", "opentelemetry-sdk")},
        "ready_s": round(ready_s, 2),
        "orders_per_s": round(report["orders"] / wall_s, 1),
        "spans_per_s": round(report["spans"] / wall_s),
        "cpu_cores_used": used,
        "cpu_share_of_machine": round(sum(used.values()) / cores, 3),
        "resident_mb": memory,
        "stop_after_ctrl_c_s": round(stop_s, 2),
        "faults": report["faults"],
        "exit_code": demo.returncode,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=45.0, help="how long to watch after all is ready")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options.seconds)
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
