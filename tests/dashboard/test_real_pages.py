"""The pages over the real server with telemetry of all three signals."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
from playwright.sync_api import expect
from streamlit.testing.v1 import AppTest

import detectors.api.routes
import llm.api
from collector.server import Server
from collector.settings import Settings
from collector.store.store import Store
from dashboard.data.telemetry import genai_calls, usual_trace
from detectors.pipeline.worker import Pipeline
from detectors.settings import Settings as DetectorSettings
from llm.reviews.feedback import FeedbackBook
from llm.service import Explainer
from llm.settings import Settings as LlmSettings
from tests.accessibility import complaints
from tests.browsing import chromium, settle, watched_page
from tests.dashboard.hostile import (
    DIRECTIVES,
    INJECTED,
    ODD_INCIDENT,
    ODD_SPAN,
    ODD_TRACE,
    ODD_WHALE,
    SHOWN,
    hostile_gauge,
    odd_lines,
    odd_spans,
    store_oddities,
    text,
)
from tests.dashboard.page import Opener, shown
from tests.dashboard.shop_rows import HOSTILE

pytestmark = pytest.mark.long

ORDERS = 60
PATIENCE_S = 60.0


def resource(service: str) -> dict[str, object]:
    return {"attributes": [text("service.name", service), text("service.version", "1.4.0")]}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server to which a shop has sent orders, log lines and a histogram; one in six orders fails slowly."""

    def build(store: Store) -> tuple[list[object], list[object]]:
        store_oddities(store)
        pipeline = Pipeline(store, DetectorSettings(detect_learn_interval_s=0.1, detect_learn_delay_s=0.1))
        explainer = Explainer(store, LlmSettings(llm_base_url="", llm_model=""))
        routers = [
            detectors.api.routes.build_router(store, pipeline),
            llm.api.build_router(store, explainer, FeedbackBook(store)),
        ]
        return routers, [pipeline]

    free = "127.0.0.1:0"
    folder = Path(tmp_path_factory.mktemp("pages")) / "data"
    server = Server(Settings(data=folder, otlp_grpc=free, otlp_http=free, api=free), build)
    addresses = server.start()
    send(addresses["otlp_http"])
    deadline = time.monotonic() + PATIENCE_S
    tables = " + ".join(f"(SELECT count(*) FROM {name})" for name in ("spans", "logs", "metrics"))
    counted = {"query": f"SELECT {tables}"}
    while (
        httpx2.post(f"{addresses['api']}/api/sql", json=counted, timeout=PATIENCE_S).json()["rows"][0][0]
        < 3 * ORDERS + 8
    ):
        assert time.monotonic() < deadline, "the telemetry did not land"
        time.sleep(0.1)
    yield addresses["api"]
    server.stop()


def send(otlp_url: str) -> None:
    """Orders over the last minutes: the shop calls the bank, which fails with a hostile message."""
    rng, now_ns = random.Random(3), time.time_ns()
    shop, bank, lines = [], [], []
    for number in range(1, ORDERS + 1):
        start, failed = now_ns - 300 * 10**9 + number * 4 * 10**9, number % 6 == 0
        length = int((400 if failed else 20) * 1e6 * rng.uniform(0.8, 1.2))
        trace, root = f"{number:032x}", f"{2 * number:016x}"
        times = {"startTimeUnixNano": str(start), "endTimeUnixNano": str(start + length)}
        shop.append({"traceId": trace, "spanId": root, "name": "POST /pay", "kind": 2, **times})
        status = {"code": 2, "message": HOSTILE} if failed else {"code": 0}
        tier = [text("customer.tier", "gold" if failed else "basic"), text("note", HOSTILE)]
        child = {"traceId": trace, "spanId": f"{2 * number + 1:016x}", "parentSpanId": root, "name": "charge"}
        bank.append({**child, "kind": 2, **times, "status": status, "attributes": tier})
        said = {"stringValue": f"card {number} declined {HOSTILE}" if failed else f"paid order {number}"}
        number_of, word = (17, "ERROR") if failed else (9, "INFO")
        level = {"severityNumber": number_of, "severityText": word}
        lines.append({"timeUnixNano": str(start), "traceId": trace, "spanId": root, "body": said, **level})
    exemplar = {"timeUnixNano": str(now_ns), "asDouble": 0.4, "traceId": f"{6:032x}", "spanId": f"{12:016x}"}
    point = {
        "timeUnixNano": str(now_ns), "count": "60", "sum": 5.0, "bucketCounts": ["50", "10"],
        "explicitBounds": [0.1], "exemplars": [exemplar], "attributes": [text("http.route", HOSTILE)],
    }  # fmt: skip
    histogram = {"aggregationTemporality": 1, "dataPoints": [point]}
    metrics = [{"name": "pay.duration", "unit": "s", "histogram": histogram}]
    metrics += [hostile_gauge(now_ns, HOSTILE, DIRECTIVES), hostile_gauge(now_ns, DIRECTIVES, HOSTILE)]
    spans = [
        {"resource": resource(name), "scopeSpans": [{"spans": made}]}
        for name, made in (("shop", shop), ("bank", bank))
    ] + odd_spans(now_ns)
    lines += odd_lines(now_ns)
    shops = resource("shop")
    bodies = {
        "traces": {"resourceSpans": spans},
        "logs": {"resourceLogs": [{"resource": shops, "scopeLogs": [{"logRecords": lines}]}]},
        "metrics": {"resourceMetrics": [{"resource": shops, "scopeMetrics": [{"metrics": metrics}]}]},
    }
    for signal, body in bodies.items():
        headers = {"Content-Type": "application/json"}
        answer = httpx2.post(
            f"{otlp_url}/v1/{signal}", content=json.dumps(body), headers=headers, timeout=PATIENCE_S
        )
        assert answer.status_code == 200, answer.text


