"""A server with all packages' paths, and raw connections to it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import spyhop
from collector.server import Server
from tests.collector.conftest import (
    make_request,
    make_running,
    make_settings,
    make_settings_fixture,
    running,
    settings,
    start_running,
    store,
)

__all__ = [
    "make_request",
    "make_running",
    "make_settings_fixture",
    "running",
    "settings",
    "start_running",
    "store",
]


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, start_running: Callable[[Server], Any]) -> Iterator[Any]:
    """One server with everything that `spyhop serve` has, for tests that leave it as it is."""
    folder: Path = tmp_path_factory.mktemp("whole")
    started = start_running(Server(make_settings(folder), spyhop.build_services))
    yield started
    started.stop()


@pytest.fixture(scope="session")
def connect() -> Callable[[str], socket.socket]:
    """`connect(url)`: a bare TCP connection."""

    def open_connection(url: str) -> socket.socket:
        parts = urlsplit(url if "//" in url else f"//{url}")
        assert parts.hostname is not None
        return socket.create_connection((parts.hostname, parts.port), timeout=10)

    return open_connection


@pytest.fixture(scope="session")
def answer_to() -> Callable[[socket.socket], bytes]:
    """`answer_to(connection)`: all that the server sends until it closes."""

    def read(connection: socket.socket) -> bytes:
        pieces = []
        try:
            while piece := connection.recv(65536):
                pieces.append(piece)
        except ConnectionResetError:
            pass  # closed with bytes of ours unread: what was answered before that counts
        return b"".join(pieces)

    return read
