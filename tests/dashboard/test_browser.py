"""The dashboard in Chromium: the whale is found, judged, and found again."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from dashboard.components.assets import bundle
from tests.accessibility import complaints
from tests.browsing import chromium, settle, watched_page
from tests.dashboard.shop_rows import GENAI_TRACE, SLOW_TRACE, WHALE_TRACE, span_id

pytestmark = [pytest.mark.browser, pytest.mark.long]


@pytest.fixture(scope="module")
def dashboard_url(shared_api_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A dashboard process over the fixture server; a traceback in its log fails the test."""
    log = tmp_path_factory.mktemp("dashboard") / "dashboard.log"
    start = f"from dashboard.serve import run; run({shared_api_url!r}, '127.0.0.1', 0)"
    command = [sys.executable, "-c", start]
    with (
        log.open("w") as sink,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sink, text=True) as running,
    ):
        assert running.stdout
        yield running.stdout.readline().split()[1]
        running.terminate()
        running.wait(60)  # a machine with much to do takes its time
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture
def page(browser: Browser, dashboard_url: str) -> Iterator[Page]:
    with watched_page(browser, dashboard_url) as opened:
        yield opened


def test_the_whale_is_found_judged_and_found_again(page: Page) -> None:
    """From the overview to the whale, its trace and a correction, which a reload still shows."""
    page.goto("/?live=false")
    settle(page)
    page.get_by_role("link", name="BUY 402.5 BTC").click()
    settle(page)
    expect(page.get_by_text("Times expected")).to_be_visible()
    expect(page.get_by_role("treeitem")).to_have_count(17)
    page.get_by_role("button", name="Wrong").click()
    page.get_by_label("What really happened").fill("A treasury transfer")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text(re.compile("Saved. You said this explanation is wrong"))).to_be_visible()
    page.reload()
    settle(page)
    expect(page.get_by_text("Whale: BUY 402.5 BTC").first).to_be_visible()
    expect(page.get_by_text(re.compile("Saved. You said this explanation is wrong"))).to_be_visible()
    expect(page.get_by_text("A treasury transfer")).to_be_visible()


def test_a_citation_leads_to_its_span_and_keys_walk_the_tree(page: Page) -> None:
    """Evidence selects its span; keys move, collapse and open the details; search counts its matches."""
    page.goto("/incident?live=false&id=inc-slow")
    settle(page)
    page.get_by_role("link", name="E2", exact=True).click()
    page.wait_for_url(re.compile("span="))
    settle(page)
    entry = page.get_by_role("treeitem", name=re.compile("^POST .api.v1.orders kx-exchange"))
    expect(entry).to_have_attribute("aria-selected", "true")
    page.get_by_role("link", name="E1", exact=True).click()
    slow = page.get_by_role("treeitem", name=re.compile("^SELECT wallets kx-exchange"))
    expect(slow).to_have_attribute("aria-selected", "true")
    expect(slow).to_have_accessible_name(re.compile(r"\+151 ms over baseline ?, on the critical path"))
    settle(page)
    tree = page.get_by_role("tree")
    tree.focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("treeitem")).to_have_count(7)
    page.keyboard.press("]")
    page.keyboard.press("Enter")
    expect(page.get_by_text("BTC-USD")).to_be_visible()
    box = page.get_by_role("searchbox", name="Find spans in this trace")
    box.fill("kx-matcher order")
    expect(page.get_by_text("1 of 4")).to_be_visible()
    box.press("Enter")
    expect(page.get_by_text("2 of 4")).to_be_visible()


def test_two_clicks_lead_from_now_to_the_guilty_span(page: Page) -> None:
    """The first page leads to the slow statement, in sight without scrolling, and its details to one more."""
    page.goto("/?live=false")
    settle(page)
    page.get_by_role("link", name="Open the guilty span").click()
    page.wait_for_url(re.compile(r"/incident\?id=inc-slow&span="))
    slow = page.get_by_role("treeitem", name=re.compile("^SELECT wallets kx-exchange"))
    expect(slow).to_have_attribute("aria-selected", "true")
    first = page.get_by_role("treeitem").first.bounding_box()
    right = page.get_by_role("button", name="Right", exact=True).bounding_box()
    assert first
    assert right
    assert first["y"] < 700
    assert right["y"] < 1000
    slow.click()
    expect(page.get_by_text("BTC-USD")).to_be_visible()


