"""The dashboard as an ASGI application: Streamlit behind security headers and gzip."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import streamlit
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from collector.http.guard import OwnPagesOnly

SCRIPT = Path(__file__).with_name("app.py")
GZIP_MIN_BYTES = 1024
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@cache
def inline_script_hashes() -> tuple[str, ...]:
    """CSP sources of the inline scripts in Streamlit's page; they change with its version."""
    page = Path(streamlit.__file__).with_name("static") / "index.html"
    return tuple(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in _INLINE_SCRIPT.findall(page.read_text(encoding="utf-8"))
    )


@cache
def content_security_policy() -> str:
    """Everything from this origin only: a Markdown image or a hostile attribute can fetch nothing."""
    return "; ".join(
        [
            "default-src 'self'",
            " ".join(["script-src 'self' blob:", *inline_script_hashes()]),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]
    )


class SecurityHeaders:
    """Adds the headers to every HTTP response; plain ASGI, so streaming responses stay streams."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._headers = {
            "content-security-policy": content_security_policy(),
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
            "referrer-policy": "no-referrer",
            "permissions-policy": "camera=(), geolocation=(), microphone=()",
            "cross-origin-opener-policy": "same-origin",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def create_app(allowed_hosts: Iterable[str] = ()) -> ASGIApp:
    """The application.

    Args:
        allowed_hosts: names under which it is reached, besides those of this machine.
    """
    # Streamlit itself admits websockets from pages of every local port and of any name that points here. It
    # also asks an external server for this machine's address, to compare others with it.
    guard = Middleware(OwnPagesOnly, allowed_hosts=allowed_hosts, setting="SPYHOP_DASHBOARD_ALLOWED_HOSTS")
    return streamlit.App(
        SCRIPT,
        middleware=[
            Middleware(SecurityHeaders),
            guard,
            Middleware(GZipMiddleware, minimum_size=GZIP_MIN_BYTES),
        ],
    )
