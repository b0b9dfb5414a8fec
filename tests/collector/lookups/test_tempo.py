"""Tempo's query API on the small shop."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

START_S = 1_790_000_000
TIMES = {"start": START_S, "end": START_S + 1000}
Get = Callable[..., Any]


@pytest.fixture(scope="session")
def get(shop: Any) -> Get:
    def ask(path: str, accept: str = "application/json", **params: Any) -> Any:
        return shop.api.get(f"/tempo/api{path}", params=params, headers={"accept": accept})

    return ask


def spans_of(trace: TracesData) -> dict[str, Any]:
    return {
        span.name: span
        for resource in trace.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }


def test_trace(get: Get) -> None:
    """A trace comes back as protobuf or JSON, with every value in its type."""
    trace = TracesData.FromString(get("/traces/1", accept="application/protobuf").content)
    spans = spans_of(trace)
    values = {item.key: item.value for item in spans["charge"].attributes}
    assert values["order.id"].int_value == 9_007_199_254_740_993
    assert values["amount"].double_value == 12.5
    assert values["code"].string_value == "500"
    assert spans["charge"].status.message == "declined"
    assert spans["charge"].events[0].attributes[0].value.string_value == "Declined"
    assert spans["charge"].parent_span_id == spans["pay"].span_id

    wrapped = get("/v2/traces/1", accept="application/protobuf").content
    assert wrapped[0] == 0x0A
    assert spans_of(TracesData.FromString(wrapped[3:])).keys() == spans.keys()

    document = get("/traces/1").json()
    first = document["batches"][0]["scopeSpans"][0]["spans"][0]
    assert base64.b64decode(first["traceId"]).hex() == "00000000000000000000000000000001"
    assert first["kind"] == "SPAN_KIND_SERVER"
    assert get("/v2/traces/1").json()["trace"]["resourceSpans"] == document["batches"]
    assert get("/traces/77").status_code == 404
    assert get("/traces/1", start=5, end=50).status_code == 404
    assert get("/echo").text == "echo"


def test_search(get: Get) -> None:
    """A search in TraceQL, or by tags, gives traces with the spans that matched."""
    query = '{ resource.service.name = "payment" && status = error } | select(.amount)'
    answer = get("/search", q=query, **TIMES).json()
    assert answer["traces"] == [
        {
            "traceID": "00000000000000000000000000000001",
            "rootServiceName": "shop",
            "rootTraceName": "checkout",
            "startTimeUnixNano": "1790000001000000000",
            "durationMs": 100,
            "spanSet": answer["traces"][0]["spanSets"][0],
            "spanSets": [
                {
                    "spans": [
                        {
                            "spanID": "00000000000003eb",
                            "name": "charge",
                            "startTimeUnixNano": "1790000001002000000",
                            "durationNanos": "33333333",
                            "attributes": [{"key": "amount", "value": {"doubleValue": 12.5}}],
                        }
                    ],
                    "matched": 1,
                }
            ],
            "serviceStats": {"payment": {"spanCount": 1, "errorCount": 1}, "shop": {"spanCount": 3}},
        }
    ]
    by_tags = get("/search", tags='service.name=shop http.route="/pay"', minDuration="500ms", **TIMES).json()
    assert [int(trace["traceID"], 16) for trace in by_tags["traces"]] == [2]
    orphan = get("/search", q='{ name = "orphan" }', **TIMES).json()["traces"][0]
    assert orphan["rootServiceName"] == "<root span not yet received>"
    assert "line 1, column 3" in get("/search", q="{ x }").json()["error"]["message"]


def test_tags(get: Get) -> None:
    """Names and values are listed in both versions."""
    assert {"http.route", "service.name", "name"} <= set(get("/search/tags", **TIMES).json()["tagNames"])
    scopes = {scope["name"]: scope["tags"] for scope in get("/v2/search/tags", **TIMES).json()["scopes"]}
    assert scopes["resource"] == ["service.name", "service.version"]
    assert get("/search/tag/service.name/values", **TIMES).json() == {
        "tagValues": ["shop", "payment", "audit"]
    }
    values = get("/v2/search/tag/.vip/values", q="{ kind = server }", **TIMES).json()["tagValues"]
    assert values == [{"type": "bool", "value": "false"}, {"type": "bool", "value": "true"}]
    half_typed = get("/v2/search/tag/span.user/values", q="{ kind = ", **TIMES).json()["tagValues"]
    assert half_typed == [{"type": "string", "value": "ann"}]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("{} | rate()", {'{__name__="rate"}': [1.0]}),
        ("{ status = error } | count_over_time()", {'{__name__="count_over_time"}': [1]}),
        (
            "{} | count_over_time() by (resource.service.name)",
            {
                '{resource.service.name="audit"}': [1],
                '{resource.service.name="payment"}': [2],
                '{resource.service.name="shop"}': [7],
            },
        ),
        ('{ name = "checkout" } | max_over_time(duration)', {'{__name__="max_over_time"}': [0.9]}),
        ('{ name = "checkout" } | avg_over_time(duration)', {'{__name__="avg_over_time"}': [0.5]}),
        ("{} | sum_over_time(span.amount)", {'{__name__="sum_over_time"}': [37.5]}),
        (
            '{ name = "checkout" } | quantile_over_time(duration, 0, .5)',
            {'{p="0.0"}': [0.1], '{p="0.5"}': [0.5]},
        ),
        (
            '{ name = "checkout" } | histogram_over_time(duration)',
            {'{__bucket="0.125"}': [1], '{__bucket="1.0"}': [1]},
        ),
        ("{} | rate() by (span.user)", {'{span.user="ann"}': [0.1], '{span.user="nil"}': [0.9]}),
    ],
)
def test_figures(get: Get, query: str, expected: dict[str, list[float]]) -> None:
    """Figures over time have Tempo's names, labels and units."""
    answer = get("/metrics/query_range", q=query, step="10s", **TIMES).json()
    found = {one["promLabels"]: [sample["value"] for sample in one["samples"]] for one in answer["series"]}
    assert found == {labels: pytest.approx(values, abs=1e-6) for labels, values in expected.items()}
    assert {sample["timestampMs"] for one in answer["series"] for sample in one["samples"]} == {
        str((START_S + 10) * 1000)
    }


def test_one_figure(get: Get) -> None:
    """The instant query takes the whole range as one step."""
    answer = get("/metrics/query", q="{} | rate()", **TIMES).json()
    assert answer["series"][0]["value"] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("query", "step", "words"),
    [
        ("{}", "10s", "asks for no figure"),
        ("{} >> {} | rate()", "10s", "takes single spans"),
        ('{ rootName = "x" } | rate()', "10s", "leave out root"),
        ("{} | rate()", "1ms", "more than 11,000 steps"),
        ("{} | rate()", "never", "not a duration"),
    ],
)
def test_refused_figures(get: Get, query: str, step: str, words: str) -> None:
    """Searches without a figure are refused with the reason."""
    answer = get("/metrics/query_range", q=query, step=step, **TIMES)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