def test_the_box_and_keys_lead_to_pages_without_loading_again(page: Page) -> None:
    """A trace id opens the trace; `g l` the logs; `?` lists the keys; the page is never loaded anew."""
    page.goto("/?live=false")
    settle(page)
    page.evaluate("window.stays = true")
    page.get_by_role("searchbox", name="Trace id, or a search").fill(SLOW_TRACE)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(f"/trace\\?id={SLOW_TRACE}"))
    expect(page.get_by_role("treeitem")).to_have_count(17)
    settle(page)
    page.mouse.click(2, 300)  # leaves the box
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("l")
    page.wait_for_url(re.compile("/logs"))
    expect(page.get_by_role("link", name="order * filled")).to_be_visible()
    assert page.evaluate("window.stays")


@pytest.mark.parametrize(("place", "searched"), [(0, "%22\\+%7D"), (1, "status\\+%3D\\+error\\+%7D")])
def test_a_click_in_a_chart_opens_its_traces(page: Page, place: int, searched: str) -> None:
    """The point nearest to a click on Now leads to that service's traces of the five minutes around it; a
    point of the errors to those that failed."""
    page.goto("/?live=false")
    settle(page)
    chart = page.get_by_test_id("stVegaLiteChart").nth(place)
    chart.scroll_into_view_if_needed()
    expect(chart.locator("canvas, svg").first).to_be_visible()
    chart.click()
    page.wait_for_url(
        re.compile(f"/traces\\?q=%7B\\+resource.service.name\\+%3D\\+%22.*{searched}&at=.*&range=5m")
    )
    settle(page)
    expect(page.get_by_role("button", name=re.compile("^5m until"))).to_be_visible()


def test_a_severity_in_the_address_narrows_the_queue(page: Page) -> None:
    """The tile of a severity leads to the queue with that severity alone."""
    page.goto("/?live=false")
    settle(page)
    page.get_by_role("link", name="2", exact=True).first.click()
    page.wait_for_url(re.compile("severity=SEV5"))
    settle(page)
    queue = page.get_by_role("listbox", name=re.compile("Queue"))
    expect(queue.get_by_role("option")).to_have_count(2)
    expect(page.get_by_text("Shown: SEV5")).to_be_visible()


def test_everybody_can_read_and_operate_the_pages_of_an_incident(page: Page, axe: str) -> None:
    """axe-core finds nothing at 1440 and at 800 pixels, and no page is wider than its window; nor with the
    keys' dialog or a span's details open, or where a part says that it failed."""
    compared = f"/trace?id={SLOW_TRACE}&with={WHALE_TRACE}&"
    for place in ("/?", "/incident?id=inc-slow&", compared, "/incident?id=gone&"):
        page.goto(f"{place}live=false")
        settle(page)
        if place == compared:
            page.get_by_role("treeitem").first.click()
            expect(page.locator(".drawer").get_by_text("Self time")).to_be_visible()
        assert complaints(page, axe) == [], place
    expect(page.get_by_text("not stored").first).to_be_visible()
    page.mouse.click(2, 300)  # leaves the box
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    assert complaints(page, axe) == []


def test_what_the_bad_traces_have_in_common_is_shown(page: Page) -> None:
    """An incident shows which attributes set its traces apart, with value, shares, lift and support; one
    whose traces differ in nothing says so."""
    page.goto("/incident?live=false&id=inc-slow")
    settle(page)
    page.get_by_role("tab", name="Attributes").click()
    row = page.get_by_role("row", name=re.compile("service.version"))
    expect(row).to_have_text(re.compile(r"2\.4\.1.*client\.build = 911.*92%.*3\.1%.*30×.*11.*kx-wallet"))
    hostile = page.get_by_role("row", name=re.compile("order.note"))
    expect(hostile).to_have_text(re.compile(r"<img src=x onerror=alert\(1\)>.*25%.*0%.*over 100×.*3"))
    assert page.evaluate("document.querySelectorAll('img[src=x]').length") == 0
    page.goto("/incident?live=false&id=inc-whale")
    settle(page)
    expect(page.get_by_role("treeitem").first).to_be_visible()
    page.get_by_role("tab", name="Attributes").click()
    expect(page.get_by_text("No attribute sets its traces apart")).to_be_visible()


