"""Keeps web pages of other origins away from an API that needs no password: it is for local programs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import JSONResponse

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class LocalOnly:
    """ASGI middleware. Refuses

    - a Host header that is not ours, which is what DNS rebinding arrives with,
    - an Origin header of another host, which browsers put on every cross-site POST,
    - a body that is not JSON, which is all that a page may send without asking first.
    """

    def __init__(self, app: App, allowed_hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._hosts = LOCAL_HOSTS | {host.lower() for host in allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        host = host_name(headers.get("host", ""))
        if host not in self._hosts:
            return _refuse(
                403,
                f"the Host header names {host!r}, which is not this server",
                "name it in SPYHOP_API_ALLOWED_HOSTS, e.g. '[\"spyhop.internal\"]'",
            )
        origin = headers.get("origin")
        if origin is not None and (urlsplit(origin).hostname or "") not in self._hosts:
            return _refuse(
                403, f"requests from the web page {origin} are refused", "call from a local program"
            )
        has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if has_body and media_type != "application/json":
            return _refuse(
                415, f"Content-Type {media_type or 'missing'} is not supported", "send application/json"
            )
        return None


def host_name(authority: str) -> str:
    """`LOCALHOST:4320` → `localhost`, `[::1]:4320` → `::1`."""
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""


def _refuse(status: int, message: str, hint: str) -> JSONResponse:
    body = {"error": {"code": "refused", "message": f"{message}: {hint}", "details": {}}}
    return JSONResponse(body, status_code=status)
