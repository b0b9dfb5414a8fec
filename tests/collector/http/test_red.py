"""Rate, errors and duration on /metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as plain_families

from collector.server import Server

OPEN = {"accept": "application/openmetrics-text; version=1.0.0"}


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Name, service, span name and `le` of each sample of the span metrics → its value."""
    return {
        (s.name.removeprefix("traces_spanmetrics_"), s.labels["service"], s.labels["span_name"])
        + ((s.labels["le"],) if "le" in s.labels else ()): s.value
        for family in plain_families(text)
        for s in family.samples
        if s.name.startswith("traces_")
    }


def test_red(
    tmp_path: Any, make_settings: Callable[..., Any], make_running: Callable[..., Any], make_request: Any
) -> None:
    """Spans are counted once, by operation and bucket, with an exemplar; more operations are one."""
    running = make_running(Server(make_settings(tmp_path / "red", metrics_operations=2)))
    try:

        def send(name: str, ms: int, service: str = "shop") -> None:
            start_ns = 1_790_000_000_000_000_000
            request = make_request(
                1, name=name, service=service, kind=2, start_time_unix_nano=start_ns,
                end_time_unix_nano=start_ns + ms * 1_000_000,
            )  # fmt: skip
            answer = running.http.post(
                "/v1/traces",
                content=request.SerializeToString(),
                headers={"content-type": "application/x-protobuf"},
            )
            assert answer.status_code == 200
            running.landed()

        for name, ms in (("a", 1), ("a", 3), ("a", 60_000), ("b", 2)):
            send(name, ms)
        found = samples(running.api.get("/metrics").text)
        assert found["calls_total", "shop", "a"] == 3
        assert found["latency_bucket", "shop", "a", "0.002"] == 1
        assert found["latency_bucket", "shop", "a", "0.004"] == 2
        assert found["latency_bucket", "shop", "a", "16.384"] == 2
        assert found["latency_bucket", "shop", "a", "+Inf"] == 3
        assert found["latency_sum", "shop", "a"] == 60.004
        assert found["latency_bucket", "shop", "b", "0.002"] == 1
        send("c", 1)
        send("d", 1, service="other")
        text = running.api.get("/metrics").text
        found = samples(text)
        assert found["calls_total", "shop", "a"] == 3
        assert found["calls_total", "shop", "other operations"] == 1
        assert found["calls_total", "other services", "other operations"] == 1
        assert "spyhop_red_other_spans 2.0" in text

        answer = running.api.get("/metrics", headers=OPEN)
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        families = {family.name: family for family in text_string_to_metric_families(answer.text)}
        buckets = families["traces_spanmetrics_latency"].samples
        assert {s.exemplar.value for s in buckets if s.exemplar} >= {0.003, 60.0}
    finally:
        running.stop()
