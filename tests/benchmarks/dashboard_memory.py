"""Memory of the dashboard's process while four live tabs stay open before the exchange's traffic and faults.

    uv run python tests/benchmarks/dashboard_memory.py [--minutes 15] [--json]

The tabs show Now, Incidents, Traces and Logs and refresh as they do by default. Resident memory is read every
ten seconds; `rss_mb` has one value a minute, `slope_mb_per_h` is a line through the second half.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import linear_regression, median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from dashboard_anomalies import process, server
from ingest import surroundings

from collector.store.lock import read_owner
from tests.browsing import chromium

TABS = ("/", "/incident", "/traces", "/logs")
STEP_S = 10.0
FREE = "127.0.0.1:0"


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
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        api = server(stack, folder / "d")
        otlp = str(read_owner(folder / "d")["otlp_grpc"])
        traffic = ["exchange", "run", "--otlp", f"http://{otlp}", "--rate", "20", "--data", str(folder / "x")]
        traffic += ["--faults", str(_faults(folder, minutes)), "--gateway", FREE, "--exchange-api", FREE]
        process(stack, [sys.executable, "-m", "spyhop", *traffic])
        dashboard = process(stack, [sys.executable, "-m", "spyhop", "dashboard", "--api", api, "--port", "0"])
        assert dashboard.stdout
        url = dashboard.stdout.readline().split()[1]
        browser = stack.enter_context(chromium())
        for path in TABS:
            page = browser.new_page(base_url=url)
            page.set_default_timeout(120_000)
            page.goto(path)
            page.locator(".sp").first.wait_for(state="attached")
        samples = _watch(dashboard.pid, minutes * 60)
    later = samples[len(samples) // 2 :]
    slope = linear_regression([at_s for at_s, _ in later], [mb for _, mb in later]).slope
    a_minute = round(60 / STEP_S)
    return {
        "rss_mb": [round(mb) for _, mb in samples[::a_minute]],
        "most_mb": round(max(mb for _, mb in samples)),
        "median_of_second_half_mb": round(median(mb for _, mb in later)),
        "slope_mb_per_h": round(3600 * slope, 1),
    }


def _faults(folder: Path, minutes: float) -> Path:
    """A slow statement and a whale every minute."""
    slow = "{kind: db_slow, at_s: %d, for_s: 6, params: {delay_ms: 150}}"
    whale = "{kind: whale_order, at_s: %d, params: {multiple: 400}}"
    starts = range(30, round(minutes * 60), 60)
    rows = [row for at_s in starts for row in (slow % at_s, whale % (at_s + 12))]
    path = folder / "faults.yaml"
    path.write_text("seed: 7\nfaults:\n" + "".join(f"- {row}\n" for row in rows), encoding="utf-8")
    return path


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
