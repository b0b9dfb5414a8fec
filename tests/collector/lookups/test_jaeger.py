"""Jaeger's query API on the small shop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

START_US = 1_790_000_000_000_000
TIMES = {"start": START_US, "end": START_US + 10**9}
Get = Callable[..., Any]


@pytest.fixture(scope="session")
def get(shop: Any) -> Get:
    return lambda path, **params: shop.api.get(f"/jaeger/api{path}", params=params)


def test_names(get: Get) -> None:
    """Services and operations are listed, by kind where one is given."""
    assert get("/services").json() == {
        "data": ["audit", "payment", "shop"],
        "total": 3,
        "limit": 0,
        "offset": 0,
        "errors": None,
    }
    assert get("/services/shop/operations").json()["data"] == ["checkout", "login", "pay", "stock"]
    assert get("/operations", service="shop", spanKind="client").json()["data"] == [
        {"name": "pay", "spanKind": "client"}
    ]
    assert get("/v3/services").json() == {"services": ["audit", "payment", "shop"]}
    assert {"name": "login", "spanKind": "server"} in get("/v3/operations", service="shop").json()[
        "operations"
    ]


def test_trace(get: Get) -> None:
    """A trace comes with its processes, references, tags with their types, and logs."""
    answer = get("/traces/1").json()  # leading zeros may be left out
    (trace,) = answer["data"]
    assert trace["traceID"] == "0000000000000001"
    assert [span["operationName"] for span in trace["spans"]] == ["checkout", "pay", "charge", "stock"]
    charge = trace["spans"][2]
    assert trace["processes"][charge["processID"]] == {
        "serviceName": "payment",
        "tags": [{"key": "service.version", "type": "string", "value": "1"}],
    }
    assert charge == {
        "traceID": "0000000000000001",
        "spanID": "00000000000003eb",
        "operationName": "charge",
        "references": [
            {
                "refType": "CHILD_OF",
                "traceID": "0000000000000001",
                "spanID": "00000000000003ea",
            }
        ],
        "startTime": START_US + 1_002_000,
        "duration": 33_333,
        "tags": [
            {"key": "otel.scope.name", "type": "string", "value": "lib-payment"},
            {"key": "amount", "type": "float64", "value": 12.5},
            {"key": "code", "type": "string", "value": "500"},
            {"key": "order.id", "type": "int64", "value": "9007199254740993"},
            {"key": "span.kind", "type": "string", "value": "server"},
            {"key": "error", "type": "bool", "value": True},
            {"key": "otel.status_code", "type": "string", "value": "ERROR"},
            {"key": "otel.status_description", "type": "string", "value": "declined"},
        ],
        "logs": [
            {
                "timestamp": START_US + 1_002_000,
                "fields": [
                    {"key": "event", "type": "string", "value": "exception"},
                    {"key": "exception.type", "type": "string", "value": "Declined"},
                ],
            }
        ],
        "processID": charge["processID"],
        "warnings": None,
    }


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"service": "shop"}, [3, 2, 1]),
        ({"service": "shop", "limit": 1}, [3]),
        ({"service": "shop", "operation": "checkout"}, [2, 1]),
        ({"service": "shop", "minDuration": "500ms"}, [2]),
        ({"service": "shop", "operation": "pay", "maxDuration": "0.1s"}, [1]),
        ({"service": "payment", "tags": '{"error": "true"}'}, [1]),
        ({"service": "payment", "tag": ["code:500", "span.kind:server"]}, [2, 1]),
        ({"service": "shop", "tags": '{"http.status_code": "500"}'}, [1]),
        ({"service": "shop", "tags": '{"http.status_code": 200}'}, [2, 1]),
        ({"service": "shop", "tags": '{"vip": "true"}'}, [2]),
        ({"service": "audit", "tags": '{"service.version": "2"}'}, [4]),
        ({"service": "nobody"}, []),
        ({"traceID": ["1", "3"]}, [1, 3]),
    ],
)
def test_search(get: Get, params: dict[str, Any], expected: list[int]) -> None:
    """A search finds whole traces with a span that has all that was asked for, newest first."""
    traces = get("/traces", **TIMES, **params).json()["data"]
    assert [int(trace["traceID"], 16) for trace in traces] == expected


def test_dependencies(get: Get) -> None:
    """Calls between services are counted."""
    answer = get("/dependencies", endTs=START_US // 1000 + 10**6, lookback=10**6).json()
    assert answer["data"] == [
        {"parent": "shop", "child": "payment", "callCount": 2},
        {"parent": "shop", "child": "shop", "callCount": 4},
    ]


def test_v3_traces(get: Get) -> None:
    """The third version answers in OTLP's JSON, with ids in hexadecimal digits."""
    one = get("/v3/traces/1").json()["result"]["resourceSpans"]
    spans = [span for resource in one for scope in resource["scopeSpans"] for span in scope["spans"]]
    assert {span["spanId"] for span in spans} >= {"00000000000003e9"}
    found = get(
        "/v3/traces",
        **{
            "query.service_name": "payment",
            "query.start_time_min": "2026-09-21T00:00:00Z",
            "query.start_time_max": "2026-09-22T00:00:00Z",
            "query.duration_min": "200ms",
        },
    ).json()
    assert {
        span["traceId"]
        for resource in found["result"]["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    } == {"00000000000000000000000000000002"}


@pytest.mark.parametrize(
    ("path", "params", "status", "message"),
    [
        ("/traces/77", {}, 404, "trace not found"),
        ("/traces/xyz", {}, 400, "is not a trace id"),
        ("/traces", {}, 400, "parameter 'service' is required"),
        ("/traces", {"service": "shop", "tags": "{"}, 400, "is not a JSON object"),
        ("/traces", {"service": "shop", "minDuration": "soon"}, 400, "is not a duration"),
        ("/traces", {"service": "shop", "limit": "many"}, 400, "parameter 'limit'"),
    ],
)
def test_errors(get: Get, path: str, params: dict[str, str], status: int, message: str) -> None:
    """Errors have Jaeger's form."""
    answer = get(path, **params)
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"]) == (status, status)
    assert message in error["msg"]
    assert get("/v3/traces/77").json() == {"error": {"httpCode": 404, "message": "No traces found"}}


@pytest.mark.parametrize("service", ["team/shop", "a/operations", "<b>x</b>", "100%", "a?b#c"])
def test_any_name_of_a_service(shared: Any, make_request: Any, service: str) -> None:
    """A service is found by its name in a path, slashes and all."""
    request = make_request(1, service=service, name="pay")
    headers = {"content-type": "application/x-protobuf"}
    shared.http.post("/v1/traces", content=request.SerializeToString(), headers=headers)
    shared.landed()
    answer = shared.api.get(f"/jaeger/api/services/{quote(service, safe='')}/operations")
    assert answer.json()["data"] == ["pay"]
