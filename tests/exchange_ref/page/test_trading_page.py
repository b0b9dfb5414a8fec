"""The trading page in a real browser, and the traces that begin with its clicks."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browsing import chromium, watched_page
from tests.exchange_ref.documented_traces import CANCEL, ORDER
from tests.exchange_ref.trace_shape import drawn
from tests.pace import patience_s

pytestmark = [pytest.mark.browser, pytest.mark.long]
PASSWORD = "correct horse"


class Served:
    """A running exchange whose event loop has a thread of its own, as a browser test blocks its own."""

    def __init__(self, running: Any, folder: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.running = running
        self.folder = folder
        self.loop = loop

    @property
    def url(self) -> str:
        return str(self.running.exchange.front.url)

    def do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(patience_s(60))

    def spans(self, name: str) -> list[Any]:
        return [span for trace in self.running.traces().values() for span in trace if span.name == name]

    def trace_of(self, page: Page, root: str) -> list[Any]:
        """The newest trace with this root, once its last span was sent."""
        for _ in range(200):
            roots = self.spans(root)
            if roots:
                trace_id = format(roots[-1].context.trace_id, "032x")
                return list(self.running.traces()[trace_id])
            page.wait_for_timeout(100)
        raise AssertionError(f"no span {root} came")


@contextmanager
def served(start_exchange: Any, folder: Path) -> Iterator[Served]:
    ready: threading.Event = threading.Event()
    found: list[Served] = []
    ended: list[asyncio.Event] = []

    async def main() -> None:
        async with start_exchange(folder) as running:
            ended.append(asyncio.Event())
            found.append(Served(running, folder, asyncio.get_running_loop()))
            ready.set()
            await ended[0].wait()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    assert ready.wait(patience_s(60))
    try:
        yield found[0]
    finally:
        found[0].loop.call_soon_threadsafe(ended[0].set)
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def exchange(start_exchange, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(start_exchange, tmp_path_factory.mktemp("page")) as running:
        yield running


def enter(page: Page, exchange: Served, email: str) -> None:
    """Registered, verified by the code of the outbox, logged in, and with 50,000 USD less the fee."""
    page.goto("/")
    page.get_by_role("button", name="Register").click()
    form = page.locator("#register-form")
    form.get_by_label("E-mail").fill(email)
    form.get_by_label("Password").fill(PASSWORD)
    form.get_by_role("button").click()
    expect(page.locator("#verify-form")).to_be_visible()
    (mail,) = [
        line
        for line in map(json.loads, (exchange.folder / "outbox.jsonl").read_text().splitlines())
        if line["to"] == email
    ]
    page.locator("#verify-form").get_by_label("Code").fill(mail["text"].split()[0])
    page.get_by_role("button", name="Verify").click()
    expect(page.locator("#desk")).to_be_visible()
    page.get_by_role("button", name="Money").click()
    form = page.locator("#funds-form")
    form.get_by_label("Asset").select_option("USD")
    form.get_by_label("Amount").fill("50000")
    form.get_by_role("button", name="Deposit").click()
    expect(page.locator("#notices")).to_contain_text("Deposited 50000 USD, fee 250: completed")
    page.get_by_role("button", name="Order", exact=True).click()


def order(page: Page, side: str, quantity: str, price: str) -> None:
    form = page.locator("#order-form")
    form.get_by_label("Type").select_option("LIMIT")
    form.get_by_label("Limit price").fill(price)
    form.get_by_label("Quantity").fill(quantity)
    form.get_by_role("button", name=side).click()


def test_an_order_is_a_trace_that_starts_with_its_click(exchange: Served, browser: Browser) -> None:
    """The 17 spans of every order, three of them the browser's; then its cancel, and a refused transfer."""
    with watched_page(browser, exchange.url) as page:
        enter(page, exchange, "ann@example.com")
        order(page, "Buy", "0.1", "41000")
        expect(page.locator("#notices")).to_contain_text("BUY 0.1 BTC: waits")
        expect(page.locator("#bids")).to_contain_text("41,000.00")
        expect(page.locator("#wallet")).to_contain_text("4,100")
        trace = exchange.trace_of(page, "order.submit.client")
        assert len(trace) == 17
        assert drawn(trace) == ORDER
        (root,) = [span for span in trace if span.parent is None]
        shown = page.locator("#notices code").first.inner_text()
        assert shown == format(root.context.trace_id, "032x")
        assert root.instrumentation_scope.name == "kx-wallet-page"
        assert {key: root.attributes[key] for key in ("order.pair", "order.side", "order.price")} == {
            "order.pair": "BTC/USD",
            "order.side": "BUY",
            "order.price": 41000,
        }
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#open-orders")).to_contain_text("No order is open.")
        assert drawn(exchange.trace_of(page, "order.cancel.client")) == CANCEL
        page.get_by_role("button", name="Send", exact=True).first.click()
        form = page.locator("#transfer-form")
        form.get_by_label("To the address").fill("kx1nobody")
        form.get_by_label("Asset").select_option("USD")
        form.get_by_label("Amount").fill("5")
        form.get_by_role("button").click()
        expect(page.locator("#notices")).to_contain_text("check it for a typing error")
        trace = exchange.trace_of(page, "transfer.submit.client")
        (root,) = [span for span in trace if span.parent is None]
        assert root.attributes["error.type"] == "invalid_transfer"


def test_spans_outlive_an_endpoint_that_is_away_and_the_page(exchange: Served, browser: Browser) -> None:
    """What is answered with 503 is sent again; what is open as the page closes is ended and sent."""
    with watched_page(browser, exchange.url) as page:
        refused: list[int] = []

        def away(route: Any) -> None:
            if len(refused) < 2:
                refused.append(len(route.request.post_data_json["resourceSpans"]))
                route.fulfill(status=503, body="{}")
            else:
                route.continue_()

        page.route("**/v1/traces", away)
        before = len(exchange.spans("page.load.client"))
        page.goto("/")
        for _ in range(300):
            if len(exchange.spans("page.load.client")) > before:
                break
            page.wait_for_timeout(100)
        assert (len(refused), len(exchange.spans("page.load.client"))) == (2, before + 1)
        # An answer that never comes.
        page.route("**/api/v1/auth/login", lambda _: None)
        form = page.locator("#login-form")
        form.get_by_label("E-mail").fill("ann@example.com")
        form.get_by_label("Password").fill(PASSWORD)
        form.get_by_role("button").click()
        page.wait_for_timeout(100)
        page.unroute("**/v1/traces")
        page.goto("about:blank")
        left: list[Any] = []
        for _ in range(300):
            left = [
                span
                for span in exchange.spans("login.submit.client")
                if span.attributes.get("browser.page_closed")
            ]
            if left:
                break
            page.wait_for_timeout(100)
        assert len(left) == 1


def test_the_page_lets_nothing_else_in(exchange: Served) -> None:
    """Its policy allows no script, style or connection from elsewhere, and no frame around it."""
    answer = exchange.do(exchange.running.stranger.request("GET", "/", {}))
    policy = answer.headers["content-security-policy"]
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    missing = exchange.do(exchange.running.stranger.request("GET", "/page/../settings.py", {}))
    assert missing.status == 404
