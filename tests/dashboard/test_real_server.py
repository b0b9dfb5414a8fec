"""The pages over the real server: receiver, store, detectors, explainer. The contract, kept."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

import detectors.api.routes
import llm.api
from collector.server import Server
from collector.settings import Settings
from collector.store.store import Store
from dashboard import data
from dashboard.components.waterfall.model import payload
from dashboard.components.waterfall.span_details import details
from dashboard.data.services import operations, topology
from dashboard.data.telemetry import LogFilters
from dashboard.triage import Filters, sections
from dashboard.views import frame
from detectors.pipeline.worker import Pipeline
from detectors.settings import Settings as DetectorSettings
from llm.reviews.feedback import FeedbackBook
from llm.service import Explainer
from llm.settings import Settings as LlmSettings

BATCH_ORDERS = 400
PATIENCE_S = 20.0


def order(number: int, quantity: float, start_ns: int) -> list[dict[str, object]]:
    """An order of two spans as OTLP JSON."""
    trace_id, ns = f"{number:032x}", 1_000_000
    amount = [
        {"key": "order.quantity", "value": {"doubleValue": quantity}},
        {"key": "order.pair", "value": {"stringValue": "BTC/USD"}},
        {"key": "order.side", "value": {"stringValue": "BUY"}},
    ]
    root = {
        "traceId": trace_id,
        "spanId": f"{2 * number + 1:016x}",
        "name": "order.submit.client",
        "kind": 1,
        "startTimeUnixNano": str(start_ns),
        "endTimeUnixNano": str(start_ns + 5 * ns),
        "attributes": amount,
    }
    child = {
        "traceId": trace_id,
        "spanId": f"{2 * number + 2:016x}",
        "parentSpanId": root["spanId"],
        "name": "SELECT wallets",
        "kind": 3,
        "startTimeUnixNano": str(start_ns + ns),
        "endTimeUnixNano": str(start_ns + 3 * ns),
        "attributes": [],
        "events": [{"timeUnixNano": str(start_ns + 2 * ns), "name": "row", "attributes": []}],
    }
    return [root, child]


def send(otlp_url: str, spans: list[dict[str, object]]) -> None:
    service = [{"key": "service.name", "value": {"stringValue": "kx-wallet"}}]
    body = {"resourceSpans": [{"resource": {"attributes": service}, "scopeSpans": [{"spans": spans}]}]}
    answer = httpx2.post(
        f"{otlp_url}/v1/traces", content=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The addresses of a real server that learns quickly."""

    def build(store: Store) -> tuple[list[object], list[object]]:
        pipeline = Pipeline(store, DetectorSettings(detect_learn_interval_s=0.1, detect_learn_delay_s=0.1))
        explainer = Explainer(store, LlmSettings(llm_base_url="", llm_model=""))
        routers = [
            detectors.api.routes.build_router(store, pipeline),
            llm.api.build_router(store, explainer, FeedbackBook(store)),
        ]
        return routers, [pipeline]

    free = "127.0.0.1:0"
    settings = Settings(
        data=Path(tmp_path_factory.mktemp("real")) / "data", otlp_grpc=free, otlp_http=free, api=free
    )
    server = Server(settings, build)
    yield server.start()
    server.stop()


@pytest.fixture(scope="module")
def whale(real: dict[str, str]) -> dict[str, object]:
    """The whale among ordinary orders, once the server has flagged it."""
    url, rng, now_ns = real["api"], random.Random(4), time.time_ns()
    assert data.health(url)["services"] == []
    assert data.incidents(url) == data.anomalies(url) == []
    assert data.red_series(url, 900, 10).is_empty()
    send(
        real["otlp_http"],
        [
            span
            for number in range(1, BATCH_ORDERS + 1)
            for span in order(number, rng.lognormvariate(-2, 0.4), now_ns - 60 * 10**9 + number * 10**8)
        ],
    )
    wait_until(lambda: httpx2.get(f"{url}/api/monitor/baselines").json()["amount_baselines"])
    send(real["otlp_http"], order(BATCH_ORDERS + 1, 400.0, now_ns))
    found: list[dict[str, object]] = []
    wait_until(lambda: found.extend(data.anomalies(url, detector="amount")) or found)
    return found[0]


