"""HTTP servers inside a running event loop: bound early, quiet, stopped by the program and not by signals."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from exchange_ref.errors import AddressInUse, InvalidUse
from exchange_ref.host_port import parse_host_port

# Longer than the clients keep a connection idle, so that only they close one.
KEEP_ALIVE_S = 75


def bind(address: str, option: str) -> socket.socket:
    """A listening socket.

    Raises:
        AddressInUse: another process listens there.
        InvalidUse: not an address.
    """
    try:
        host, port = parse_host_port(address)
    except ValueError as error:
        raise InvalidUse(f"{option} {address!r}: {error}") from None
    try:
        listener = socket.create_server((host, port), backlog=1024)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(
                f"port {port} on {host} is in use; choose another with {option} {host}:PORT"
            ) from None
        raise AddressInUse(
            f"cannot listen on {address}: {error.strerror or error}; choose another with {option}"
        ) from None
    # Accepted connections inherit it. Without, head and body of an answer are 40 ms apart: asyncio sets it
    # only on sockets that name their protocol, which `create_server`'s do not.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the program: it drains orders and spans before the servers go."""
        yield


class HttpServer:
    """An ASGI application on a bound socket."""

    def __init__(self, app: Any, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        self.host: str = host
        self.port: int = port
        self._listener = listener
        config = uvicorn.Config(
            app,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="websockets-sansio",  # pings every 20 s, and ends what does not answer
            ws_max_size=16 * 1024,
            ws_per_message_deflate=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def start(self) -> None:
        self._task = asyncio.create_task(
            self._server.serve(sockets=[self._listener]), name=f"http-{self.port}"
        )
        while not self._server.started and not self._task.done():  # noqa: ASYNC110 - uvicorn offers a flag, no event
            await asyncio.sleep(0.005)
        if self._task.done():
            self._task.result()

    async def stop(self) -> None:
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        self._listener.close()
