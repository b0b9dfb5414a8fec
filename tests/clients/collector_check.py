"""A Collector between a sender and Spyhop: what it passes on is what the sender would have sent itself.

One Collector has a way for each exporter: protocol × encoding × compression. Each way gets the same spans,
log records and data points under a service name of its own, and so does Spyhop directly.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from time import monotonic, sleep, time_ns
from typing import Any

import httpx2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from tests.clients.serving import Served
from tests.e2e.support import spyhop
from tests.pace import patience_s

GRPC = ("none", "gzip", "snappy", "zstd")
HTTP = ("none", "gzip", "zlib", "deflate", "snappy", "x-snappy-framed", "zstd", "lz4")
FILES = (("json", "none"), ("json", "zstd"), ("proto", "none"), ("proto", "zstd"))
COUNT = 20  # of each signal
_TABLES = {
    "spans": "start_time, span_id",
    "logs": "time, severity_number",
    "metrics": "metric_name, time",
}


def check_collector(served: Served, program: Path, folder: Path) -> int:
    """Every way brings every row whole, once; the number of ways."""
    now_ns = time_ns()
    with httpx2.Client(trust_env=False, timeout=patience_s(20)) as http:
        _send(http, served.http, "direct", now_ns)
        served.landed()
        ways = _ways(served)
        with _collecting(program, folder, ways) as ports:
            for way, port in ports.items():
                _send(http, f"http://127.0.0.1:{port}", way, now_ns)
            for way in ways:
                served.until(
                    lambda way=way: _counts(served, way) == [COUNT] * 3, f"{way}: {_counts(served, way)}"
                )
    for table, order in _TABLES.items():
        query = (
            f"SELECT * EXCLUDE (batch_id, service_name, resource_attributes) FROM {table}"
            f" WHERE service_name = ? ORDER BY {order}"
        )
        direct = served.rows(query, "direct")
        for way in ways:
            assert served.rows(query, way) == direct, (table, way)
    return len(ways)


def check_files(served: Served, program: Path, folder: Path) -> int:
    """`spyhop replay` takes every form in which the file exporter writes; the number of forms."""
    ways = {}
    for form, compression in FILES:
        name = f"{form}-{compression}"
        packed = "" if compression == "none" else f"compression: {compression}, "
        path = folder / f"{name}.out"
        path.unlink(missing_ok=True)
        ways[name] = f"file/{name}: {{path: {path}, format: {form}, {packed}flush_interval: 100ms}}"
    with (
        httpx2.Client(trust_env=False, timeout=patience_s(20)) as http,
        _collecting(program, folder, ways) as ports,
    ):
        for way, port in ports.items():
            _send(http, f"http://127.0.0.1:{port}", way, time_ns())
    for way in ways:
        done = spyhop("replay", str(folder / f"{way}.out"), "--to", served.http)
        assert done.returncode == 0, (way, done.stdout, done.stderr)
    served.landed()
    for way in ways:
        assert _counts(served, way) == [COUNT] * 3, (way, _counts(served, way))
    return len(ways)


def _ways(served: Served) -> dict[str, str]:
    """Name → its exporter in the Collector's configuration."""
    at_once = "sending_queue: {enabled: false}, retry_on_failure: {enabled: false}"
    ways = {}
    for one in GRPC:
        how = f"tls: {{insecure: true}}, compression: {one}, {at_once}"
        ways[f"grpc-{one}"] = f"otlp/grpc-{one}: {{endpoint: '{served.grpc}', {how}}}"
    for form, one in product(("proto", "json"), HTTP):
        how = f"encoding: {form}, compression: {one}, {at_once}"
        ways[f"{form}-{one}"] = f"otlphttp/{form}-{one}: {{endpoint: '{served.http}', {how}}}"
    return ways


