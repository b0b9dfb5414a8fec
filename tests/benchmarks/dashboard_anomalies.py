"""The dashboard before a server with many anomalies and spans: first page, choosing a row, filtering, pages.

    uv run python tests/benchmarks/dashboard_anomalies.py [--anomalies 44000] [--spans 2000000] [--json]

Server and dashboard are real processes. Three of four anomalies stand alone, the others are of five open
incidents; all are of spans of the last two hours, at 500,000 spans an hour (`fleet.sql`). Times run from the
click to the thing in sight; each is the median of five. `requests_ms` is the
server alone, the least of seven.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import httpx2
from playwright.sync_api import Page, expect

sys.path.insert(0, str(Path(__file__).parents[2]))

from ingest import surroundings
from storage import NS_PER_TRACE, SPANS_PER_TRACE, best_ms, fill, read_api

from tests.browsing import chromium, settle, watched_page

ROUNDS = 5
START_S = 120.0
INSERT = (Path(__file__).parent / "many_anomalies.sql").read_text(encoding="utf-8")
REQUESTS = {
    "health": "/api/monitor/health",
    "incidents": "/api/monitor/incidents?state=open&order=severity&limit=200",
    "groups": "/api/monitor/anomaly-groups?alone=true&state=open,acknowledged&limit=30",
    "groups_by_text": "/api/monitor/anomaly-groups?alone=true&state=open,acknowledged&limit=30&text=session",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--anomalies", type=int, default=44_000)
    parser.add_argument("--spans", type=int, default=2_000_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = prepare(Path(folder), options.anomalies, options.spans)
        result = {**surroundings(), **counts, **measure(Path(folder))}
    print(json.dumps(result) if options.json else "\n".join(f"{k:>28}  {v}" for k, v in result.items()))


def prepare(folder: Path, anomaly_count: int, span_count: int) -> dict[str, int]:
    """A data folder with so many spans up to now, and anomalies of them."""
    from collector.store.store import Store

    with closing(Store.open(folder)) as store:
        length_ns = span_count // SPANS_PER_TRACE * NS_PER_TRACE
        fill(store, span_count, time.time_ns() - length_ns)
        with store.transaction() as con:
            for statement in INSERT.split(";\n"):
                con.execute(statement, {"count": anomaly_count} if "$count" in statement else None)
        rows = store.read(
            "SELECT (SELECT count(*) FROM anomalies) AS anomalies, (SELECT count(*) FROM spans) AS spans"
        ).to_pylist()
    return {name: int(count) for name, count in rows[0].items()}


def measure(folder: Path) -> dict[str, Any]:
    with ExitStack() as stack:
        api = server(stack, folder)
        with httpx2.Client(base_url=api, timeout=60, trust_env=False) as client:
            requests_ms = {
                name: best_ms(lambda path=path: client.get(path).raise_for_status())  # type: ignore[misc]
                for name, path in REQUESTS.items()
            }
        start = f"from dashboard.serve import run; run({api!r}, '127.0.0.1', 0)"
        dashboard = process(stack, [sys.executable, "-c", start])
        assert dashboard.stdout
        url = dashboard.stdout.readline().split()[1]
        browser = stack.enter_context(chromium())
        with watched_page(browser, url) as page:
            page.set_default_timeout(60_000)
            page.goto("/?live=false")
            _card(page)
            first = [_timed(lambda: page.goto("/?live=false"), lambda: _card(page)) for _ in range(ROUNDS)]
        with watched_page(browser, url) as page:
            figures = _within(page)
    return {"requests_ms": requests_ms, "first_page_s": round(median(first), 2), **figures}


def _within(page: Page) -> dict[str, float]:
    page.goto("/?live=false")
    switches, rows, filters = [], [], []
    for _ in range(ROUNDS):
        options = page.get_by_role("option")
        switches.append(_timed(lambda: _go(page, "/incident"), options.first.wait_for, page))
        for number in (7, 8):
            row = options.nth(number)
            title = row.locator(".title").inner_text().partition(" ×")[0]
            seen = page.locator(".sp .title").filter(has_text=title).first
            rows.append(_timed(row.click, seen.wait_for, page))
        box = page.get_by_placeholder("operation, service, trace id, whale")
        others = options.filter(has_not_text="session")
        filters.append(
            _timed(lambda: (box.fill("session"), box.press("Enter")), lambda: _none(others), page)  # noqa: B023
        )
        switches.append(_timed(lambda: _go(page, "/"), lambda: _card(page), page))
    return {
        "page_switch_s": round(median(switches), 2),
        "choosing_a_row_s": round(median(rows), 2),
        "filter_s": round(median(filters), 2),
    }


def _go(page: Page, href: str) -> None:
    page.evaluate("(href) => window.spyhopBar.go(href)", href)


def _card(page: Page) -> None:
    page.get_by_text("Unresolved anomalies").first.wait_for()


def _none(found: Any) -> None:
    expect(found).to_have_count(0)


def _timed(act: Callable[[], object], seen: Callable[[], object], page: Page | None = None) -> float:
    if page:
        settle(page)
    began = perf_counter()
    act()
    seen()
    return perf_counter() - began


def server(stack: ExitStack, folder: Path) -> str:
    process(
        stack,
        [sys.executable, "-m", "spyhop", "serve", "--data", str(folder)]
        + [f"--{name}=127.0.0.1:0" for name in ("otlp-grpc", "otlp-http", "api")],
    )
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        time.sleep(0.05)
        api = read_api(folder)
        try:
            if api and httpx2.get(f"{api}/readyz", trust_env=False).status_code == 200:
                return api
        except httpx2.HTTPError:
            continue
    sys.exit("the server did not become ready")


def process(stack: ExitStack, command: list[str]) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    started = stack.enter_context(
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=root)
    )
    stack.callback(started.terminate)
    return started


if __name__ == "__main__":
    main()
