"""`/ws`: depth, trades and tickers as they change, to everybody who reads fast enough.

A reader subscribes with `?streams=depth@BTC/USD,trade@BTC/USD` or `{"op": "subscribe", "streams": […]}`.
Every message is `{stream, data}`. Depth begins with a snapshot; each diff's `first_update_id` is the
`last_update_id` before it plus one. Trade ids have no gap either.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qs

from opentelemetry.trace import SpanKind, Tracer

from exchange_ref.engine.instruments import PAIRS
from exchange_ref.engine.orders import Side
from exchange_ref.engine.tape import Tape
from exchange_ref.market.depth_feed import DepthDiff
from exchange_ref.services.api.market_routes import MAX_LEVELS, Market, depth_sides, trade_reply
from exchange_ref.services.api.server_spans import Receive, Scope, Send, request_attributes
from exchange_ref.services.identity import Caller, Doorman, Refused
from exchange_ref.telemetry.log_export import ServiceLog
from exchange_ref.telemetry.tracing import context_from

KINDS: Final = ("depth", "trade", "ticker")
STREAMS: Final = frozenset(f"{kind}@{symbol}" for kind in KINDS for symbol in PAIRS)
FLUSH_EVERY_S: Final = 0.1
# Tickers change with each trade; a person reads them once a second.
FLUSHES_PER_TICKER: Final = 10
MAX_SOCKETS: Final = 5
# Of a reader: 25 s of depth.
MAX_BEHIND: Final = 256
POLICY: Final = 1008
TRY_AGAIN_LATER: Final = 1013


class Reader:
    """One socket. `dropped` gets the reason why it must go."""

    def __init__(self) -> None:
        self.streams: set[str] = set()
        self.waiting: asyncio.Queue[str] = asyncio.Queue(MAX_BEHIND)
        self.dropped: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def offer(self, message: str) -> None:
        try:
            self.waiting.put_nowait(message)
        except asyncio.QueueFull:
            self.drop(f"too slow: {MAX_BEHIND} messages behind; connect again")

    def drop(self, reason: str) -> None:
        if not self.dropped.done():
            self.dropped.set_result(reason)


class Streams:
    def __init__(
        self, market: Market, tapes: dict[str, Tape], doorman: Doorman, *, tracer: Tracer, log: ServiceLog
    ) -> None:
        self._market = market
        self._tapes = tapes
        self._doorman = doorman
        self._tracer = tracer
        self._log = log
        self.readers: set[Reader] = set()
        self._sockets: Counter[str] = Counter()
        self._sent_trades = dict.fromkeys(PAIRS, 0)
        self._task: asyncio.Task[None] | None = None
        # Whether a diff is lost on its way out, and what is awaited before all that waits is sent.
        self.losing: Callable[[], bool] | None = None
        self.holding: Callable[[], Awaitable[None]] | None = None
        self.sent_s = time.monotonic()
        for symbol, feed in market.feeds.items():
            feed.publish = partial(self._publish_depth, symbol)

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="streams")

    async def stop(self) -> None:
        for reader in self.readers:
            reader.drop("the exchange stops")
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One socket, from its handshake to its end. The span is the handshake's."""
        await receive()
        headers = dict(scope["headers"])
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        parents = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
        attributes = request_attributes({**scope, "method": "GET"})
        attributes.pop("url.query", None)  # it may hold a token
        with self._tracer.start_as_current_span(
            "GET /ws", context=context_from(parents), kind=SpanKind.SERVER, attributes=attributes
        ) as span:
            await send({"type": "websocket.accept"})
            reader = Reader()
            try:
                if "token" in query:  # a browser cannot send headers with a socket
                    headers = {b"authorization": f"Bearer {query['token'][0]}".encode()}
                caller = self._doorman.identify(headers, (scope["client"] or ("",))[0])
                if caller.key and self._sockets[caller.key] >= MAX_SOCKETS:
                    raise Refused("rate_limited", f"{MAX_SOCKETS} sockets are open already; close one")
                names = [name for text in query.get("streams", []) for name in text.split(",")]
                self._subscribe(reader, names)
            except Refused as refusal:
                self._log.warning(span, f"a socket was refused: {refusal.message}")
                await send({"type": "websocket.close", "code": POLICY, "reason": refusal.message[:120]})
                return
        self._sockets[caller.key] += 1
        self.readers.add(reader)
        try:
            await self._attend(reader, caller, receive, send)
        finally:
            self.readers.discard(reader)
            self._sockets[caller.key] -= 1
            if not self._sockets[caller.key]:
                del self._sockets[caller.key]

    async def _attend(self, reader: Reader, caller: Caller, receive: Receive, send: Send) -> None:
        tasks: list[asyncio.Future[None]] = [
            asyncio.create_task(self._listen(reader, caller, receive)),
            asyncio.create_task(self._pump(reader, send)),
        ]
        ends: list[asyncio.Future[Any]] = [*tasks, reader.dropped]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)  # a socket that is gone cannot be written to
        if reader.dropped.done():
            closing = {"type": "websocket.close", "code": TRY_AGAIN_LATER, "reason": reader.dropped.result()}
            with suppress(OSError, RuntimeError, TimeoutError):
                await asyncio.wait_for(send(closing), 1.0)

    async def _listen(self, reader: Reader, caller: Caller, receive: Receive) -> None:
        while (message := await receive())["type"] != "websocket.disconnect":
            try:
                self._doorman.admit(caller, is_order=False)
                op, names = _asked(message.get("text") or "")
                if op == "subscribe":
                    self._subscribe(reader, names)
                else:
                    reader.streams.difference_update(names)
            except Refused as refusal:
                reader.offer(json.dumps({"error": {"code": refusal.code, "message": refusal.message}}))

    async def _pump(self, reader: Reader, send: Send) -> None:
        while True:
            await send({"type": "websocket.send", "text": await reader.waiting.get()})

    def _subscribe(self, reader: Reader, names: list[str]) -> None:
        """
        Raises:
            Refused: a name that is no stream; none is subscribed to.
        """
        for name in names:
            if name not in STREAMS:
                raise Refused(
                    "invalid_request",
                    f"there is no stream {name[:40]!r}; take {', '.join(KINDS)} @ {', '.join(PAIRS)}",
                )
        for name in names:
            if name in reader.streams:
                continue
            kind, _, symbol = name.partition("@")
            if kind == "depth":
                feed = self._market.feeds[symbol]
                feed.look()
                sides = depth_sides(PAIRS[symbol], feed.levels(), MAX_LEVELS)
                data = {"type": "snapshot", "last_update_id": feed.last_update_id, **sides}
                reader.offer(_message(name, data))
            elif kind == "ticker":
                reader.offer(_message(name, self._market.ticker(PAIRS[symbol]).model_dump()))
            elif not self._wanted(name):
                self._sent_trades[symbol] = self._tapes[symbol].count
            reader.streams.add(name)

    async def _run(self) -> None:
        flushes = 0
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            if self.holding is not None:
                await self.holding()
            flushes += 1
            self.sent_s = time.monotonic()
            for symbol in PAIRS:
                if self._wanted(f"depth@{symbol}"):
                    self._market.feeds[symbol].look()
                if self._wanted(f"trade@{symbol}"):
                    self._publish_trades(symbol)
                if flushes % FLUSHES_PER_TICKER == 0 and self._wanted(f"ticker@{symbol}"):
                    self._publish(f"ticker@{symbol}", self._market.ticker(PAIRS[symbol]).model_dump())

    def _wanted(self, name: str) -> bool:
        return any(name in reader.streams for reader in self.readers)

    def _publish(self, name: str, data: dict[str, Any]) -> None:
        message = _message(name, data)
        for reader in self.readers:
            if name in reader.streams:
                reader.offer(message)

    def _publish_depth(self, symbol: str, diff: DepthDiff) -> None:
        if self.losing is not None and self.losing():
            return
        levels = {side: diff.levels[side] for side in Side}
        sides = depth_sides(PAIRS[symbol], levels, max(map(len, levels.values())))
        ids = {"first_update_id": diff.first_update_id, "last_update_id": diff.last_update_id}
        self._publish(f"depth@{symbol}", {"type": "diff", **ids, **sides})

    def _publish_trades(self, symbol: str) -> None:
        tape, name = self._tapes[symbol], f"trade@{symbol}"
        after = self._sent_trades[symbol]
        self._sent_trades[symbol] = tape.count
        if tape.count - after > len(tape.trades):
            for reader in self.readers:
                if name in reader.streams:
                    reader.drop("more trades came at once than are kept; read /api/trades, connect again")
            return
        fresh = list(tape.trades)[len(tape.trades) - (tape.count - after) :]
        for trade in fresh:
            self._publish(name, trade_reply(PAIRS[symbol], trade).model_dump())


def _message(name: str, data: dict[str, Any]) -> str:
    return json.dumps({"stream": name, "data": data}, separators=(",", ":"))


def _asked(text: str) -> tuple[str, list[str]]:
    """
    Raises:
        Refused: not such a message.
    """
    try:
        asked = json.loads(text)
        op, names = asked["op"], asked["streams"]
        if op in ("subscribe", "unsubscribe") and isinstance(names, list):
            return op, [str(name) for name in names]
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise Refused("malformed_body", 'send {"op": "subscribe" or "unsubscribe", "streams": ["depth@BTC/USD"]}')