@pytest.fixture
def opened(open_page: Opener, url: str) -> Opener:
    """Opens a page by name with query parameters; nothing may be raised and nothing refused."""

    def run(name: str, **query: str) -> AppTest:
        app = open_page(name, url, **query)
        assert "could not be read" not in shown(app)
        return app

    return run


def test_traces_are_searched_sorted_and_click_through(opened: Opener) -> None:
    """A search narrows the table; a wrong one is answered with its place and examples, not with a failure."""
    app = opened("traces", q="{ status = error }", traces_sort="slowest")
    assert "11 traces that match in the last 15m" in shown(app)
    body = " ".join(element.proto.body for element in app.get("html"))
    assert f'href="trace?id={60:032x}&amp;live=false"' in body
    assert "61 traces that match" in shown(opened("traces"))
    wrong = shown(opened("traces", q="{ status = }"))
    assert "The search is not understood" in wrong
    assert "No trace matches in the last 15m" in shown(opened("traces", q="{ name = `nobody` }"))


def test_a_usual_trace_is_one_that_did_not_fail(opened: Opener, url: str) -> None:
    """Beside a failed order stands one of the middle; the comparison names both and the slow call."""
    started = int(time.time() * 1e9)
    usual = usual_trace(url, f"{6:032x}", "shop", "POST /pay", started)
    assert usual is not None
    assert int(usual["trace_id"], 16) % 6
    assert 10e6 < usual["duration_ns"] < 40e6
    assert usual_trace(url, f"{6:032x}", "shop", "nothing", started) is None
    assert genai_calls(url, f"{6:032x}") == []
    said = shown(opened("trace", id=f"{6:032x}", **{"with": usual["trace_id"]}))
    assert re.search(r"charge bank errors 1 / 0 1 / 1 ", said)


def test_the_map_and_a_service_say_who_calls_whom(opened: Opener) -> None:
    """The map's table has the edge with its failures; a service has its operations with their figures."""
    text_of_map = shown(opened("services"))
    assert re.search(r"shop → bank \S+/s 16\.7% ", text_of_map)
    assert "No deploy in the last 15m." in text_of_map
    one = opened("services", service="bank", operation="charge", kind="SERVER")
    assert re.search(r"1\.4\.0 \S+ UTC \S+ UTC 60 16\.7%", shown(one))
    assert re.search(r"charge server 60 16\.7% ", shown(one))
    assert "No span of this service" in shown(opened("services", service="nobody"))


def test_sql_runs_from_its_link_and_says_what_is_wrong(opened: Opener) -> None:
    """A statement in the address runs; a refused one says why; nothing shows examples."""
    app = opened(
        "sql", sql="SELECT service_name, count(*) AS calls FROM spans GROUP BY ALL ORDER BY 2 DESC, 1"
    )
    assert app.dataframe[0].value["calls"].tolist() == [60, 60, 1, 1]
    assert "4 rows" in shown(app)
    assert not opened("sql", sql="DELETE FROM spans").dataframe
    assert "Begin with one of these" in shown(opened("sql"))


def test_metrics_have_a_chart_and_exemplars_that_lead_to_traces(opened: Opener) -> None:
    """The list names kind and senders; a metric leads to the trace of its exemplar."""
    assert "pay.duration histogram s shop 1" in shown(opened("metrics"))
    app = opened("metrics", metric="pay.duration")
    body = " ".join(element.proto.body for element in app.get("html"))
    assert f'href="trace?id={6:032x}&amp;span={12:016x}&amp;live=false"' in body
    assert "No figure of it in the last 15m" in shown(opened("metrics", metric="nothing"))


def test_logs_of_a_trace_and_their_templates(opened: Opener) -> None:
    """Templates mask numbers; a trace id narrows to the lines of that trace."""
    assert re.search(r"ERROR 10 card \* declined .* shop 10 ", shown(opened("logs")))
    lines = shown(opened("logs", log_trace=f"{6:032x}", log_view="lines"))
    assert "card 6 declined" in lines
    assert "paid order" not in lines


def test_health_says_what_each_part_does(opened: Opener) -> None:
    """Checks, the sender with what was taken of it, and what is stored."""
    said = shown(opened("health"))
    assert "✓ The server is ready" in said
    assert re.search(r"127\.0\.0\.1 .* 122 63 3 ", said)
    assert "spans 122" in said


