"""The page Market over the real server, which orders with amounts have been sent to."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import expect
from streamlit.testing.v1 import AppTest

import detectors.api.routes
from collector.server import Server
from collector.settings import Settings
from collector.store.store import Store
from dashboard.charts import market as charts
from dashboard.data.presence import Watch
from detectors.pipeline.worker import Pipeline
from detectors.settings import Settings as DetectorSettings
from tests.accessibility import complaints
from tests.browsing import chromium, settle, watched_page
from tests.dashboard.page import Opener, shown
from tests.dashboard.shop_rows import HOSTILE
from tests.dashboard.test_exchange import TOKEN, Running

ORDERS = 150
PATIENCE_S = 60.0
SCRIPT = "from dashboard.views import market\n\nmarket.render()\n"
WHALE_TRACE = "ee" * 16


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that has learned what orders of two accounts amount to, and has found a whale of a third."""

    def build(store: Store) -> tuple[list[object], list[object]]:
        pipeline = Pipeline(store, DetectorSettings(detect_learn_interval_s=0.1, detect_learn_delay_s=0.1))
        return [detectors.api.routes.build_router(store, pipeline)], [pipeline]

    free = "127.0.0.1:0"
    folder = Path(tmp_path_factory.mktemp("market")) / "data"
    server = Server(Settings(data=folder, otlp_grpc=free, otlp_http=free, api=free), build)
    addresses = server.start()
    try:
        rng, now_ns = random.Random(5), time.time_ns()
        usual = [
            order(
                f"{number:032x}",
                now_ns - (200 - number) * 10**9,
                rng.uniform(0.5, 1.5),
                f"trader-{number % 2}",
            )
            for number in range(1, ORDERS + 1)
        ]
        send(addresses["otlp_http"], usual)
        wait_for(addresses["api"], "SELECT count(*) FROM amount_baselines WHERE cell = 'order|BTC|BUY'")
        send(addresses["otlp_http"], [order(WHALE_TRACE, time.time_ns() - 10**9, 400.0, HOSTILE)])
        wait_for(addresses["api"], "SELECT count(*) FROM anomalies WHERE detector = 'amount'")
        yield addresses["api"]
    finally:
        server.stop()


def order(trace_id: str, start_ns: int, quantity: float, account: str) -> dict[str, object]:
    texts = {"order.pair": "BTC/USD", "order.side": "BUY", "user.id": account}
    figures = {"order.quantity": quantity, "order.fill_price": 42_000.0}
    return {
        "traceId": trace_id,
        "spanId": trace_id[16:],
        "name": "place order",
        "kind": 2,
        "startTimeUnixNano": str(start_ns),
        "endTimeUnixNano": str(start_ns + 20_000_000),
        "attributes": [
            *({"key": key, "value": {"stringValue": value}} for key, value in texts.items()),
            *({"key": key, "value": {"doubleValue": value}} for key, value in figures.items()),
        ],
    }


def send(otlp_url: str, spans: list[dict[str, object]]) -> None:
    shop = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    body = {"resourceSpans": [{"resource": shop, "scopeSpans": [{"spans": spans}]}]}
    headers = {"Content-Type": "application/json"}
    answer = httpx2.post(
        f"{otlp_url}/v1/traces", content=json.dumps(body), headers=headers, timeout=PATIENCE_S
    )
    assert answer.status_code == 200, answer.text


def wait_for(url: str, count: str) -> None:
    """Until a query counts something."""
    deadline = time.monotonic() + PATIENCE_S
    while not httpx2.post(f"{url}/api/sql", json={"query": count}, timeout=PATIENCE_S).json()["rows"][0][0]:
        assert time.monotonic() < deadline, count
        time.sleep(0.05)


@pytest.fixture
def opened(open_page: Opener, url: str) -> Callable[..., AppTest]:
    def run(**query: str) -> AppTest:
        app = open_page("market", url, **query)
        assert "could not be read" not in shown(app)
        return app

    return run


