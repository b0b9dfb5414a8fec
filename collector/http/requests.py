"""Reads and checks whole requests before the application of the HTTP API sees them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from collector.errors import SpyhopError
from collector.http.answers import answer_of
from collector.http.body import BODIES_AT_ONCE, BodyLimits, BodyRoom, Receive, read_body
from collector.http.json_check import check_json

# A list of 100,000 ids is 3.5 MB, which the body's limit refuses first. Empty objects are 70 times as large
# once parsed; this bounds them at 15 MB.
PARTS_MAX = 100_000
DEPTH_MAX = 64
_SMALL_BODIES_AT_ONCE = 16 * BODIES_AT_ONCE

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class WholeRequests:
    """ASGI middleware: reads the body within its limits and checks its JSON before anything else sees it."""

    def __init__(self, app: App, *, max_body_bytes: int, timeout_s: float) -> None:
        self._app = app
        self._limits = BodyLimits(max_body_bytes, timeout_s, "send less at once")
        self._room = BodyRoom(_SMALL_BODIES_AT_ONCE * max_body_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"]) if scope["type"] == "http" else {}
        if b"content-length" not in headers and b"transfer-encoding" not in headers:
            await self._app(scope, receive, send)
            return
        with self._room.share() as share:
            try:
                length = headers.get(b"content-length", b"").decode("latin-1")
                body = await read_body(receive, length, self._limits, self._room, share)
                if body:
                    check_json(body, parts_max=PARTS_MAX, depth_max=DEPTH_MAX)
            except SpyhopError as error:
                await answer_of(error)(scope, receive, send)
                return
            await self._app(scope, _replay(body, receive), send)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Gives the body, then later messages of the server, e.g. that the client went away."""
    is_given = False

    async def receive_again() -> MutableMapping[str, Any]:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
