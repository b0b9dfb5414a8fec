"""api-gateway, the entrance: routes by path, refuses what cannot be an order, forwards by HTTP."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from opentelemetry.trace import Span, SpanKind, Tracer

from exchange_ref.services.accepted_log import AcceptedLog
from exchange_ref.services.api.server_spans import Receive, Scope, Send, request_attributes
from exchange_ref.services.api.user import GATEWAY_HEADER
from exchange_ref.services.browser_spans import TRACES_PATH, BrowserSpans
from exchange_ref.services.circuit_breaker import CircuitBreaker
from exchange_ref.services.http_client import HttpClient, HttpFailure
from exchange_ref.services.http_errors import error_body, status_of
from exchange_ref.services.identity import LOGIN, Caller, Doorman, Refused
from exchange_ref.services.page import HEADERS, Page
from exchange_ref.telemetry.log_export import ServiceLog
from exchange_ref.telemetry.metrics import Metrics
from exchange_ref.telemetry.tracing import (
    GATEWAY,
    context_from,
    fail,
    headers_of,
    trace_id_of,
    traceresponse_of,
    under,
)

MAX_BODY_BYTES = 64 * 1024
ORDERS_PATH = "/api/v1/orders"
TRANSFERS_PATH = "/api/v1/transfers"
_FORWARDED_HEADERS = (b"accept",)


@dataclass(slots=True)
class GatewayCounters:
    """Orders seen at the way in. `orders_accepted` are those answered with 201."""

    orders_submitted: int = 0
    orders_accepted: int = 0
    orders_rejected: int = 0
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class Route:
    """Requests below `prefix` with one of `methods` go to `upstream`; strangers' too where it `is_public`."""

    name: str
    prefix: str
    methods: frozenset[str]
    upstream: HttpClient
    is_public: bool = False


