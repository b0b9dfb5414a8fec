"""ASGI middleware: a SERVER span for each request under `/api/`, child of the caller's span."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from opentelemetry.trace import Span, SpanKind, Tracer

from exchange_ref.telemetry.tracing import context_from, fail

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SPAN_KEY = "kx.server_span"


class ServerSpans:
    """Put the request's span at `scope[SPAN_KEY]`; name it by method and route template once known."""

    def __init__(self, app: App, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        span = self._tracer.start_span(
            scope["method"],
            context=context_from(headers),
            kind=SpanKind.SERVER,
            attributes=request_attributes(scope),
        )
        scope[SPAN_KEY] = span

        async def send_observed(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self._finish(span, scope, message["status"])
            await send(message)

        try:
            await self._app(scope, receive, send_observed)
        except Exception as error:
            if not span.is_recording():  # answered: the handler of the failure has told the span about it
                logger.debug("request failed", exc_info=True)
                return
            span.record_exception(error)
            fail(span, type(error).__name__, str(error))
            raise
        finally:
            # A no-op after an answer, when the span has ended with it.
            if span.is_recording():
                span.end()

    def _finish(self, span: Span, scope: Scope, status: int) -> None:
        """End the span as the answer leaves, so that it lies inside its caller's."""
        route = getattr(scope.get("route"), "path", None)
        if route is not None:
            span.update_name(f"{scope['method']} {route}")
            span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            fail(span, str(status), "")
        span.end()


def request_attributes(scope: Scope) -> dict[str, str | int]:
    """OpenTelemetry's HTTP server conventions."""
    attributes: dict[str, str | int] = {
        "http.request.method": scope["method"],
        "url.scheme": scope["scheme"],
        "url.path": scope["path"],
        "network.protocol.version": scope["http_version"],
    }
    if scope.get("server"):
        attributes["server.address"], attributes["server.port"] = scope["server"]
    if scope.get("query_string"):
        attributes["url.query"] = scope["query_string"].decode("latin-1")
    return attributes