@contextmanager
def _collecting(program: Path, folder: Path, ways: dict[str, str]) -> Iterator[dict[str, int]]:
    """A Collector with one receiver and one pipeline of each signal for each way; way → port."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in ways]
    ports = dict(zip(ways, (one.getsockname()[1] for one in sockets), strict=True))
    for one in sockets:
        one.close()
    lines = ["receivers:"]
    for way, port in ports.items():
        lines.append(f"  otlp/{way}: {{protocols: {{http: {{endpoint: '127.0.0.1:{port}'}}}}}}")
    lines += ["exporters:", *(f"  {exporter}" for exporter in ways.values()), "service:"]
    lines += ["  telemetry: {metrics: {level: none}}", "  pipelines:"]
    for way, exporter in ways.items():
        name = exporter.partition(":")[0]
        lines += [
            f"    {signal}/{way}: {{receivers: [otlp/{way}], exporters: [{name}]}}"
            for signal in ("traces", "logs", "metrics")
        ]
    config, output = folder / "collector.yaml", folder / "collector.log"
    config.write_text("\n".join(lines) + "\n")
    with output.open("w") as sink:
        process = subprocess.Popen([program, "--config", str(config)], stdout=sink, stderr=subprocess.STDOUT)
    try:
        deadline_s = monotonic() + patience_s(30)
        while "Everything is ready" not in output.read_text():
            assert process.poll() is None, output.read_text()[-3000:]
            assert monotonic() < deadline_s, output.read_text()[-3000:]
            sleep(0.1)
        yield ports
    finally:
        process.terminate()
        process.wait(patience_s(20))


def _counts(served: Served, service: str) -> list[int]:
    return [
        served.rows(f"SELECT count(*)::INTEGER AS n FROM {table} WHERE service_name = ?", service)[0]["n"]
        for table in _TABLES
    ]


def _send(http: httpx2.Client, base: str, service: str, now_ns: int) -> None:
    for signal, request in _requests(service, now_ns).items():
        answer = http.post(
            f"{base}/v1/{signal}",
            content=request.SerializeToString(),
            headers={"content-type": "application/x-protobuf"},
        )
        assert answer.status_code == 200, (service, signal, answer.text)


_FIELDS = {
    bool: "bool_value",
    int: "int_value",
    float: "double_value",
    bytes: "bytes_value",
    str: "string_value",
}


def _value(value: Any) -> AnyValue:
    if isinstance(value, list):
        return AnyValue(array_value={"values": [_value(item) for item in value]})
    if isinstance(value, dict):
        return AnyValue(kvlist_value={"values": _pairs(value)})
    return AnyValue(**{_FIELDS[type(value)]: value})


def _pairs(values: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in values.items()]


ATTRIBUTES = {
    "text": "Wal 🐋", "empty": "", "yes": True, "no": False, "zero": 0, "largest": 2**63 - 1, "half": 0.5,
    "bytes": b"\x00\xff", "list": ["a", 1, False], "map": {"deep": {"n": 1}}, "long": "x" * 3000,
}  # fmt: skip


def _requests(service: str, now_ns: int) -> dict[str, Any]:
    """Each signal with all that OTLP knows of it."""
    traces, logs, metrics = (
        ExportTraceServiceRequest(),
        ExportLogsServiceRequest(),
        ExportMetricsServiceRequest(),
    )
    scopes = []
    for request, part, inner in (
        (traces, "resource_spans", "scope_spans"),
        (logs, "resource_logs", "scope_logs"),
        (metrics, "resource_metrics", "scope_metrics"),
    ):
        resource = getattr(request, part).add(schema_url="https://example.com/resource")
        resource.resource.attributes.extend(_pairs({"service.name": service, "host.cpus": 2}))
        scope = getattr(resource, inner).add(schema_url="https://example.com/scope")
        scope.scope.name, scope.scope.version = "lib", "1.2"
        scope.scope.attributes.extend(_pairs({"scope": True}))
        scopes.append(scope)
    trace_id = now_ns.to_bytes(16, "big")
    for number in range(COUNT):
        span_id, at_ns = (number + 1).to_bytes(8, "big"), now_ns + number * 1000
        span = scopes[0].spans.add(
            trace_id=trace_id, span_id=span_id, name=f"work {number}", kind=number % 6, trace_state="k=v",
            start_time_unix_nano=at_ns, end_time_unix_nano=at_ns + 777, attributes=_pairs(ATTRIBUTES),
            flags=257, dropped_attributes_count=1, dropped_events_count=2, dropped_links_count=3,
            status={"code": number % 3, "message": "m"},
        )  # fmt: skip
        if number:
            span.parent_span_id = (1).to_bytes(8, "big")
        span.events.add(
            time_unix_nano=at_ns, name="e", attributes=_pairs(ATTRIBUTES), dropped_attributes_count=4
        )
        span.links.add(
            trace_id=trace_id, span_id=span_id, trace_state="a=b", attributes=_pairs({"n": 1}), flags=1
        )
        scopes[1].log_records.add(
            time_unix_nano=at_ns, observed_time_unix_nano=at_ns + 5, severity_number=1 + number,
            severity_text="S", body=_value({"said": ["a", 1]}), attributes=_pairs(ATTRIBUTES),
            trace_id=trace_id, span_id=span_id, flags=1, event_name="happened",
        )  # fmt: skip
        metric = scopes[2].metrics.add(name=f"m{number:02}", description="d", unit="By")
        times = {
            "start_time_unix_nano": now_ns,
            "time_unix_nano": at_ns,
            "attributes": _pairs({"a": 1}),
            "flags": 0,
        }
        exemplar = {"time_unix_nano": at_ns, "as_int": 7, "trace_id": trace_id, "span_id": span_id}
        match number % 5:
            case 0:
                metric.gauge.data_points.add(as_double=0.5, exemplars=[exemplar], **times)
            case 1:
                metric.sum.data_points.add(as_int=number, exemplars=[exemplar], **times)
                metric.sum.aggregation_temporality, metric.sum.is_monotonic = 1 + number % 2, True
            case 2:
                metric.histogram.data_points.add(
                    count=3,
                    sum=6.5,
                    min=1,
                    max=4,
                    bucket_counts=[1, 2],
                    explicit_bounds=[2],
                    exemplars=[exemplar],
                    **times,
                )
                metric.histogram.aggregation_temporality = 2
            case 3:
                metric.exponential_histogram.data_points.add(
                    count=4, sum=8, scale=3, zero_count=1, zero_threshold=0.1, min=-1, max=4,
                    positive={"offset": -2, "bucket_counts": [1, 1]},
                    negative={"offset": 1, "bucket_counts": [1]}, **times,
                )  # fmt: skip
                metric.exponential_histogram.aggregation_temporality = 1
            case 4:
                metric.summary.data_points.add(
                    count=2, sum=3, quantile_values=[{"quantile": 0.5, "value": 1.5}], **times
                )
    return {"traces": traces, "logs": logs, "metrics": metrics}
