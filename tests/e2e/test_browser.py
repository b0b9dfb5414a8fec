"""The whole stack in Chromium: real server, real exchange, real dashboard."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from collector.client import Client
from dashboard.demo.ports import free_port
from tests.browsing import chromium, settle, watched_page
from tests.e2e.support import Running, wait_for
from tests.pace import check, patience_s

# The whale comes at a time of its own. By then enough orders are known on a slow machine too: 400 times the
# usual is 4.9σ after 241 orders.
pytestmark = [pytest.mark.e2e, pytest.mark.alone, pytest.mark.browser, pytest.mark.timeout(patience_s(180))]

WHALE_AT_S = 18
SLOW_AT_S = 26  # after the whale has been seen; it lasts to the end of the test
SLOW_MS = 300
VISIBLE_S = 5.0
NOISE_S = 5.0  # the machine of a test run is shared; the figure is measured by tests/benchmarks/demo.py


def test_live_faults_are_two_clicks_away_and_judged(start: Callable[..., Running], tmp_path: Path) -> None:
    """A whale reaches the open dashboard; one click leads to its span, another to what the span says. Its
    explanation is rated, corrected, and found after a reload. From a statement that has become slow
    meanwhile, two clicks lead from Now to what the guilty span says."""
    data, labels, faults = tmp_path / "data", tmp_path / "labels.jsonl", tmp_path / "faults.yaml"
    whale_fault = f"{{kind: whale_order, at_s: {WHALE_AT_S}, params: {{multiple: 400}}}}"
    slow_fault = f"{{kind: db_slow, at_s: {SLOW_AT_S}, for_s: 600, params: {{delay_ms: {SLOW_MS}}}}}"
    faults.write_text(f"faults:\n  - {whale_fault}\n  - {slow_fault}\n")
    grpc, http, api, page_port, gateway, exchange_api = (free_port() for _ in range(6))
    api_url = f"http://127.0.0.1:{api}"
    server = start(
        "serve",
        *("--data", str(data), "--api", f"127.0.0.1:{api}"),
        *("--otlp-grpc", f"127.0.0.1:{grpc}", "--otlp-http", f"127.0.0.1:{http}"),
    )
    dashboard = start("dashboard", "--api", api_url, "--port", str(page_port))
    assert server.says("ready", 30), server.text()
    assert dashboard.says("dashboard", 30), dashboard.text()
    exchange = start(
        "exchange",
        *("--otlp", f"http://127.0.0.1:{grpc}", "--data", str(tmp_path / "exchange")),
        *("--gateway", f"127.0.0.1:{gateway}", "--exchange-api", f"127.0.0.1:{exchange_api}"),
        *("--faults", str(faults), "--labels", str(labels)),
    )

    with chromium() as browser, watched_page(browser, f"http://127.0.0.1:{page_port}") as page:
        page.goto("/")
        whale = page.get_by_role("link", name=re.compile(r"BUY .* BTC")).first
        whale.wait_for(timeout=patience_s(WHALE_AT_S + 30) * 1000)
        seen_s = time.time()
        assert wait_for(labels.exists, 10), exchange.text()
        label = json.loads(labels.read_text().splitlines()[0])
        check(seen_s - label["start_unix_nano"] / 1e9, VISIBLE_S + NOISE_S)

        page.goto("/?live=false")
        settle(page)
        whale.click()
        settle(page)
        expect(page.get_by_role("treeitem")).to_have_count(17)
        _selected_says(page, "order.submit.client kx-wallet", "order.quantity")
        page.get_by_role("button", name="Wrong").click()
        page.get_by_label("What really happened").fill("A treasury transfer")
        page.get_by_role("button", name="Save").click()
        said = page.get_by_text(re.compile("Saved. You said this explanation is wrong"))
        expect(said).to_be_visible()
        page.reload()
        settle(page)
        expect(page.get_by_text(re.compile("Whale: BUY")).first).to_be_visible()
        expect(said).to_be_visible()
        expect(page.get_by_text("A treasury transfer")).to_be_visible()

        page.goto("/")
        guilty = page.get_by_role("link", name="Open the guilty span").first
        guilty.wait_for(timeout=patience_s(40) * 1000)
        expect(page.locator(".chip").filter(has_text="ONGOING").first).to_be_visible()
        guilty.click()
        _selected_says(page, "SELECT wallets kx-exchange", "db.")

    with Client(api_url) as client:
        stored = client.sql("SELECT rating, correction::VARCHAR AS correction FROM feedback").to_dicts()
    assert [row["rating"] for row in stored] == ["down"]
    assert "A treasury transfer" in stored[0]["correction"]


def _selected_says(page: Page, name: str, attribute: str) -> None:
    """The span that is selected has this name; a click on it shows its attributes."""
    span = page.get_by_role("treeitem", selected=True)
    expect(span).to_have_accessible_name(re.compile(f"^{re.escape(name)}"))
    span.click()
    expect(page.locator(".drawer").get_by_text(attribute).first).to_be_visible()