class Gateway:
    """The ASGI application.

    `more_status` adds figures of other parts to `GET /status`, `market` answers `GET /market`; `plugins` are
    awaited with the path of each request while it is routed. `/api/…` is short for `/api/v1/…`. An answer
    names the trace of its request in `traceresponse` (W3C Trace Context, level 2).

    Args:
        accepted: by path, where each 201 to a POST is noted.
        token: tells the API that a request comes from here.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        tracer: Tracer,
        accepted: Mapping[str, AcceptedLog],
        log: ServiceLog,
        metrics: Metrics,
        *,
        doorman: Doorman,
        token: str,
        page: Page,
        browser_spans: BrowserSpans,
    ) -> None:
        self._routes = routes
        self._breakers = {id(route.upstream): CircuitBreaker(time.monotonic) for route in routes}
        self.doorman = doorman
        self._token = token
        self.page = page
        self._browser_spans = browser_spans
        self._tracer = tracer
        self._accepted = accepted
        self._log = log
        self._metrics = metrics
        self.more_status: Callable[[], dict[str, object]] = dict
        # Without it there is no such path.
        self.market: Callable[[], dict[str, object]] | None = None
        # Answers requests below /admin/: method, path, Authorization, body. Without it there is no such path.
        self.admin: Callable[[str, str, bytes, bytes], tuple[int, bytes]] | None = None
        # Answers /ws.
        self.streams: Callable[[Scope, Receive, Send], Awaitable[None]] | None = None
        self.plugins: list[Callable[[str], Awaitable[None]]] = []
        self._started_s = time.monotonic()
        self.counters = GatewayCounters()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            if scope["path"] == "/ws" and self.streams is not None:
                await self.streams(scope, receive, send)
            else:
                await send({"type": "websocket.close"})
            return
        scope = {**scope, "path": full_path(scope["path"])}
        if scope["path"] in ("/healthz", "/health"):
            await respond(send, 200, b'{"status": "ok"}')
        elif scope["path"] == "/status":
            await respond(send, 200, json.dumps(self.status()).encode())
        elif scope["method"] == "GET" and (file := self.page.files.get(scope["path"])) is not None:
            await respond(send, 200, *file, headers=HEADERS)
        elif (scope["method"], scope["path"]) == ("POST", TRACES_PATH):
            await self._take_spans(scope, receive, send)
        elif scope["path"] == "/metrics":
            accept = dict(scope["headers"]).get(b"accept", b"").decode("latin-1")
            await respond(send, 200, *self._metrics.scraped(GATEWAY, accept))
        elif self.market is not None and (scope["method"], scope["path"]) == ("GET", "/market"):
            await respond(send, 200, json.dumps(self.market()).encode())
        elif self.admin is not None and scope["path"].startswith("/admin/"):
            await self._administer(self.admin, scope, receive, send)
        elif scope["method"] == "POST" and scope["path"] == ORDERS_PATH:
            await self._counted(scope, receive, send)
        else:
            await self._proxy(scope, receive, send)

    def status(self) -> dict[str, object]:
        counters = self.counters
        return {
            "orders_submitted": counters.orders_submitted,
            "orders_accepted": counters.orders_accepted,
            "orders_rejected": counters.orders_rejected,
            "in_flight": counters.in_flight,
            "uptime_s": round(time.monotonic() - self._started_s, 3),
            **self.more_status(),
        }

    async def _take_spans(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Not traced: a page that sends the spans of what it sends would never end."""
        try:
            caller = Caller(key=f"spans/{(scope['client'] or ('',))[0]}")
            self.doorman.admit(caller, is_order=True)
            self._browser_spans.take(await read_body(receive))
            status, content = 200, b"{}"
        except Refused as refusal:
            status, content = status_of(refusal.code), error_body(refusal.code, refusal.message)
        await respond(send, status, content)

    async def _administer(
        self,
        admin: Callable[[str, str, bytes, bytes], tuple[int, bytes]],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        authorization = dict(scope["headers"]).get(b"authorization", b"")
        try:
            body = await read_body(receive)
            status, content = admin(scope["method"], scope["path"], authorization, body)
        except Refused as refusal:
            status, content = status_of(refusal.code), error_body(refusal.code, refusal.message)
        await respond(send, status, content)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        counters = self.counters
        counters.orders_submitted += 1
        counters.in_flight += 1
        status = 500
        try:
            status = await self._proxy(scope, receive, send)
        finally:
            counters.in_flight -= 1
            if status >= 400:
                counters.orders_rejected += 1

    async def _proxy(self, scope: Scope, receive: Receive, send: Send) -> int:
        """Answer one request; returns the status sent."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        span = self._tracer.start_span(
            "kong", context=context_from(headers), kind=SpanKind.SERVER, attributes=request_attributes(scope)
        )
        started_s = time.perf_counter()
        try:
            status, content = await self._answer(scope, receive, span)
            span.set_attribute("http.response.status_code", status)
            if status >= 500:
                fail(span, str(status), "")
            self._note(scope, span, status, time.perf_counter() - started_s)
            if status == 201 and (log := self._accepted.get(scope["path"])) is not None:
                log.write(content, trace_id_of(span))
                if scope["path"] == ORDERS_PATH:
                    self.counters.orders_accepted += 1
        finally:
            span.end()
        await respond(send, status, content, traceresponse=traceresponse_of(span))
        return status

    def _note(self, scope: Scope, span: Span, status: int, duration_s: float) -> None:
        """Metrics of every request, a log line of each that did not go well."""
        route = next((route.prefix for route in self._routes if scope["path"].startswith(route.prefix)), "")
        self._metrics.request(span, duration_s, scope["method"], route, status)
        if status >= 400:
            attributes = {"http.response.status_code": status, "url.path": scope["path"]}
            self._log.warning(
                span, f"{scope['method']} {route or scope['path']} answered {status}", attributes
            )

    async def _answer(self, scope: Scope, receive: Receive, span: Span) -> tuple[int, bytes]:
        try:
            body = await read_body(receive)
            route = await self._route(scope, body, span)
            caller = self._let_in(route, scope, span)
            return await self._forward(route, scope, caller, body, span)
        except Refused as refusal:
            return status_of(refusal.code), error_body(refusal.code, refusal.message, refusal.details)

    def _let_in(self, route: Route, scope: Scope, span: Span) -> Caller:
        """
        Raises:
            Refused: a stranger where users may go alone, a token that is not good, or too many requests.
        """
        caller = self.doorman.identify(dict(scope["headers"]), (scope["client"] or ("",))[0])
        if not caller.user_id and not route.is_public:
            raise Refused("unauthorized", f"{scope['path']} is for users; {LOGIN}")
        self.doorman.admit(caller, is_order=scope["method"] == "POST")
        if caller.key and caller.user_id:  # of a trader of the load, the spans below have it
            span.set_attribute("user.id", caller.user_id)
        return caller

    async def _route(self, scope: Scope, body: bytes, parent: Span) -> Route:
        with self._tracer.start_as_current_span(
            "kong.router", context=under(parent), record_exception=False, set_status_on_exception=False
        ) as span:
            path, method = scope["path"], scope["method"]
            for plugin in self.plugins:
                await plugin(path)
            below = [
                route for route in self._routes if path == route.prefix or path.startswith(route.prefix + "/")
            ]
            if not below:
                raise Refused("not_found", f"nothing is served at {path}")
            route = max(below, key=lambda candidate: len(candidate.prefix))
            if method not in route.methods:
                raise Refused(
                    "method_not_allowed", f"{path} takes {', '.join(sorted(route.methods))}, not {method}"
                )
            if method == "POST" and (body or route.name != "auth"):  # a logout says nothing
                _check_json_object(body)
            span.set_attributes({"http.route": route.prefix, "kong.route.name": route.name})
            parent.set_attribute("http.route", route.prefix)
            return route

    async def _forward(
        self, route: Route, scope: Scope, caller: Caller, body: bytes, parent: Span
    ) -> tuple[int, bytes]:
        upstream, path = route.upstream, scope["path"]
        with self._tracer.start_as_current_span(
            "kong.balancer",
            context=under(parent),
            kind=SpanKind.CLIENT,
            attributes={
                "http.request.method": scope["method"],
                "url.full": f"http://{upstream.host}:{upstream.port}{path}",
                "server.address": upstream.host,
                "server.port": upstream.port,
            },
        ) as span:
            headers = headers_of(span)
            for name, value in scope["headers"]:
                if name in _FORWARDED_HEADERS:
                    headers[name.decode("latin-1")] = value.decode("latin-1")
            headers[GATEWAY_HEADER] = self._token
            if body:  # which is JSON, whatever curl -d calls it
                headers["content-type"] = "application/json"
            if caller.user_id:
                headers["x-user-id"] = caller.user_id
            if caller.session_id:
                headers["x-session-id"] = caller.session_id
            target = quote(path)  # it was decoded: a line break in it would begin a header
            query = scope.get("query_string", b"").decode("latin-1")
            breaker = self._breakers[id(upstream)]
            if wait_s := breaker.wait_s():
                fail(span, "CircuitOpen", "")
                message = f"the exchange has given no answers; wait {wait_s:.2f} s and try again"
                raise Refused("unavailable", message, {"retry_after_s": round(wait_s, 3)})
            try:
                response = await upstream.request(
                    scope["method"], f"{target}?{query}" if query else target, headers, body
                )
            except HttpFailure as failure:
                fail(span, "HttpFailure", str(failure))
                if breaker.failed():
                    self._log.warning(span, f"the circuit to {upstream.host}:{upstream.port} is open")
                return status_of("bad_gateway"), error_body(
                    "bad_gateway", f"the exchange cannot be reached: {failure}"
                )
            if breaker.answered():
                self._log.info(span, f"the circuit to {upstream.host}:{upstream.port} is closed again", {})
            span.set_attribute("http.response.status_code", response.status)
            if response.status >= 400:
                fail(span, str(response.status), "")
            return response.status, response.body


def full_path(path: str) -> str:
    """
    >>> full_path("/api/orders/7"), full_path("/api/wallet"), full_path("/api/v1/orders")
    ('/api/v1/orders/7', '/api/v1/wallets', '/api/v1/orders')
    """
    if not path.startswith("/api/") or re.match("/api/v[0-9]", path):
        return path
    return "/api/v1/wallets" if path == "/api/wallet" else "/api/v1/" + path.removeprefix("/api/")


def _check_json_object(body: bytes) -> None:
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused("malformed_body", f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Refused("malformed_body", "the body must be a JSON object")


async def read_body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size_bytes = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused("malformed_body", "the request ended before its body did")
        part: bytes = message.get("body", b"")
        size_bytes += len(part)
        if size_bytes > MAX_BODY_BYTES:
            raise Refused("too_large", f"the body is larger than {MAX_BODY_BYTES} bytes")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


async def respond(
    send: Send,
    status: int,
    body: bytes,
    content_type: str = "application/json",
    *,
    traceresponse: str = "",
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    headers = [
        (b"content-type", content_type.encode()),
        (b"content-length", str(len(body)).encode()),
        *headers,
    ]
    if traceresponse:
        headers.append((b"traceresponse", traceresponse.encode()))
    # Not after failed logins, which wait longer.
    if status == 503 or (status == 429 and b'"rate_limited"' in body):
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
