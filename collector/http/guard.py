"""Keeps web pages of other origins away from servers that need no password: they are for people and programs
of this machine."""

from __future__ import annotations

import re
from collections.abc import Iterable, MutableMapping
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.responses import Response

from collector.http.answers import error_answer
from collector.http.body import Receive
from collector.http.requests import App, Scope, Send

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_AUTHORITY = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]{2,45})\]|(?P<name>[a-z0-9._-]{1,253}))(?::\d{1,5})?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
# Nothing of the API is for pages of others: not to be framed, not to be read as something else.
_API_HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
# Paths that a link on a foreign page may open. A page cannot read what it links to.
_LINKED_PATHS = frozenset({"/docs", "/openapi.json"})


class OwnPagesOnly:
    """ASGI middleware for a server with pages of its own. Refuses

    - a Host header that is not ours, which is what DNS rebinding arrives with, or more than one,
    - a request or websocket that a browser opens for a page of another origin: by its Origin header, which
      browsers put on every POST and websocket, or by Sec-Fetch-Site. Another port of this machine is another
      origin. Links to us are followed.
    """

    def __init__(self, app: App, allowed_hosts: Iterable[str], setting: str) -> None:
        """
        Args:
            allowed_hosts: names besides those of this machine.
            setting: the one that adds to them, for the message.
        """
        self._app = app
        self._hosts = LOCAL_HOSTS | {host.lower() for host in allowed_hosts}
        self._setting = setting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] in ("http", "websocket") else None
        if refusal is not None and scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
            return
        await (refusal or self._app)(scope, receive, send)

    def _is_linked(self, path: str) -> bool:
        """Whether a link on a foreign page may open `path`."""
        return True

    def _refusal(self, scope: Scope) -> Response | None:
        headers = _headers(scope)
        hosts = [value for name, value in scope["headers"] if name.lower() == b"host"]
        if len(hosts) > 1:
            return _refuse(400, f"{len(hosts)} Host headers were sent", "send one")
        authority = headers.get("host", "").lower()
        host = host_name(authority)
        if host not in self._hosts:
            return _refuse(
                403,
                f"the Host header names {authority!r}, which is not this server",
                f"name it in {self._setting}, e.g. '[\"spyhop.internal\"]'",
            )
        if foreign := self._foreign_page(scope, headers, authority):
            return _refuse(403, f"requests from {foreign} are refused", "call from a local program")
        return None

    def _foreign_page(self, scope: Scope, headers: dict[str, str], authority: str) -> str:
        """The origin of the foreign page that a browser sends this for; empty when there is none."""
        origin = headers.get("origin")
        if origin is not None and not is_same_origin(origin, authority):
            return f"the web page {origin}"
        is_followed_link = (
            scope.get("method") == "GET"
            and headers.get("sec-fetch-mode", "").lower() == "navigate"
            and self._is_linked(scope["path"])
        )
        if (
            headers.get("sec-fetch-site", "none").lower() not in ("none", "same-origin")
            and not is_followed_link
        ):
            return "web pages of other origins"
        return ""


class LocalOnly(OwnPagesOnly):
    """The same for the API, which has no pages but its documentation. Refuses also

    - a body that is not plain JSON, which is all that a page may send without asking first.
    """

    def __init__(self, app: App, allowed_hosts: Iterable[str] = ()) -> None:
        super().__init__(app, allowed_hosts, "SPYHOP_API_ALLOWED_HOSTS")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _API_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await super().__call__(scope, receive, send_with_headers)

    def _is_linked(self, path: str) -> bool:
        return path in _LINKED_PATHS

    def _refusal(self, scope: Scope) -> Response | None:
        return super()._refusal(scope) or _unfit_body(scope)


def host_name(authority: str) -> str:
    """`localhost:4320` → `localhost`, `[::1]:4320` → `::1`; empty for anything but a host and a port."""
    match = _AUTHORITY.fullmatch(authority)
    return "" if match is None else match["v6"] or match["name"]


def is_same_origin(origin: str, authority: str) -> bool:
    """Whether a page of `origin` was served by the host and port that it now calls."""
    scheme, _, origin_authority = origin.lower().partition("://")
    port = _DEFAULT_PORTS.get(scheme)
    return port is not None and origin_authority.removesuffix(port) == authority.removesuffix(port)


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _unfit_body(scope: Scope) -> Response | None:
    headers = _headers(scope)
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return None
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        return _refuse(
            415, f"Content-Type {media_type or 'missing'} is not supported", "send application/json"
        )
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        return _refuse(415, f"Content-Encoding {encoding!r} is not supported", "send the body as it is")
    return None


def _refuse(status: int, message: str, hint: str) -> Response:
    return error_answer(status, "refused", f"{message}: {hint}")
