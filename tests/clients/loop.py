"""What Spyhop says of a service that sent spans: each figure beside what the stored spans give."""

from __future__ import annotations

import re
from typing import Any

from tests.clients.serving import Served
from tests.clients.shop import Shop

_CALLS = re.compile(r"traces_spanmetrics_calls_total\{(.*)\} (\S+)")
_WINDOW_S = 86_400  # tests that run alone may hold up a worker between two others for minutes
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def check_loop(served: Served, shop: Shop, told: dict[str, Any]) -> None:
    """Figures, search, Jaeger's and Tempo's look-ups, the callee and the trace view know the shop."""
    rows = served.rows(
        "SELECT span_name, span_kind, status_code, trace_id, duration_ns FROM spans WHERE service_name = ?",
        shop.service,
    )
    check_figures(served, shop.service, rows)
    (failed,) = {row["trace_id"] for row in rows if row["status_code"] == "ERROR"}
    search = f'{{ resource.service.name = "{shop.service}" && name = "{shop.pay}" && status = error }}'
    assert [
        trace["trace_id"] for trace in served.get("/api/traces/search", q=search, since="1d")["traces"]
    ] == [failed]
    assert shop.service in served.get("/jaeger/api/services")["data"]
    operations = served.get(f"/jaeger/api/services/{shop.service}/operations")["data"]
    assert {shop.pay, shop.stock, "reserve"} <= set(operations)
    names = served.get("/tempo/api/v2/search/tag/resource.service.name/values")["tagValues"]
    assert shop.service in {name["value"] for name in names}
    callees = served.rows(
        "SELECT DISTINCT callee_of(span_kind, attributes) AS callee FROM spans"
        " WHERE service_name = ? AND span_kind = 'CLIENT'",
        shop.service,
    )
    assert callees == [{"callee": f"127.0.0.1:{told['port']}"}]
    check_trace(served, rows, failed)


def check_figures(served: Served, service: str, rows: list[dict[str, Any]]) -> None:
    """Calls, errors and durations of the service are those of its spans, here and for Prometheus."""
    served.until(
        lambda: (
            sum(_calls(served, service).values()) == len(rows) == _in_topology(served, service)["span_count"]
        ),
        f"figures of {service}",
    )
    counted: dict[tuple[str, str, str], float] = {}
    for row in rows:
        key = (row["span_name"], f"SPAN_KIND_{row['span_kind']}", f"STATUS_CODE_{row['status_code']}")
        counted[key] = counted.get(key, 0) + 1
    assert _calls(served, service) == counted
    figures = _in_topology(served, service)
    errors = sum(row["status_code"] == "ERROR" for row in rows)
    assert abs(figures["error_rate"] - errors / len(rows)) < 1e-6
    durations = sorted(row["duration_ns"] for row in rows)
    assert durations[0] <= figures["p50_ns"] <= figures["p95_ns"] <= figures["p99_ns"] <= durations[-1]
    health = served.get("/api/monitor/health")
    assert health["detection"]["error"] is None
    assert health["detection"]["set_aside"]["count"] == 0


def check_trace(served: Served, rows: list[dict[str, Any]], trace_id: str) -> None:
    """The trace view shows every span with a critical path, and the explanation cites the trace's spans."""
    view = served.get(f"/api/monitor/trace/{trace_id}")
    assert len(view["spans"]) == sum(row["trace_id"] == trace_id for row in rows)
    assert any(span["on_critical_path"] for span in view["spans"])
    assert not any(span["orphan"] for span in view["spans"])
    explained = served.api.post("/api/monitor/analyze", json={"trace_id": trace_id}).json()
    assert explained["evidence"]
    assert {fact["trace_id"] for fact in explained["evidence"]} == {trace_id}


def _calls(served: Served, service: str) -> dict[tuple[str, str, str], float]:
    """(name, kind, status) → calls, as Prometheus reads them."""
    calls = {}
    for text, count in _CALLS.findall(served.api.get("/metrics").text):
        labels = dict(_LABEL.findall(text))
        if labels["service"] == service:
            calls[labels["span_name"], labels["span_kind"], labels["status_code"]] = float(count)
    return calls


def _in_topology(served: Served, service: str) -> dict[str, Any]:
    services = served.get("/api/monitor/topology", window_s=_WINDOW_S)["services"]
    return next((one for one in services if one["service_name"] == service), {"span_count": 0})
