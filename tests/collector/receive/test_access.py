"""TLS, mutual TLS, tokens, CORS, health and reflection, each with a client of the outside world."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import SecretStr

from collector.errors import StartupError
from collector.receive.access import load_tls
from collector.server import Server
from collector.settings import Settings
from collector.signals import GRPC_METHODS, Signal

PROTOBUF = {"content-type": "application/x-protobuf"}


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority `ca`, and `server` and `client` that it signed: a `.pem` and a `.key` of each."""
    if shutil.which("openssl") is None:
        if os.environ.get("CI"):
            pytest.fail("openssl is not installed, and CI must not skip the TLS tests")
        pytest.skip("openssl, which makes the certificates, is not installed")
    folder = tmp_path_factory.mktemp("pki")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test CA", "-days", "2")
    for name in ("server", "client"):
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2")
        names = ("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        files = ("-keyout", f"{name}.key", "-out", f"{name}.pem")
        openssl("req", "-x509", *key, *files, "-subj", f"/CN={name}", *names, *signed)
    return folder


@pytest.fixture(autouse=True)
def no_other_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's authorities would replace the test's own inside `requests`."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def serving(settings: Settings, make_running: Callable[[Server], Any]) -> Callable[..., Any]:
    """`with serving(otlp_token=…) as running`."""

    @contextmanager
    def serve(**changes: Any) -> Iterator[Any]:
        running = make_running(Server(settings.model_copy(update=changes)))
        try:
            yield running
        finally:
            running.stop()

    return serve


@pytest.fixture
def span() -> Any:
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    provider.get_tracer("t").start_span("over-tls").end()
    return kept.get_finished_spans()[0]


def tls_settings(pki: Path, *, mutual: bool = False) -> dict[str, Path]:
    given = {"otlp_tls_cert": pki / "server.pem", "otlp_tls_key": pki / "server.key"}
    return {**given, "otlp_tls_client_ca": pki / "ca.pem"} if mutual else given


def grpc_exporter(running: Any, pki: Path, *, with_client: bool, **arguments: Any) -> GrpcExporter:
    ca = (pki / "ca.pem").read_bytes()
    own = (
        ((pki / "client.key").read_bytes(), (pki / "client.pem").read_bytes())
        if with_client
        else (None, None)
    )
    credentials = grpc.ssl_channel_credentials(ca, *own)
    return GrpcExporter(endpoint=running.addresses["otlp_grpc"], credentials=credentials, **arguments)


def http_exporter(running: Any, pki: Path, *, with_client: bool, **arguments: Any) -> HttpExporter:
    return HttpExporter(
        endpoint=f"{running.addresses['otlp_http']}/v1/traces",
        certificate_file=str(pki / "ca.pem"),
        client_certificate_file=str(pki / "client.pem") if with_client else None,
        client_key_file=str(pki / "client.key") if with_client else None,
        **arguments,
    )


@pytest.mark.parametrize("exporter", [grpc_exporter, http_exporter])
@pytest.mark.parametrize("mutual", [False, True], ids=["tls", "mtls"])
@pytest.mark.parametrize("swapped", [False, True], ids=["own port", "other port"])
def test_sdk_over_tls(
    serving: Callable[..., Any],
    pki: Path,
    span: Any,
    *,
    exporter: Callable[..., Any],
    mutual: bool,
    swapped: bool,
) -> None:
    """The Python SDK reaches both ports over TLS, and over mutual TLS with its own certificate."""
    with serving(**tls_settings(pki, mutual=mutual)) as running:
        assert running.addresses["otlp_http"].startswith("https://")
        if swapped:
            http = running.addresses["otlp_http"].removeprefix("https://")
            running.addresses |= {"otlp_grpc": http, "otlp_http": f"https://{running.addresses['otlp_grpc']}"}
        sender = exporter(running, pki, with_client=mutual)
        assert sender.export([span]) is SpanExportResult.SUCCESS
        sender.shutdown()
        running.landed()
        assert running.client.sql("SELECT span_name FROM spans").rows() == [("over-tls",)]


def test_no_client_certificate(serving: Callable[..., Any], pki: Path, make_request: Any) -> None:
    """With mutual TLS a client without a certificate, or without TLS, stores nothing on either receiver."""
    body = make_request(1).SerializeToString()
    with serving(**tls_settings(pki, mutual=True)) as running:
        context = ssl.create_default_context(cafile=pki / "ca.pem")
        with (
            httpx2.Client(verify=context, trust_env=False) as client,
            pytest.raises(httpx2.TransportError),
        ):
            client.post(f"{running.addresses['otlp_http']}/v1/traces", content=body, headers=PROTOBUF)
        credentials = grpc.ssl_channel_credentials((pki / "ca.pem").read_bytes())
        address = running.addresses["otlp_grpc"]
        for channel in (grpc.secure_channel(address, credentials), grpc.insecure_channel(address)):
            with channel, pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(GRPC_METHODS[Signal.TRACES])(body, timeout=5)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        running.landed()
        assert running.client.sql("FROM spans").height == 0


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ({"authorization": "Bearer s3cret"}, True),
        ({"authorization": "bearer s3cret"}, True),
        ({"authorization": "Bearer other"}, False),
        ({"authorization": "Basic s3cret"}, False),
        ({}, False),
    ],
    ids=["right", "lower-case scheme", "wrong", "other scheme", "none"],
)
def test_token(
    serving: Callable[..., Any], make_request: Any, header: dict[str, str], accepted: bool
) -> None:
    """Only the right bearer token lets a request in; others get 401 or UNAUTHENTICATED and store nothing."""
    with serving(otlp_token=SecretStr("s3cret")) as running:
        answer = running.http.post(
            "/v1/traces", content=make_request(1).SerializeToString(), headers={**PROTOBUF, **header}
        )
        with grpc.insecure_channel(running.addresses["otlp_grpc"]) as channel:
            export = channel.unary_unary(GRPC_METHODS[Signal.TRACES])
            call = export.with_call if accepted else export
            body, metadata = make_request(1).SerializeToString(), tuple(header.items())
            if accepted:
                call(body, metadata=metadata, timeout=5)
                assert answer.status_code == 200
            else:
                with pytest.raises(grpc.RpcError) as caught:
                    call(body, metadata=metadata, timeout=5)
                assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"] == "Bearer"
                metrics = running.api.get("/metrics").text
                assert 'spyhop_requests_total{outcome="unauthenticated",signal="traces"} 2' in metrics
        running.landed()
        assert running.client.sql("FROM spans").height == (2 if accepted else 0)


