"""How long the dashboard takes in Chromium: first page, page switch, a row of the queue, waterfalls by size.

    uv run python tests/benchmarks/dashboard_pages.py [--json]

The server behind it answers from memory (tests/dashboard/shop_api.py), so that the figures are the
dashboard's own. Times run from the click to the thing in sight; each is the median of five. "nodes" are
elements of the waterfall.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from playwright.sync_api import Page

sys.path.insert(0, str(Path(__file__).parents[2]))

from ingest import surroundings

from tests.browsing import chromium, settle, watched_page
from tests.dashboard.shop_api import build_api, serve
from tests.dashboard.shop_rows import big_trace
from tests.dashboard.shop_world import World

ROUNDS = 5
SIZES = (50, 1_000, 5_000, 10_000)
COUNT_NODES = """() => {
  const rows = [...document.querySelectorAll('*')].map((e) => e.shadowRoot).filter(Boolean)
  return Math.max(...rows.map((root) => root.querySelectorAll('.wf *').length))
}"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = {**surroundings(), **measure()}
    print(json.dumps(result) if options.json else "\n".join(f"{k:>28}  {v}" for k, v in result.items()))


def measure() -> dict[str, Any]:
    world = World()
    world.fill()
    for size in SIZES:
        trace_id = f"{size:032x}"
        sized = big_trace(size)
        world.traces[trace_id] = sized | {"trace_id": trace_id, "span_count": size, "truncated": False}
    server, thread, api_url = serve(build_api(world))
    start = f"from dashboard.serve import run; run({api_url!r}, '127.0.0.1', 0)"
    with subprocess.Popen([sys.executable, "-c", start], stdout=subprocess.PIPE, text=True) as dashboard:
        assert dashboard.stdout
        url = dashboard.stdout.readline().split()[1]
        try:
            with chromium() as browser:
                with watched_page(browser, url) as page:
                    first = [_first_page(page) for _ in range(ROUNDS)]
                with watched_page(browser, url) as page:
                    return {"first_page_s": round(median(first), 2), **_within(page)}
        finally:
            dashboard.terminate()
            dashboard.wait(60)
            server.should_exit = True
            thread.join(5)


def _first_page(page: Page) -> float:
    began = perf_counter()
    page.goto("/?live=false")
    page.get_by_role("link", name="Open the guilty span").wait_for()
    return perf_counter() - began


def _within(page: Page) -> dict[str, Any]:
    """The steps after the first page, without loading it again."""
    page.goto("/?live=false")
    settle(page)
    figures: dict[str, Any] = {}
    switches = []
    for _ in range(ROUNDS):
        switches.append(_go(page, "/logs", lambda: page.get_by_text("Template (numbers").wait_for()))
        switches.append(
            _go(page, "/", lambda: page.get_by_role("link", name="Open the guilty span").wait_for())
        )
    figures["page_switch_s"] = round(median(switches), 2)
    _go(page, "/incident?id=inc-slow", page.get_by_role("treeitem").first.wait_for)
    rows = []
    for _ in range(ROUNDS):
        rows += [_choose(page, row) for row in ("Whale: BUY", "p50 152 ms")]
    figures["choosing_a_row_s"] = round(median(rows), 2)
    for size in SIZES:
        paints = []
        for _ in range(ROUNDS):
            _go(page, "/health", lambda: page.get_by_text("The server is ready").wait_for())
            path = f"/trace?id={size:032x}"
            paints.append(_go(page, path, page.get_by_role("treeitem").first.wait_for))
        figures[f"waterfall_{size}_s"] = round(median(paints), 2)
        figures[f"waterfall_{size}_nodes"] = page.evaluate(COUNT_NODES)
    return figures


def _go(page: Page, href: str, seen: Any) -> float:
    settle(page)
    began = perf_counter()
    page.evaluate("(href) => window.spyhopBar.go(href)", href)
    seen()
    return perf_counter() - began


def _choose(page: Page, name: str) -> float:
    settle(page)
    title = "Whale: BUY 402.5 BTC" if name.startswith("Whale") else "SELECT wallets in kx-exchange"
    began = perf_counter()
    page.get_by_role("option").filter(has_text=name).first.click()
    page.locator(".sp .title").filter(has_text=title).first.wait_for()
    return perf_counter() - began


if __name__ == "__main__":
    main()
