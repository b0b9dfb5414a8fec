"""A store, a running server, and small OTLP messages."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx2
import polars as pl
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from collector.client import Client
from collector.server import Server
from collector.settings import Settings
from collector.store.store import Store
from tests.pace import patience_s

_numbers = itertools.count(1)
START_NS = 1_790_000_000_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "data")
    yield opened
    opened.close()


def make_settings(folder: Path, **changes: Any) -> Settings:
    """Free ports, and landing after 20 ms so that tests need not wait; any time, since theirs are fixed."""
    anywhere = "127.0.0.1:0"
    defaults: dict[str, Any] = {"data": folder, "otlp_grpc": anywhere, "otlp_http": anywhere, "api": anywhere}
    times = {"otlp_max_age_days": 0, "otlp_max_ahead_s": 0}
    return Settings(**{**defaults, **times, "land_interval_ms": 20, **changes})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path / "served")


class Running:
    """A server in this process, and clients for it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.addresses = server.start()
        self.store = server.store
        # Patient: a machine that is busy with other work is late, not wrong.
        self.client = Client(self.addresses["api"], timeout_s=patience_s(10))
        self.http = httpx2.Client(
            base_url=self.addresses["otlp_http"], trust_env=False, timeout=patience_s(5)
        )
        self.api = httpx2.Client(base_url=self.addresses["api"], trust_env=False, timeout=patience_s(5))

    def landed(self, timeout_s: float = 10.0) -> None:
        """Wait until everything acknowledged is in the store."""
        deadline_s = monotonic() + patience_s(timeout_s)
        while self.api.get("/readyz").json()["checks"]["spool"]["bytes"] > 0:
            assert monotonic() < deadline_s, "landing does not catch up"
            sleep(0.01)

    def spans_of(self, request: ExportTraceServiceRequest) -> pl.DataFrame:
        """The landed spans of the traces in `request`."""
        self.landed()
        ids = {
            span.trace_id.hex()
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }
        return self.client.sql(
            "SELECT * FROM spans WHERE trace_id IN (FROM unnest(?::VARCHAR[]))", [sorted(ids)]
        )

    def stop(self) -> None:
        for client in (self.client, self.http, self.api):
            client.close()
        self.server.stop()


@pytest.fixture
def running(settings: Settings) -> Iterator[Running]:
    """A server of this test alone."""
    started = Running(Server(settings))
    yield started
    started.stop()


@pytest.fixture(scope="session", name="make_settings")
def make_settings_fixture() -> Callable[..., Settings]:
    """`make_settings(folder, name=value)`, for servers of a module."""
    return make_settings


@pytest.fixture(scope="session")
def start_running() -> Callable[[Server], Running]:
    """Like `make_running`, for fixtures of a module."""
    return Running


@pytest.fixture
def make_running() -> Callable[[Server], Running]:
    """Start a server that the test stops itself."""
    return Running


SMALL_LIMIT_BYTES = 1024 * 1024


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all tests that only look at what they sent; it takes bodies up to 1 MiB."""
    settings = make_settings(tmp_path_factory.mktemp("shared"), otlp_max_body_bytes=SMALL_LIMIT_BYTES)
    started = Running(Server(settings))
    yield started
    started.stop()


def any_value(value: object) -> AnyValue:
    """A Python value as OTLP's."""
    message = AnyValue()
    match value:
        case None:
            pass
        case bool():
            message.bool_value = value
        case int():
            message.int_value = value
        case float():
            message.double_value = value
        case str():
            message.string_value = value
        case bytes():
            message.bytes_value = value
        case list():
            message.array_value.SetInParent()
            message.array_value.values.extend(map(any_value, value))
        case dict():
            message.kvlist_value.SetInParent()
            for key, item in value.items():
                message.kvlist_value.values.add(key=key, value=any_value(item))
        case _:
            raise TypeError(type(value))
    return message


@pytest.fixture(scope="session", name="any_value")
def any_value_fixture() -> Callable[[object], AnyValue]:
    return any_value


MakeRequest = Callable[..., ExportTraceServiceRequest]


@pytest.fixture(scope="session")
def make_request() -> MakeRequest:
    """`make_request(span_count, attributes={…}, service="svc")`: spans of one trace; ids never repeat."""

    def make(
        span_count: int = 1, *, attributes: dict[str, Any] | None = None, service: str = "svc", **fields: Any
    ) -> ExportTraceServiceRequest:
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        resource.resource.attributes.add(key="service.name", value=any_value(service))
        scope = resource.scope_spans.add()
        trace_id = next(_numbers).to_bytes(16, "big")
        for _ in range(span_count):
            number = next(_numbers)
            span = scope.spans.add(
                **{
                    "trace_id": trace_id,
                    "span_id": number.to_bytes(8, "big"),
                    "name": f"op-{number}",
                    "start_time_unix_nano": START_NS + number,
                    "end_time_unix_nano": START_NS + number + 1000,
                    **fields,
                }
            )
            for key, value in (attributes or {}).items():
                span.attributes.add(key=key, value=any_value(value))
        return request

    return make