def test_the_queue_is_walked_by_keyboard(page: Page) -> None:
    """Arrow and Enter open the next row, and the address follows."""
    page.goto("/incident?live=false")
    settle(page)
    queue = page.get_by_role("listbox", name=re.compile("Queue"))
    expect(queue.get_by_role("option")).to_have_count(5)
    queue.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("anomaly=a-hostile"))
    settle(page)
    expect(page.get_by_text("4.4σ").first).to_be_visible()


def test_telemetry_cannot_script_the_page(page: Page) -> None:
    """A hostile operation name is text everywhere; no dialog, no request to elsewhere."""
    opened: list[str] = []
    page.on("dialog", lambda dialog: (opened.append(dialog.message), dialog.dismiss()))
    page.goto("/incident?live=false&anomaly=a-hostile")
    settle(page)
    page.get_by_role("treeitem").nth(6).click()
    expect(page.get_by_text("<img src=x onerror=alert(1)>").first).to_be_visible()
    assert page.evaluate("document.querySelectorAll('img[src=x]').length") == 0
    assert opened == []


def test_what_a_language_model_was_told_is_read_in_the_drawer(page: Page) -> None:
    """Model, tokens, cost, and prompt and completion in their own lines, as text."""
    page.goto(f"/trace?live=false&id={GENAI_TRACE}&span={span_id(6)}")
    settle(page)
    page.get_by_role("treeitem", name=re.compile("^SELECT wallets")).click()
    expect(page.get_by_text("acme-large").first).to_be_visible()
    expect(page.get_by_text("$0.0042")).to_be_visible()
    expect(page.get_by_text("Why is it slow?\nBe short.")).to_be_visible()
    expect(page.locator(".said").filter(has_text="<img src=x")).to_be_visible()
    assert page.evaluate("document.querySelectorAll('img[src=x]').length") == 0


def test_a_trace_of_5000_spans_stays_light(page: Page) -> None:
    """Only the rows in sight exist; the last error is one key away; what was left out is said."""
    page.goto("/incident?live=false&anomaly=a-big")
    settle(page)
    expect(page.get_by_text("Showing 5,000 of 10,000 spans")).to_be_visible()
    assert page.get_by_role("treeitem").count() < 60
    page.get_by_role("tree").focus()
    page.keyboard.press("e")
    expect(page.get_by_role("treeitem", name=re.compile("call 4990 .*error"))).to_be_visible()
    assert page.get_by_role("treeitem").count() < 60


def test_rows_know_their_subtrees_and_siblings(browser: Browser) -> None:
    """In lists of depths drawn by chance, a row lies before the end of each of its ancestors, and siblings
    count themselves."""
    rng = random.Random(16)
    page = browser.new_page()
    page.add_script_tag(content=bundle("waterfall/rows.js"))
    for length in (0, 1, 5, 80, 80, 80):
        depths: list[int] = []
        for _ in range(length):
            depths.append(rng.randint(0, depths[-1] + 1) if depths else 0)
        found = page.evaluate("(depths) => placesOf(depths)", depths)
        for index, parent in enumerate(found["parent"]):
            above = [i for i in range(index) if depths[i] < depths[index]]
            assert parent == (max(above) if above else -1)
            after = [i for i in range(index + 1, length) if depths[i] <= depths[index]]
            assert found["end"][index] == (min(after) if after else length)
            siblings = [i for i in range(length) if found["parent"][i] == parent]
            assert found["setsize"][index] == len(siblings)
            assert siblings[found["posinset"][index] - 1] == index
    page.close()