def test_health_and_reflection(serving: Callable[..., Any]) -> None:
    """Health answers without a token; reflection lists the services, to those who have it."""
    with (
        serving(otlp_token=SecretStr("s3cret")) as running,
        grpc.insecure_channel(running.addresses["otlp_grpc"]) as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "opentelemetry.proto.collector.trace.v1.TraceService"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        ask = [reflection_pb2.ServerReflectionRequest(list_services="")]
        with pytest.raises(grpc.RpcError) as caught:
            list(reflection.ServerReflectionInfo(iter(ask), timeout=5))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        token = (("authorization", "Bearer s3cret"),)
        (answer,) = reflection.ServerReflectionInfo(iter(ask), metadata=token, timeout=5)
        names = {service.name for service in answer.list_services_response.service}
        assert "opentelemetry.proto.collector.logs.v1.LogsService" in names


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://shop.example", True),
        ("https://eu.shops.example", True),
        ("https://shop.example.evil", False),
        ("https://evil.example/.shops.example", False),
    ],
)
def test_cors(serving: Callable[..., Any], origin: str, allowed: bool) -> None:
    """A page of a configured origin may send OTLP with the headers that SDKs set; others may not."""
    origins = ["https://shop.example", "https://*.shops.example"]
    preflight = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,content-encoding,traceparent",
    }
    with serving(otlp_http_cors_origins=origins) as running:
        answer = running.http.options("/v1/traces", headers=preflight)
        sent = running.http.post("/v1/traces", content=b"", headers={**PROTOBUF, "origin": origin})
    assert (answer.status_code == 200) is allowed
    expected = origin if allowed else None
    assert answer.headers.get("access-control-allow-origin") == expected
    assert sent.headers.get("access-control-allow-origin") == expected


def test_cors_is_off(shared: Any) -> None:
    """Without the setting no web page is let in."""
    answer = shared.http.options(
        "/v1/traces", headers={"origin": "https://a.example", "access-control-request-method": "POST"}
    )
    assert answer.status_code == 405
    assert "access-control-allow-origin" not in answer.headers


def test_unusable_tls_files(pki: Path, tmp_path: Path) -> None:
    """A missing half, a missing file and a key of another certificate are each told in one line."""
    with pytest.raises(StartupError, match="one of them is not set"):
        load_tls(pki / "server.pem", None, None)
    with pytest.raises(StartupError, match=r"gone\.pem cannot be read"):
        load_tls(tmp_path / "gone.pem", pki / "server.key", None)
    with pytest.raises(StartupError, match="cannot be used"):
        load_tls(pki / "server.pem", pki / "client.key", None)