def test_a_whale_stands_beside_the_amounts_of_others(opened: Callable[..., AppTest]) -> None:
    """Orders have a price and amounts with thresholds; the whale has its account, size and trace."""
    app = opened()
    said = shown(app)
    assert re.search(r"Price of BTC/USD about 1[3-7]\d orders in the last 15m, 0 signals", said)
    assert re.search(r"A whale begins at \d+(\.\d+)? BTC: beyond 3σ and 3 times", said)
    assert re.search(r"SEV\d BUY 400 BTC [34]\d\d× 16\.8 M USD 1 trace", said)
    assert "No surveillance signal in the last 15m" in said
    body = " ".join(element.proto.body for element in app.get("html"))
    assert f'href="trace?id={WHALE_TRACE}&amp;span={WHALE_TRACE[16:]}&amp;live=false"' in body
    assert "&lt;img src=x" in body  # the account's name is text
    assert "<img src=x" not in body
    specs = [json.loads(element.proto.spec) for element in app.get("vega_lite_chart")]
    (amounts,) = [spec for spec in specs if len(spec["layer"]) == 3]
    assert amounts["layer"][1]["encoding"]["x"]["scale"] == {"type": "log"}
    assert amounts["layer"][2]["encoding"]["text"]["field"] == "threshold"


def test_another_kind_is_chosen_by_its_address(opened: Callable[..., AppTest]) -> None:
    """Amounts and pair come from the address; one that is not known gives way to the most usual."""
    assert "A whale begins at" in shown(opened(amounts="order|BTC"))
    assert "A whale begins at" in shown(opened(amounts="order|DOGE|BUY", pair="DOGE/USD"))


def test_what_is_there_has_its_pages(url: str) -> None:
    """A server with amounts has the page Market; without an exchange there is no page for one."""
    watch = Watch(url, "http://127.0.0.1:9")
    deadline = time.monotonic() + PATIENCE_S
    while not watch.now().market:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not watch.now().exchange
    nothing = Watch("http://127.0.0.1:9", "").now()
    assert not nothing.market
    assert not nothing.exchange


def test_accounts_are_those_with_the_largest_amounts() -> None:
    """Of many accounts the largest are drawn, and a whale's point has its severity."""
    import polars as pl

    rows = pl.DataFrame(
        {
            "trace_id": [f"t{number}" for number in range(40)],
            "span_id": ["s"] * 40,
            "at_ms": [1_700_000_000_000] * 40,
            "amount": [float(number + 1) for number in range(40)],
            "account": [None if number == 39 else f"a{number}" for number in range(40)],
        }
    )
    kept = charts.accounts(rows, {"t39": 1})
    assert kept["account"].n_unique() == charts.ACCOUNTS_MAX
    assert kept.filter(pl.col("account") == charts.NOBODY).select("look", "amount").rows() == [("SEV1", 40.0)]
    assert kept["amount"].min() == 27.0


@pytest.mark.browser
def test_market_and_exchange_in_the_browser(url: str, axe: str, tmp_path: Path) -> None:
    """Both pages are in the navigation; an order leads to its trace; axe-core finds nothing at 1440 and at
    800 pixels."""
    with (
        Running(tmp_path) as exchange,
        dashboard(url, exchange.url.removeprefix("http://")) as base,
        chromium() as browser,
        watched_page(browser, base) as page,
    ):
        page.goto("/market?live=false")
        settle(page)
        expect(page.get_by_text("A whale begins at")).to_be_visible()
        assert complaints(page, axe) == []
        page.goto("/exchange?live=false")
        settle(page)
        expect(page.get_by_text("Place an order")).to_be_visible()
        assert complaints(page, axe) == []
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_role("link", name="its trace →")).to_have_attribute("href", re.compile("id="))
        page.get_by_role("link", name="Market").first.click()
        settle(page)
        expect(page.get_by_text("A whale begins at")).to_be_visible()


@contextmanager
def dashboard(url: str, exchange: str) -> Iterator[str]:
    """The address of a dashboard process, which ends also when the test fails."""
    run = f"from dashboard.serve import run; run({url!r}, '127.0.0.1', 0, exchange={exchange!r})"
    given = {**os.environ, "SPYHOP_EXCHANGE_ADMIN_TOKEN": TOKEN}
    with subprocess.Popen(
        [sys.executable, "-c", run], stdout=subprocess.PIPE, text=True, env=given
    ) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().split()[1]
        finally:
            process.terminate()
            process.wait(60)
