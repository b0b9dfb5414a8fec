"""An ASGI application served by uvicorn in a thread."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from time import monotonic
from typing import Any

import uvicorn

from collector.errors import StartupError

START_TIMEOUT_S = 10.0
# Exporters send every 5 s or more rarely; a connection closed between two exports fails the second.
KEEP_ALIVE_S = 75


class AsgiThread:
    """A uvicorn server in a thread of its own, on sockets that are bound already."""

    def __init__(
        self,
        name: str,
        app: Any,
        sockets: list[socket.socket],
        protocol: type[asyncio.Protocol],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
            timeout_keep_alive=KEEP_ALIVE_S,
            server_header=False,
            http=protocol,
            ws="none",
            ssl_context_factory=None if tls is None else lambda *_: tls,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": sockets}, name=f"asgi-{name}", daemon=True
        )
        self._name = name

    def __enter__(self) -> AsgiThread:
        self._thread.start()
        deadline_s = monotonic() + START_TIMEOUT_S
        while not self._server.started:
            if not self._thread.is_alive() or monotonic() > deadline_s:
                raise StartupError(f"the {self._name} server did not start")
            self._thread.join(0.005)
        return self

    def begin_stop(self) -> None:
        """Take no more connections from the next tenth of a second on; others can stop meanwhile."""
        self._server.should_exit = True

    def __exit__(self, *_: object) -> None:
        self.begin_stop()
        self._thread.join(2.0)
