"""The page Exchange over a real exchange, and what it says of faults."""

from __future__ import annotations

import asyncio
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from streamlit.testing.v1 import AppTest

from collector.errors import InvalidInput, NotFound, Unauthenticated, Unavailable
from dashboard.data import exchange as calls
from dashboard.truth import verdict
from dashboard.views import exchange as page
from exchange_ref.exchange import Exchange, ExchangeConfig
from exchange_ref.faults.fault import Target
from exchange_ref.faults.labels import LabelFile
from exchange_ref.faults.runner import FaultRunner
from exchange_ref.faults.schedule import Schedule
from exchange_ref.load.arrivals import Load
from exchange_ref.load.traders import Traders
from exchange_ref.services.admin import Admin
from exchange_ref.services.market_data import market_data
from exchange_ref.telemetry.span_export import BoundedSpanExport
from tests.dashboard.page import Opener, shown

TOKEN = "t0ken"
PATIENCE_S = 60.0


class Running(threading.Thread):
    """An exchange with load and switches, in a thread with a loop of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self._folder = folder
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self.url = ""

    def __enter__(self) -> Running:
        self.start()
        assert self._ready.wait(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._end is not None
        self._loop.call_soon_threadsafe(self._end.set)
        self.join(PATIENCE_S)

    def run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop, stop = asyncio.get_running_loop(), asyncio.Event()
        self._end = stop
        export = BoundedSpanExport(InMemorySpanExporter(), schedule_delay_ms=50)
        exchange = Exchange(ExchangeConfig(self._folder / "exchange", admin_token=TOKEN), export)
        await exchange.start()
        load = Load(exchange.wallet, Traders(random.Random(1), "run"), random.Random(2), 20.0)
        labels = LabelFile(self._folder / "labels.jsonl")
        runner = FaultRunner(Schedule(1, ()), Target(exchange, load, time.time_ns), labels, stop)
        exchange.gateway.market = lambda: market_data(exchange, load)
        exchange.gateway.admin = Admin(TOKEN, runner, load).answer
        self.url = exchange.front.url
        self._ready.set()
        await load.run(stop)
        await runner.finish()
        await load.abandon()
        await exchange.stop()
        export.shutdown()
        labels.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(tmp_path_factory.mktemp("exchange")) as started:
        yield started


@pytest.fixture
def opened(
    monkeypatch: pytest.MonkeyPatch, open_page: Opener, running: Running, shared_api_url: str
) -> Callable[..., AppTest]:
    def run(token: str = TOKEN, url: str | None = None) -> AppTest:
        monkeypatch.setenv("SPYHOP_EXCHANGE_GATEWAY", (url or running.url).removeprefix("http://"))
        monkeypatch.setenv("SPYHOP_EXCHANGE_ADMIN_TOKEN", token)
        return open_page("exchange", shared_api_url)

    return run


def button(app: AppTest, label: str) -> Any:
    return next(each for each in app.button if each.label == label)


def test_an_order_leads_to_its_trace(opened: Callable[..., AppTest]) -> None:
    """The form sends a real order; its answer names the trace, and a refused order says why."""
    app = opened()
    assert re.search(r"\d+/s orders .* accepted, ", shown(app))
    assert "resting order" in shown(app)
    quantity = next(each for each in app.text_input if each.label == "Quantity, BTC")
    quantity.set_value("0.01")
    button(app, "Send").click().run()
    assert not app.exception
    assert re.search(r"✓ (FILLED|PARTIALLY_FILLED|EXPIRED): \S+ of 0\.01 filled", shown(app))
    body = " ".join(element.proto.body for element in app.get("html"))
    assert re.search(r'href="trace\?id=[0-9a-f]{32}&amp;live=false"', body)
    next(each for each in app.text_input if each.label == "Quantity, BTC").set_value("lots")
    button(app, "Send").click().run()
    assert re.search(r"▲ 400: quantity: .*its trace →", shown(app))


def test_load_and_faults_are_switched_and_the_truth_stands_beside(
    opened: Callable[..., AppTest], running: Running
) -> None:
    """A fault is switched on with its truth in sight and ended; its label stands beside what was said."""
    app = opened()
    app.number_input[0].set_value(35.0)
    button(app, "Set load").click().run()
    assert "The load is 35/s now." in app.success[0].value
    assert calls.market(running.url)["load"]["rate_per_s"] == 35.0
    app.selectbox[3].select("gateway_delay").run()
    assert "Truth: api-gateway · kong.router" in shown(app)
    button(app, "Switch on").click().run()
    assert not app.exception
    app = opened()
    assert re.search(r"⚡ gateway_delay-\d+ happens now. Truth: api-gateway", shown(app))
    button(app, "End it").click().run()
    deadline = time.monotonic() + PATIENCE_S
    while not (over := calls.state(running.url, TOKEN)["faults"]["over"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
        calls.state.clear()
    assert over[0]["root_operation"] == "kong.router"
    assert re.search(
        r"gateway_delay-\d+ \S+ UTC .* api-gateway · kong\.router (yes|not measurable)", shown(opened())
    )


def test_without_a_token_it_says_how_to_give_one(opened: Callable[..., AppTest], running: Running) -> None:
    """Market and orders need none; switches do, and a wrong one is refused with the reason."""
    app = opened(token="")
    assert "can be switched with a token" in shown(app)
    assert not [each for each in app.button if each.label == "Switch on"]
    with pytest.raises(Unauthenticated, match="admin token"):
        calls.set_rate(running.url, "guess", 5)
    with pytest.raises(InvalidInput, match="rate_per_s"):
        calls.set_rate(running.url, TOKEN, 0)


def test_what_is_no_exchange_is_called_so(shared_api_url: str, opened: Callable[..., AppTest]) -> None:
    """Nothing there, or another program: a message with what to do, and nothing is raised."""
    with pytest.raises(Unavailable, match="does not answer"):
        calls.market("http://127.0.0.1:9")
    with pytest.raises(NotFound, match="answered 404"):
        calls.market(shared_api_url)
    assert "does not answer" in shown(opened(url="http://127.0.0.1:9"))


def label(**changes: object) -> dict[str, Any]:
    """A fault of the second 1000 to 1010."""
    second = 10**9
    return {
        "root_service": "kx-exchange",
        "root_operation": "SELECT wallets",
        "start_unix_nano": 1000 * second,
        "end_unix_nano": 1010 * second,
        "impact_verified": True,
        **changes,
    }


def control() -> dict[str, Any]:
    return label(root_service=None, root_operation=None)


def incident(first_s: int, last_s: int, **changes: object) -> dict[str, Any]:
    return {
        "incident_id": "i1",
        "kind": "latency",
        "title": "slow",
        "first_span_time": f"1970-01-01T00:{first_s // 60:02d}:{first_s % 60:02d}Z",
        "last_span_time": f"1970-01-01T00:{last_s // 60:02d}:{last_s % 60:02d}Z",
        "root_causes": [{"service": "kx-exchange", "operation": "SELECT wallets"}],
        **changes,
    }


@pytest.mark.parametrize(
    ("fault", "incidents", "good", "words"),
    [
        (label(), [incident(1001, 1009)], True, "kx-exchange · SELECT wallets"),
        (label(root_operation="INSERT orders"), [incident(1001, 1009)], None, "the service is right"),
        (label(), [incident(1001, 1009, root_causes=[{"service": "a", "operation": "b"}])], False, "a · b"),
        (label(), [incident(1001, 1009, root_causes=[])], False, "no cause; slow"),
        (label(), [incident(1100, 1110)], False, "nothing was said"),
        (label(impact_verified=False), [], None, "no effect that could be measured"),
        (label(root_service=None, root_operation=None), [], True, "there was no fault"),
        (label(root_service=None, root_operation=None), [incident(1001, 1009)], False, "said: slow"),
        (
            label(root_service=None, root_operation=None),
            [incident(1001, 1009, kind="amount")],
            True,
            "no fault",
        ),
    ],
)
def test_what_was_said_is_held_against_the_truth(
    fault: dict[str, Any], incidents: list[dict[str, Any]], *, good: bool | None, words: str
) -> None:
    """Right cause, right service only, wrong cause, no cause, silence, no effect, and a control."""
    said = verdict(fault, incidents)
    assert said.good is good
    assert words in said.text


def test_a_book_with_one_side_is_drawn() -> None:
    """An empty side is said, and a book that is not current too."""
    pair = {
        "base": "BTC", "quote": "USD", "asks": [], "bids": [[10.0, 2.0]], "last_price": 10.0,
        "reference_price": 11.0, "price_age_s": 3.0, "resting_orders": 1,
    }  # fmt: skip
    drawn = re.sub(r"<[^>]+>", " ", page.ladder(pair, is_current=False))
    assert "one side is empty" in drawn
    assert "outside 11.00, 3 s old" in drawn
    assert "the book from before" in drawn
