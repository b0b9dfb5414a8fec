"""Python as README starts it, `opentelemetry-instrument python app.py`, with the endpoint as only setting."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.clients.loop import check_loop
from tests.clients.python.shop_facts import ORDERS, UNLUCKY
from tests.clients.serving import Served, run_client

SHOP = Path(__file__).parent / "python" / "shop.py"
SERVICE = "unknown_service:python"  # what the SDK calls an application that has no name


@pytest.fixture(scope="module")
def told(served: Served, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the shop says that it did, all of which has landed."""
    done = run_client(
        [str(Path(sys.executable).with_name("opentelemetry-instrument")), sys.executable, str(SHOP)],
        {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{served.grpc}"},
        tmp_path_factory.mktemp("shop"),
    )
    assert done.returncode == 0, done.stderr
    served.landed()
    return json.loads(done.stdout.splitlines()[-1])


def test_spans(served: Served, told: dict[str, Any]) -> None:
    """Each request is one trace of client, server, the shop's own span and the call within it."""
    assert told["statuses"] == [200, 200, 200, 200, 500, 200]
    rows = served.rows("SELECT * FROM spans WHERE service_name = ?", SERVICE)
    by_id = {row["span_id"]: row for row in rows}
    names = Counter(
        (row["span_kind"], row["span_name"]) for row in rows if "http send" not in row["span_name"]
    )
    assert names == {
        ("CLIENT", "GET"): 2 * ORDERS,
        ("SERVER", "GET /pay/{order}"): ORDERS,
        ("PRODUCER", "reserve"): ORDERS,
        ("SERVER", "GET /stock/{item}"): ORDERS,
    }
    for row in rows:
        if row["span_name"] == "GET /stock/{item}":
            way = [row]
            while way[-1]["parent_span_id"]:
                way.append(by_id[way[-1]["parent_span_id"]])
            assert [span["span_name"] for span in way] == [
                "GET /stock/{item}", "GET", "reserve", "GET /pay/{order}", "GET",
            ]  # fmt: skip
    failed = {row["span_name"].removesuffix(" http send") for row in rows if row["status_code"] == "ERROR"}
    assert failed == {"GET", "GET /pay/{order}", "reserve"}
    assert {row["resource_attributes"]["telemetry.sdk.language"] for row in rows} == {"python"}


def test_what_the_shop_recorded(served: Served, told: dict[str, Any]) -> None:
    """Attributes keep their types; events, links, scope and the exception are those that were recorded."""
    rows = served.rows("SELECT * FROM spans WHERE span_name = 'reserve'")
    by_id = {row["span_id"]: row for row in rows}
    assert by_id.keys() == {one["span_id"] for one in told["recorded"]}
    for one in told["recorded"]:
        row, order = by_id[one["span_id"]], one["order"]
        assert row["trace_id"] == one["trace_id"]
        assert row["attributes"] == {
            "order": order, "express": order % 2 == 0, "weight": 0.5, "tags": ["a", "b"], "note": "",
        }  # fmt: skip
        assert (row["scope_name"], row["scope_version"]) == ("shop.lib", "1.2")
        assert row["scope_schema_url"] == "https://example.com/schema"
        assert row["events"][0]["name"] == "picked"
        assert row["events"][0]["attributes"] == {"shelf": 7}
        (link,) = row["links"]
        assert (link["trace_id"], link["span_id"]) == (f"{0xABC:032x}", f"{0xDEF:016x}")
        assert link["attributes"] == {"why": "basket"}
        if order == UNLUCKY:
            assert row["status_message"] == "ValueError: unlucky"
            assert row["events"][1]["attributes"]["exception.type"] == "ValueError"


def test_logs_stand_in_their_spans(served: Served, told: dict[str, Any]) -> None:
    """A log record has the trace and the span in which it was written, its severity and its attributes."""
    rows = served.rows(
        "SELECT l.*, s.span_name FROM logs l LEFT JOIN spans s USING (trace_id, span_id)"
        " WHERE l.service_name = ? AND l.scope_name = 'shop' ORDER BY l.time",
        SERVICE,
    )
    said = [(row["severity_text"], row["body"], row["span_name"]) for row in rows]
    wanted = []
    for order in range(1, ORDERS + 1):
        wanted.append(("INFO", f"paying {order}", "reserve"))
        wanted.append(("WARN", f"stock of {order} is low", "GET /stock/{item}"))
        if order == UNLUCKY:
            wanted.append(("ERROR", f"no luck with {order}", "reserve"))
    assert said == wanted
    assert [row["attributes"] for row in rows if row["severity_text"] == "INFO"] == [
        {"order": order} for order in range(1, ORDERS + 1)
    ]
    assert {row["severity_text"]: row["severity_number"] for row in rows} == {
        "INFO": 9,
        "WARN": 13,
        "ERROR": 17,
    }


def test_metrics_lead_to_traces(served: Served, told: dict[str, Any]) -> None:
    """Counters, histograms and gauges have the values that were recorded, and exemplars name their spans."""
    rows = served.rows("SELECT * FROM metrics WHERE scope_name = 'shop.lib' ORDER BY metric_name, value_int")
    by_name = {
        name: [row for row in rows if row["metric_name"] == name]
        for name in {row["metric_name"] for row in rows}
    }
    assert by_name.keys() == {"shop.orders", "shop.order.value", "shop.open"}
    assert {(row["attributes"]["express"], row["value_int"]) for row in by_name["shop.orders"]} == {
        (True, 3),
        (False, 3),
    }
    counter = by_name["shop.orders"][0]
    assert (counter["metric_unit"], counter["metric_description"]) == ("{order}", "Orders taken.")
    assert (counter["metric_kind"], counter["temporality"], counter["is_monotonic"]) == (
        "sum",
        "CUMULATIVE",
        True,
    )
    (histogram,) = by_name["shop.order.value"]
    assert (histogram["count"], histogram["sum"], histogram["min"], histogram["max"]) == (
        6,
        210.0,
        10.0,
        60.0,
    )
    assert (histogram["explicit_bounds"], histogram["bucket_counts"]) == ([10, 100], [1, 5, 0])
    spans = {(one["trace_id"], one["span_id"]) for one in told["recorded"]}
    exemplars = [exemplar for row in (*by_name["shop.orders"], histogram) for exemplar in row["exemplars"]]
    assert exemplars
    assert {(exemplar["trace_id"], exemplar["span_id"]) for exemplar in exemplars} <= spans
    (gauge,) = by_name["shop.open"]
    assert (gauge["value_double"], gauge["attributes"]) == (0.5, {"desk": "a"})


def test_the_sender_is_known(served: Served, told: dict[str, Any]) -> None:
    """`/api/senders` counts what came of all three signals, and names no problem."""
    (sender,) = served.senders("OTel-OTLP-Exporter-Python")
    for signal in ("spans", "logs", "metrics"):
        (counted,) = served.rows(f"SELECT count(*)::INTEGER AS n FROM {signal}")
        assert sender["accepted"][{"spans": "traces"}.get(signal, signal)] == counted["n"]
    assert (sender["transport"], sender["problems"]) == ("grpc", [])


def test_the_whole_loop(served: Served, told: dict[str, Any]) -> None:
    """Figures, searches, look-ups and the trace view know the service, its routes and whom it calls."""
    check_loop(served, SERVICE, "GET /pay/{order}", '{ span.http.route = "/pay/{order}" && status = error }')
    callees = served.rows(
        "SELECT DISTINCT callee_of(span_kind, attributes) AS callee FROM spans WHERE span_name = 'GET'"
    )
    assert callees == [{"callee": f"127.0.0.1:{told['port']}"}]
