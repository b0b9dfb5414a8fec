"""One server with a small shop's traces, and `find`, which gives names of matching spans."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from collector.server import Server

START_NS = 1_790_000_000_000_000_000
MS = 1_000_000
KINDS = {
    "server": Span.SPAN_KIND_SERVER,
    "client": Span.SPAN_KIND_CLIENT,
    "internal": Span.SPAN_KIND_INTERNAL,
}


class Traces:
    """Builds spans by name: `add(trace, name, parent=…)`."""

    def __init__(self, any_value: Callable[[object], Any]) -> None:
        self.request = ExportTraceServiceRequest()
        self._any_value = any_value
        self._resources: dict[str, Any] = {}
        self.ids: dict[tuple[int, str], bytes] = {}

    def add(
        self,
        trace: int,
        name: str,
        *,
        service: str = "shop",
        parent: str | None = None,
        kind: str = "internal",
        ms: float = 10,
        at_ms: float = 0,
        error: str | None = None,
        attributes: dict[str, object] | None = None,
        events: dict[str, dict[str, object]] | None = None,
        version: str = "1",
    ) -> None:
        span_id = self.ids[trace, name] = (trace * 1000 + len(self.ids) + 1).to_bytes(8, "big")
        start_ns = START_NS + trace * 1000 * MS + int(at_ms * MS)
        span = self._scope(service, version).spans.add(
            trace_id=trace.to_bytes(16, "big"),
            span_id=span_id,
            parent_span_id=self.ids[trace, parent] if parent else b"",
            name=name,
            kind=KINDS[kind],
            start_time_unix_nano=start_ns,
            end_time_unix_nano=start_ns + int(ms * MS),
        )
        if error is not None:
            span.status.code, span.status.message = Status.STATUS_CODE_ERROR, error
        for key, value in (attributes or {}).items():
            span.attributes.add(key=key, value=self._any_value(value))
        for event, values in (events or {}).items():
            item = span.events.add(name=event, time_unix_nano=start_ns)
            for key, value in values.items():
                item.attributes.add(key=key, value=self._any_value(value))

    def _scope(self, service: str, version: str) -> Any:
        key = f"{service}/{version}"
        if key not in self._resources:
            resource = self.request.resource_spans.add()
            if service:
                resource.resource.attributes.add(key="service.name", value=self._any_value(service))
            resource.resource.attributes.add(key="service.version", value=self._any_value(version))
            self._resources[key] = resource.scope_spans.add()
            self._resources[key].scope.name = f"lib-{service}"
        return self._resources[key]


# Of the charge that failed SEV2 and SEV4, of the other one SEV4.
ANOMALIES = """
INSERT INTO anomalies BY NAME
SELECT
    span_id || s AS anomaly_id, start_time AS detected_at, 'latency' AS detector, s AS severity, 5.5 AS sigma,
    trace_id, span_id, service_name, span_name AS operation, span_kind, start_time AS span_start_time,
    duration_ns AS span_duration_ns, 1 AS observed, 1 AS expected, 'ns' AS unit, '' AS cell,
    9 AS sample_count, '{}' AS details, 'open' AS state, start_time AS state_changed_at
FROM spans, (SELECT unnest([2, 4]) AS s)
WHERE span_name = 'charge' AND (status_code = 'ERROR' OR s = 4)
"""


@pytest.fixture(scope="session")
def served(
    tmp_path_factory: pytest.TempPathFactory,
    make_settings: Callable[..., Any],
    start_running: Callable[[Server], Any],
) -> Iterator[Any]:
    running = start_running(Server(make_settings(tmp_path_factory.mktemp("search"))))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def shop(served: Any, any_value: Callable[[object], Any]) -> Any:
    """Trace 1: checkout calls pay, which calls charge, which fails; and stock. Trace 2: the same, slower, and
    without the failure. Trace 3: a login alone. Trace 4: a span whose parent never came. The charges
    have anomalies."""
    traces = Traces(any_value)
    for trace, ms in ((1, 100), (2, 900)):
        traces.add(
            trace,
            "checkout",
            kind="server",
            ms=ms,
            attributes={
                "http.route": "/pay",
                "http.status_code": 500 if trace == 1 else 200,
                "vip": trace == 2,
            },
        )
        traces.add(trace, "pay", parent="checkout", kind="client", ms=ms / 2, at_ms=1)
        traces.add(
            trace,
            "charge",
            parent="pay",
            service="payment",
            kind="server",
            ms=ms / 3,
            at_ms=2,
            error="declined" if trace == 1 else None,
            attributes={"amount": 12.5 * trace, "order.id": 9_007_199_254_740_992 + trace, "code": "500"},
            events={"exception": {"exception.type": "Declined"}} if trace == 1 else None,
        )
        traces.add(
            trace, "stock", parent="checkout", at_ms=3, ms=ms / 10, attributes={"http.status_code": "200"}
        )
    traces.add(
        3, "login", ms=5, kind="server", attributes={"user": "ann", "empty": "", "service.version": "own"}
    )
    traces.ids[4, "lost"] = (4999).to_bytes(8, "big")
    odd = {"ratio": float("nan"), "limit": float("inf")}
    traces.add(4, "orphan", parent="lost", service="audit", version="2", ms=1, attributes=odd)
    answer = served.http.post(
        "/v1/traces",
        content=traces.request.SerializeToString(),
        headers={"content-type": "application/x-protobuf"},
    )
    assert answer.status_code == 200, answer.text
    served.landed()
    cursor = served.store.cursor()
    cursor.execute(ANOMALIES)
    cursor.close()
    return served


@pytest.fixture(scope="session")
def ask(shop: Any) -> Callable[..., Any]:
    """The answer of a search over all time of the shop."""

    def get(query: str, **params: Any) -> Any:
        return shop.api.get(
            "/api/traces/search",
            params={"q": query, "start": START_NS, "end": START_NS + 10**12, "spans": 100, **params},
        )

    return get


@pytest.fixture(scope="session")
def find(ask: Callable[..., Any]) -> Callable[[str], list[str]]:
    """Matching spans as `trace/name`, sorted."""

    def get(query: str) -> list[str]:
        answer = ask(query)
        assert answer.status_code == 200, answer.text
        return sorted(
            f"{int(trace['trace_id'], 16)}/{span['span_name']}"
            for trace in answer.json()["traces"]
            for span in trace["matched_spans"]
        )

    return get