def test_a_verdict_by_key_is_stored_and_leaves_the_queue(opened: Opener, url: str) -> None:
    """An explained trace is in the queue; one press judges it with the correction, and the queue is empty."""
    assert "Nothing to review" in shown(opened("review"))
    explained = httpx2.post(f"{url}/api/monitor/analyze", json={"trace_id": f"{6:032x}"}).json()
    app = opened("review")
    assert "unreviewed" in shown(app)
    app.text_area[0].set_value("The bank refused gold cards")
    app.button(key="verdict-partly_right").click().run()
    assert not app.exception
    assert "Saved: partly right." in app.success[0].value
    path = f"{url}/api/monitor/feedback"
    (row,) = httpx2.get(path, params={"explanation_id": explained["explanation_id"]}).json()["feedback"]
    assert (row["verdict"], row["rater"]) == ("partly_right", "anna")
    assert row["correction"]["summary"] == "The bank refused gold cards"
    assert "Nothing to review" in shown(opened("review"))


def rate_all(url: str, said: dict[str, object]) -> None:
    """Somebody's word on each explanation that waits for it."""
    path = f"{url}/api/monitor/feedback"
    with httpx2.Client(timeout=PATIENCE_S) as client:
        queue = client.get(f"{path}/queue", params={"reviewer": str(said["rater"])}).json()["queue"]
        for item in queue:
            answer = client.post(path, json={"explanation_id": item["explanation_id"], **said})
            assert answer.status_code == 201, answer.text


WAITING = "getComputedStyle(document.querySelector('.stMainBlockContainer'), '::after').content"


@pytest.mark.browser
def test_hostile_text_is_text_on_every_page(url: str, axe: str, tmp_path: Path) -> None:
    """Names, attributes, resource, scope, events, exceptions, links, messages, log lines, levels, metrics,
    units, incidents and what people said: none opens a dialog, becomes an element or an icon, turns text
    around, or makes the browser ask another machine, on any page; the text is shown as it is. And axe-core
    finds nothing there, at 1440 and at 800 pixels. A page says that it waits as long as nothing of it is
    there, and no longer."""
    httpx2.post(f"{url}/api/monitor/analyze", json={"incident_id": ODD_INCIDENT}, timeout=PATIENCE_S)
    said = {"correction": {"summary": DIRECTIVES, "root_service": HOSTILE}, "comment": DIRECTIVES}
    rate_all(url, {"rater": DIRECTIVES, "rating": "down", **said})
    start = f"from dashboard.serve import run; run({url!r}, '127.0.0.1', 0)"
    named = quote(HOSTILE)
    places = [
        "/?",
        f"/incident?id={ODD_INCIDENT}&",
        f"/incident?anomaly={ODD_WHALE}&",
        "/traces?q=%7Bstatus%3Derror%7D&",
        f"/trace?id={ODD_TRACE}&span={ODD_SPAN}&",
        "/services?",
        f"/services?service={named}&operation={named}&kind=SERVER&",
        "/logs?",
        "/logs?log_view=lines&",
        "/metrics?",
        f"/metrics?metric={named}&",
        "/sql?sql=SELECT+span_name,status_message,attributes+FROM+spans&",
        "/review?",
        "/market?",
        "/health?",
    ]
    command = [sys.executable, "-c", start]
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(command, stdout=-1, stderr=log, text=True) as running,
    ):
        dialogs: list[str] = []
        wrong: dict[str, list[str]] = {}
        try:
            assert running.stdout
            base = running.stdout.readline().split()[1]
            with chromium() as browser, watched_page(browser, base) as page:
                page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
                for place in places:
                    page.goto(f"{place}live=false")
                    settle(page)
                    if place.startswith("/trace?"):
                        page.get_by_role("treeitem").first.click()
                        for part in ("Resource", "Scope"):
                            expect(page.locator(".drawer").get_by_text(part, exact=True)).to_be_visible()
                    if place.startswith("/traces?"):
                        page.get_by_role("button", name="Service").click()
                        expect(page.get_by_text(DIRECTIVES[:20]).last).to_be_visible()
                        assert page.evaluate(INJECTED) == []
                        page.keyboard.press("Escape")
                    assert page.evaluate(INJECTED) == [], place
                    if not place.startswith(("/sql", "/review", "/market", "/health")):
                        shown_text = page.evaluate(SHOWN)
                        assert any(odd[:8] in shown_text for odd in (HOSTILE, DIRECTIVES)), place
                    wrong[place] = complaints(page, axe)
                    assert page.evaluate(WAITING) == "none", place
                page.evaluate("for (const part of document.querySelectorAll('.sp')) part.remove()")
                assert "Waiting for the server" in page.evaluate(WAITING)
            assert dialogs == []
            assert {place: found for place, found in wrong.items() if found} == {}
        finally:
            running.terminate()
            running.wait(60)
            rate_all(url, {"rater": "anna", "rating": "down"})  # the other tests' reviewer has nothing to do
    assert "Traceback" not in (tmp_path / "log").read_text()
