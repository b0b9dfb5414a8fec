"""What a shop sent, whatever it is written in: each claim beside what the shop says that it did.

The shops (`python/`, `node/`, `java/`, `go/`) serve `/pay/{order}`, which calls `/stock/{item}` within a span
of their own, `reserve`, and log. They pay six orders, of which the fifth fails.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from tests.clients.serving import Served

ORDERS = 6
UNLUCKY = 5


@dataclass(frozen=True)
class Shop:
    """What its SDK calls things."""

    service: str  # where the application names none
    language: str
    pay: str  # the names of the SERVER spans
    stock: str
    logger: str = "shop"  # scope of its log records
    client: str = "GET"  # the name of the CLIENT spans
    severities: tuple[str, str, str] = ("INFO", "WARN", "ERROR")
    log_attributes: bool = True  # the record of an order has `order`
    exemplars: bool = True
    counter_value: str = "value_int"
    schema_of_spans: str = "https://example.com/schema"
    failure: str = "unlucky"  # status message of the order that fails


def check_spans(served: Served, shop: Shop, told: dict[str, Any]) -> None:
    """Each request is one trace of client, server, the shop's own span and the call within it."""
    assert told["statuses"] == [500 if order == UNLUCKY else 200 for order in range(1, ORDERS + 1)]
    rows = served.rows("SELECT * FROM spans WHERE service_name = ?", shop.service)
    by_id = {row["span_id"]: row for row in rows}
    names = Counter((row["span_kind"], row["span_name"]) for row in rows if row["span_kind"] != "INTERNAL")
    assert names == {
        ("CLIENT", shop.client): 2 * ORDERS,
        ("SERVER", shop.pay): ORDERS,
        ("PRODUCER", "reserve"): ORDERS,
        ("SERVER", shop.stock): ORDERS,
    }
    for row in rows:
        if row["span_kind"] == "SERVER" and row["span_name"] == shop.stock:
            way = [row]
            while way[-1]["parent_span_id"]:
                way.append(by_id[way[-1]["parent_span_id"]])
            assert [span["span_name"] for span in way if span["span_kind"] != "INTERNAL"] == [
                shop.stock, shop.client, "reserve", shop.pay, shop.client,
            ]  # fmt: skip
    failed = Counter(
        row["span_name"] for row in rows if row["status_code"] == "ERROR" and row["span_kind"] != "INTERNAL"
    )
    assert failed == {shop.client: 1, shop.pay: 1, "reserve": 1}
    assert {row["resource_attributes"]["telemetry.sdk.language"] for row in rows} == {shop.language}


def check_recorded(served: Served, shop: Shop, told: dict[str, Any]) -> None:
    """Attributes keep their types; events, links, scope and the exception are those that were recorded."""
    rows = served.rows("SELECT * FROM spans WHERE service_name = ? AND span_name = 'reserve'", shop.service)
    by_id = {row["span_id"]: row for row in rows}
    assert by_id.keys() == {one["span_id"] for one in told["recorded"]}
    for one in told["recorded"]:
        row, order = by_id[one["span_id"]], one["order"]
        assert row["trace_id"] == one["trace_id"]
        recorded = {"order": order, "express": order % 2 == 0, "weight": 0.5, "tags": ["a", "b"], "note": ""}
        assert {key: row["attributes"].get(key) for key in recorded} == recorded
        assert (row["scope_name"], row["scope_version"]) == ("shop.lib", "1.2")
        assert row["scope_schema_url"] == shop.schema_of_spans
        assert (row["events"][0]["name"], row["events"][0]["attributes"]) == ("picked", {"shelf": 7})
        (link,) = row["links"]
        assert (link["trace_id"], link["span_id"]) == (f"{0xABC:032x}", f"{0xDEF:016x}")
        assert link["attributes"] == {"why": "basket"}
        assert (row["status_code"] == "ERROR") == (order == UNLUCKY)
        if order == UNLUCKY:
            assert row["status_message"] == shop.failure
            assert row["events"][1]["name"] == "exception"
            assert row["events"][1]["attributes"]["exception.message"] == "unlucky"