def wait_until(met) -> None:  # type: ignore[no-untyped-def] # any truth
    deadline = time.monotonic() + PATIENCE_S
    while not met():
        assert time.monotonic() < deadline, "the server did not get there"
        time.sleep(0.2)


def test_every_reading_fits_the_real_answers(real: dict[str, str], whale: dict[str, object]) -> None:
    """Health, series, incidents, counts, trace and queue are read without a missing field."""
    url = real["api"]
    assert [row["service_name"] for row in data.health(url)["services"]] == ["kx-wallet"]
    data.red_series.clear()  # it remembers the empty store for some seconds
    assert data.red_series(url, 900, 10)["request_count"].sum() >= BATCH_ORDERS - 1
    assert sum(data.severity_counts(url).values()) >= 1
    trace = data.trace(url, str(whale["trace_id"]))
    drawn, sent = payload(trace), details(trace)
    assert drawn["names"] == ["order.submit.client", "SELECT wallets"]
    assert (drawn["columns"]["name"], drawn["columns"]["depth"]) == ([0, 1], [0, 1])
    assert sent["rows"][1][sent["names"].index("events")][0]["offset_ns"] == 2_000_000
    incidents = data.incidents(url)
    shown = sections(incidents, data.anomaly_groups(url, alone=True), Filters(), frame.now())
    (events,) = [section["items"] for section in shown if section["title"].startswith("Whales")]
    assert "Whale" in events[0]["title"]
    now_ns = time.time_ns()
    assert data.user_red(url, now_ns)[0]["operation"] == "order.submit.client"
    assert data.service_red(url, now_ns)[0]["service_name"] == "kx-wallet"
    logs = LogFilters(now_ns - 3_600 * 10**9, now_ns)
    assert data.log_lines(url, logs) == data.log_templates(url, logs) == []
    assert data.metric_names(url, now_ns - 3_600 * 10**9, now_ns) == []
    assert data.span_links(url, str(whale["trace_id"])) == data.trace_logs(url, str(whale["trace_id"])) == []
    assert data.incident_pulse(url, str(whale["incident_id"]))[0][1] == 1
    assert {row["operation"] for row in operations(url, "kx-wallet", now_ns - 3_600 * 10**9, now_ns)} == {
        "order.submit.client",
        "SELECT wallets",
    }
    assert topology(url, 900)["services"][0]["service_name"] == "kx-wallet"


def test_a_whale_and_its_incident_are_in_one_state(real: dict[str, str], whale: dict[str, object]) -> None:
    """Acknowledging the whale acknowledges its incident; opening the incident again opens the whale."""
    url, incident_id, anomaly_id = real["api"], str(whale["incident_id"]), str(whale["anomaly_id"])
    data.set_state(url, "anomaly", anomaly_id, "acknowledged")
    assert data.incident(url, incident_id)["state"] == "acknowledged"
    data.set_state(url, "incident", incident_id, "open")
    assert data.anomaly(url, anomaly_id)["state"] == "open"


def test_a_whale_may_be_called_normal(real: dict[str, str], whale: dict[str, object]) -> None:
    """The server takes the word that an incident is normal now, and resolves it; amounts stay as learned."""
    url, incident_id = real["api"], str(whale["incident_id"])
    assert data.expect(url, incident_id, "anna") == []
    assert data.incident(url, incident_id)["state"] == "resolved"
    data.set_state(url, "incident", incident_id, "open")  # as the other tests want it


def test_feedback_reaches_the_store_and_comes_back(real: dict[str, str], whale: dict[str, object]) -> None:
    """A correction is found again by the anomaly, and the same rater's next word replaces it."""
    url, anomaly_id = real["api"], str(whale["anomaly_id"])
    explained = data.explanation(url, "anomaly", anomaly_id, 20.0)
    assert "400 BTC" in explained["summary"]
    body = {"explanation_id": explained["explanation_id"], "rating": "down", "rater": "anna"}
    data.rate(url, {**body, "correction": {"root_service": "treasury", "recommendations": ["Ask them"]}})
    (row,) = data.ratings(url, "anomaly", anomaly_id)
    assert row["correction"] == {"root_service": "treasury", "recommendations": ["Ask them"]}
    data.rate(url, {**body, "rating": "up"})
    (row,) = data.ratings(url, "anomaly", anomaly_id)
    assert (row["rating"], row["rater"]) == ("up", "anna")
