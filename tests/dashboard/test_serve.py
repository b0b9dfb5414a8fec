"""The dashboard as a process of its own."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx2
import pytest

from collector.errors import InvalidInput, PortInUse, StartupError
from dashboard.asgi import content_security_policy, inline_script_hashes
from dashboard.commands import checked_url
from dashboard.serve import bind
from tests.pace import check, patience_s, within_s

START = "import sys; from dashboard.serve import run; run('http://127.0.0.1:9', '127.0.0.1', 0)"


@pytest.fixture
def process() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running dashboard that was started in `/`, and its address."""
    began = time.monotonic()
    command = [sys.executable, "-c", START]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/"
    ) as running:
        try:
            assert running.stdout
            url = running.stdout.readline().split()[1]
            # The socket listens from the start, so the first request waits for the application.
            assert httpx2.get(f"{url}/_stcore/health", timeout=patience_s(20)).text == "ok"
            check(time.monotonic() - began, 15)
            yield running, url
        finally:
            running.kill()  # without it, leaving the block would wait for ever


def test_it_serves_safely_from_any_folder_and_stops(process: tuple[subprocess.Popen[str], str]) -> None:
    """Own origin only, no sniffing, no framing, gzip, no agent API; and SIGTERM ends it within 2 s, an open
    websocket notwithstanding, without a traceback."""
    running, url = process
    page = httpx2.get(url, headers={"Accept-Encoding": "gzip"})
    assert page.headers["content-security-policy"] == content_security_policy()
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["content-encoding"] == "gzip"
    assert httpx2.post(f"{url}/_stcore/agent/interact", json={}).status_code >= 400
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(
            f"GET /_stcore/stream HTTP/1.1\r\nHost: {host}:{port}\r\nOrigin: {url}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        assert b"101" in client.recv(200)
        with within_s(2):
            running.send_signal(signal.SIGTERM)
            assert running.wait(patience_s(5)) == 0
    assert running.stderr
    assert "Traceback" not in running.stderr.read()


WEBSOCKET = (
    "GET /_stcore/stream HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def test_pages_of_others_cannot_drive_it(process: tuple[subprocess.Popen[str], str]) -> None:
    """Pages of other ports, of other hosts and of names that point here get no websocket and no answer; a
    link is followed."""
    _, url = process
    own = url.removeprefix("http://")
    host, port = own.split(":")
    for named, origin in (
        (own, "http://localhost:3000"),
        (own, "http://evil.example"),
        ("evil.example", "http://evil.example"),
        (f"user@{own}", url),
    ):
        with socket.create_connection((host, int(port))) as client:
            client.sendall(WEBSOCKET.format(host=named, origin=origin).encode())
            assert client.recv(200).startswith(b"HTTP/1.1 403 ")
    cross_site = {"sec-fetch-site": "cross-site"}
    assert httpx2.get(url, headers=cross_site).status_code == 403
    assert httpx2.get(url, headers={"host": "evil.example"}).status_code == 403
    assert httpx2.get(url, headers=cross_site | {"sec-fetch-mode": "navigate"}).status_code == 200


def test_scripts_come_from_the_page_itself_only() -> None:
    """The policy admits Streamlit's inline script by its hash and no other inline script."""
    scripts = content_security_policy().split("; ")[1]
    assert scripts.startswith("script-src 'self' blob: 'sha256-")
    assert "unsafe" not in scripts
    assert len(inline_script_hashes()) >= 1


def test_a_port_in_use_is_said_in_one_line() -> None:
    """A taken port names itself and the way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=rf"port {port} on 127.0.0.1 is in use: .*--port"):
            bind("127.0.0.1", port)


def test_a_foreign_address_is_refused_clearly() -> None:
    """An address that is not this machine's is said to be unusable."""
    with pytest.raises(StartupError, match=r"cannot listen on 203\.0\.113\.1:0"):
        bind("203.0.113.1", 0)


@pytest.mark.parametrize("url", ["localhost:4320", "ftp://h", "http://", ""])
def test_an_address_that_is_none_is_wrong_use(url: str) -> None:
    """--api wants an http address."""
    with pytest.raises(InvalidInput, match="is not an address"):
        checked_url(url)
    assert checked_url("http://h:1/") == "http://h:1"


def test_warming_up_leaves_collections_nothing_to_walk() -> None:
    """After the warm-up the pages are imported, and a collection takes less than a tenth of before."""
    script = """
import gc, sys, time
from dashboard import warm

def collection_s():
    began = time.process_time(); gc.collect(); return time.process_time() - began

warm.wait()
import dashboard.navigation, altair, pandas
gc.collect()
before = min(collection_s() for _ in range(3))
warm.start()
warm.wait()
assert "dashboard.views.trace" in sys.modules
print(before, min(collection_s() for _ in range(3)))
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    before, after = map(float, said.stdout.split())
    assert after < before / 10