def check_logs(served: Served, shop: Shop) -> None:
    """A log record has the trace and the span in which it was written, its severity and its attributes."""
    rows = served.rows(
        "SELECT l.*, s.service_name AS spans_service, s.span_name FROM logs l"
        " LEFT JOIN spans s USING (trace_id, span_id)"
        " WHERE l.service_name = ? AND l.scope_name = ? ORDER BY l.time",
        shop.service,
        shop.logger,
    )
    info, warn, error = shop.severities
    wanted = []
    for order in range(1, ORDERS + 1):
        wanted.append((info, 9, f"paying {order}"))
        wanted.append((warn, 13, f"stock of {order} is low"))
        if order == UNLUCKY:
            wanted.append((error, 17, f"no luck with {order}"))
    assert [(row["severity_text"], row["severity_number"], row["body"]) for row in rows] == wanted
    for row in rows:
        assert row["spans_service"] == shop.service
        assert (row["span_name"] == "reserve") == ("stock" not in row["body"])
    if shop.log_attributes:
        of_orders = [row["attributes"]["order"] for row in rows if row["severity_text"] == info]
        assert of_orders == list(range(1, ORDERS + 1))


def check_metrics(served: Served, shop: Shop, told: dict[str, Any]) -> None:
    """Counters, histograms and gauges have the values that were recorded, and exemplars name their spans."""
    rows = served.rows(
        "SELECT * FROM metrics WHERE service_name = ? AND scope_name = 'shop.lib' ORDER BY time", shop.service
    )
    newest = {
        (row["metric_name"], row["attributes"].get("express"), row["attributes"].get("desk")): row
        for row in rows
    }
    assert newest.keys() == {
        ("shop.orders", True, None),
        ("shop.orders", False, None),
        ("shop.order.value", None, None),
        ("shop.open", None, "a"),
    }
    for express in (True, False):
        counter = newest["shop.orders", express, None]
        assert counter[shop.counter_value] == ORDERS / 2
        assert (counter["metric_unit"], counter["metric_description"]) == ("{order}", "Orders taken.")
        kind = (counter["metric_kind"], counter["temporality"], counter["is_monotonic"])
        assert kind == ("sum", "CUMULATIVE", True)
    histogram = newest["shop.order.value", None, None]
    figures = tuple(histogram[name] for name in ("count", "sum", "min", "max", "metric_unit"))
    assert figures == (ORDERS, 210.0, 10.0, 60.0, "EUR")
    assert (histogram["explicit_bounds"], histogram["bucket_counts"]) == ([10, 100], [1, 5, 0])
    assert newest["shop.open", None, "a"]["value_double"] == 0.5
    spans = {(one["trace_id"], one["span_id"]) for one in told["recorded"]}
    exemplars = [exemplar for row in newest.values() for exemplar in row["exemplars"]]
    assert bool(exemplars) == shop.exemplars
    assert {(exemplar["trace_id"], exemplar["span_id"]) for exemplar in exemplars} <= spans


def check_sender(served: Served, shop: Shop, agent: str, transport: str) -> None:
    """`/api/senders` counts what came of all three signals, and names no problem."""
    senders = served.senders(agent)  # Go's exporter of logs has a version, and so an agent, of its own
    for signal, table in (("traces", "spans"), ("logs", "logs"), ("metrics", "metrics")):
        (counted,) = served.rows(
            f"SELECT count(*)::INTEGER AS n FROM {table} WHERE service_name = ?", shop.service
        )
        assert sum(sender["accepted"].get(signal, 0) for sender in senders) == counted["n"] > 0
    assert [(sender["transport"], sender["problems"]) for sender in senders] == [(transport, [])] * len(
        senders
    )
