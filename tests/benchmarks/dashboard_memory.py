"""Memory of the dashboard's process while four live tabs stay open before the demo's traffic and faults.

    uv run python tests/benchmarks/dashboard_memory.py [--minutes 15] [--json]

The tabs show Now, Incidents, Traces and Logs and refresh as they do by default. Resident memory is read every
ten seconds; `rss_mb` has one value a minute, `slope_mb_per_h` is a line through the second half.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import linear_regression, median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from ingest import surroundings

from tests.browsing import chromium

TABS = ("/", "/incident", "/traces", "/logs")
STEP_S = 10.0
START_S = 120.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = {**surroundings(), "minutes": options.minutes, **measure(options.minutes)}
    print(json.dumps(result) if options.json else "\n".join(f"{k:>28}  {v}" for k, v in result.items()))


def measure(minutes: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "spyhop", "demo", "--headless", "--rate", "20"]
        command += ["--for", f"{minutes + 5:g}m", "--data", f"{folder}/demo"]
        root = Path(__file__).parents[2]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=root
        ) as demo:
            try:
                url = _address(demo)
                process = _dashboard_of(demo.pid)
                with chromium() as browser:
                    pages = [browser.new_page(base_url=url) for _ in TABS]
                    for page, path in zip(pages, TABS, strict=True):
                        page.set_default_timeout(60_000)
                        page.goto(path)
                        page.locator(".sp").first.wait_for()
                    samples = _watch(process, minutes * 60)
            finally:
                demo.terminate()
                demo.wait(60)
    later = samples[len(samples) // 2 :]
    slope = linear_regression([at_s for at_s, _ in later], [mb for _, mb in later]).slope
    a_minute = round(60 / STEP_S)
    return {
        "rss_mb": [round(mb) for _, mb in samples[::a_minute]],
        "most_mb": round(max(mb for _, mb in samples)),
        "median_of_second_half_mb": round(median(mb for _, mb in later)),
        "slope_mb_per_h": round(3600 * slope, 1),
    }


def _address(demo: subprocess.Popen[str]) -> str:
    """What the demo prints of its dashboard; the whole of it runs by then."""
    assert demo.stdout
    began, url = time.monotonic(), ""
    for line in demo.stdout:
        words = line.split()
        if words[:1] == ["dashboard"]:
            url = words[1]
        if url and words[:1] == ["data"]:
            return url
        if time.monotonic() - began > START_S:
            break
    sys.exit("the demo did not start")


def _dashboard_of(demo_pid: int) -> int:
    """The demo's child that serves the dashboard."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(path.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            command = path.joinpath("cmdline").read_bytes()
        except (OSError, ValueError):
            continue
        if parent == demo_pid and b"dashboard" in command:
            return int(path.name)
    sys.exit("the demo has no dashboard")


def _watch(pid: int, seconds: float) -> list[tuple[float, float]]:
    """(seconds, resident MiB) from now on."""
    began, found = time.monotonic(), []
    while (at_s := time.monotonic() - began) < seconds:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        found.append((at_s, pages * 4096 / 2**20))
        time.sleep(STEP_S)
    return found


if __name__ == "__main__":
    main()
