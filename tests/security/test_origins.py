"""Pages that a browser shows, and names that point here, against both HTTP ports."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from typing import Any

import pytest

from collector.http import docs_page
from collector.http.guard import host_name, is_same_origin

JSON_HEADERS = {"content-type": "application/json"}
PORTS = [("api", "/api/sql"), ("otlp_http", "/v1/traces")]
READS = [
    "/api/traces/search",
    "/jaeger/api/services",
    "/tempo/api/search",
    "/api/monitor/anomalies",
    "/api/monitor/health",
    "/metrics",
    "/readyz",
    "/healthz",
]


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
        {"origin": "http://localhost:3000"},
        {"origin": "http://127.0.0.1:8501"},
        {"origin": "https://evil.example"},
        {"origin": "http://localhost.evil.example"},
        {"origin": "http://localhost@evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"host": "evil.example", "origin": "http://evil.example"},  # DNS rebinding
    ],
    ids=str,
)
def test_pages(whole: Any, headers: dict[str, str]) -> None:
    """Neither port takes a POST that comes from a page of another origin, and the API gives it no data."""
    answer = whole.api.post("/api/sql", json={"query": "SELECT 1"}, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "refused"
    assert whole.api.post("/api/monitor/recalculate", headers=headers).status_code == 403
    for path in READS:
        assert whole.api.get(path, headers=headers).status_code == 403
    answer = whole.http.post("/v1/traces", content=b"{}", headers=JSON_HEADERS | headers)
    assert answer.status_code == 403
    assert "SPYHOP_OTLP_HTTP_CORS_ORIGINS" in answer.json()["message"]


@pytest.mark.parametrize("site", ["none", "same-origin"])
def test_own_pages(whole: Any, site: str) -> None:
    """Requests that a person types, and those of pages that this very port served, pass."""
    own = {"sec-fetch-site": site, "origin": whole.addresses["api"]}
    assert whole.api.post("/api/sql", json={"query": "SELECT 1"}, headers=own).status_code == 200
    assert whole.api.get("/api/monitor/anomalies", headers={"sec-fetch-site": site}).status_code == 200


@pytest.mark.parametrize(
    "hosts",
    [
        ["localhost", "evil.example"],
        ["evil.example", "localhost"],
        ["localhost", "localhost"],
        [],
        ["user@localhost"],
        ["evil.example@localhost"],
        ["localhost/evil.example"],
        ["localhost#evil.example"],
        ["localhost?evil.example"],
        ["localhost:port"],
        ["localhost:4320:1"],
        ["[::1"],
        ["[::1].evil.example"],
        ["localhost."],
        ["local host"],
        ["localhost,evil.example"],
    ],
    ids=str,
)
def test_hosts(
    whole: Any,
    connect: Callable[[str], socket.socket],
    answer_to: Callable[[socket.socket], bytes],
    hosts: list[str],
) -> None:
    """Exactly one Host header is taken, and only a plain host of ours with or without a port."""
    lines = "".join(f"host: {host}\r\n" for host in hosts)
    with connect(whole.addresses["api"]) as connection:
        connection.sendall(f"GET /healthz HTTP/1.1\r\n{lines}connection: close\r\n\r\n".encode())
        answer = answer_to(connection)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 403 "))
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]


@pytest.mark.parametrize("authority", ["localhost", "localhost:4320", "127.0.0.1:1", "[::1]:4320", "[::1]"])
def test_plain_hosts(authority: str) -> None:
    """Names and addresses with and without a port are read."""
    assert host_name(authority) in {"localhost", "127.0.0.1", "::1"}


def test_default_ports() -> None:
    """An origin leaves its scheme's own port out, a Host header may name it."""
    assert is_same_origin("https://spyhop.internal", "spyhop.internal:443")
    assert is_same_origin("http://spyhop.internal", "spyhop.internal")
    assert not is_same_origin("http://spyhop.internal:8501", "spyhop.internal")
    assert not is_same_origin("file://spyhop.internal", "spyhop.internal")


def test_answers_are_for_nobodys_page(whole: Any) -> None:
    """Every answer forbids being framed, embedded, kept and guessed at."""
    for path in ("/healthz", "/nowhere", "/docs"):
        headers = whole.api.get(path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["x-content-type-options"] == "nosniff"


def test_docs_load_nothing(whole: Any) -> None:
    """The list of paths names every path and parameter, has no script, and loads nothing from anywhere."""
    answer = whole.api.get("/docs", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"})
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == docs_page.CONTENT_SECURITY_POLICY
    document = whole.api.get("/openapi.json").json()
    for path in document["paths"]:
        assert f" {path}</code>" in answer.text
    assert "<code>anomaly_id</code>" in answer.text
    assert re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?([^\"' >]+)", answer.text) == ["openapi.json"]
    assert "<script" not in answer.text


def test_docs_escape() -> None:
    """Texts of the OpenAPI document cannot become markup."""
    operation = {"description": "<script>alert(1)</script>", "responses": {}}
    assert "<script>" not in docs_page.render({"paths": {"/<b>": {"get": operation}}})
