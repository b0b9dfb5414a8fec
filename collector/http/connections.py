"""Limits of HTTP connections: time, header bytes, pipelined requests, and the number of connections."""

from __future__ import annotations

import asyncio
import json
import resource
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

CONNECTIONS_MAX = 1000  # for each HTTP port
HEAD_BYTES_MAX = 64 * 1024  # request line and headers, a header counted with 32 bytes more, as HTTP/2 does
PIPELINED_MAX = 64  # requests that a client sends ahead, before the first is answered
DRAINED_BYTES_MAX = 1024 * 1024  # of a body that was answered before it ended; then the connection closes
DRAIN_S = 2.0
LOOK_AGAIN_S = 0.05  # timers run before bytes are read: a request may have come while the loop was held up
STALLED_ANSWER_S = 30.0  # in which a client must take at least a kilobyte a second of its answer
_ANSWER_BYTES_PER_S_MIN = 1024
_INVALID = (HTTPStatus.BAD_REQUEST, "malformed_body", "this is not a valid HTTP request")


def raise_descriptor_limit() -> None:
    """As many open files as this process may have: the usual 1,024 are for programs that use select()."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # where "unlimited" may not be asked for, the limit stays
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def descriptors_max() -> int:
    """How many files and connections this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


def connections_max() -> int:
    """How many connections one port may hold: an eighth of the descriptors, `CONNECTIONS_MAX` at most."""
    return max(1, min(CONNECTIONS_MAX, descriptors_max() // 8))


def http_protocol(header_timeout_s: float, count_max: int = CONNECTIONS_MAX) -> type[HttpToolsProtocol]:
    """uvicorn's HTTP protocol with further limits.

    The headers must be complete `header_timeout_s` after the connection, or after a request's first byte.
    Beyond `count_max` connections the one that has kept us waiting longest is closed, but never one whose
    whole request has arrived. An answer that begins before its request has ended says `Connection: close`:
    the rest of the body is read for a short while, so that the answer is not lost, and then it closes.
    """
    # In the order in which they began to wait for their client. A dict, for its order and its cheap removal.
    waiting: dict[HttpToolsProtocol, None] = {}

    class Patient(HttpToolsProtocol):
        _timer: asyncio.TimerHandle | None = None  # ends the wait for headers, or the rest of a body
        _answer_timer: asyncio.TimerHandle | None = None
        _head_number = 0  # of the head that is coming; 0: none is
        _heads_begun = 0
        _head_bytes = 0  # of its complete headers
        _unended_bytes = 0  # of pieces that neither began nor ended it
        _drained_bytes = 0
        _is_whole = True  # no request has begun that has not ended
        _is_last = False  # the client was told that the connection closes
        _refusal = _INVALID

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wait(header_timeout_s)
            waiting[self] = None
            if len(self.connections) > count_max:
                longest = next(iter(waiting))
                del waiting[longest]  # at once: the next may come before it is gone
                longest.transport.close()

        def connection_lost(self, exc: Exception | None) -> None:
            waiting.pop(self, None)
            self._stop_waiting()
            self.resume_writing()
            super().connection_lost(exc)

        def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
            async def announcing(scope: Any, receive: Any, send: Any) -> None:
                async def announce(message: Any) -> None:
                    is_early = message["type"] == "http.response.start" and cycle.more_body
                    if is_early:
                        self._is_last = True
                        message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
                    await send(message)
                    if is_early:
                        # uvicorn would close right after the answer, and what the client still sends would
                        # reset the connection under it.
                        cycle.keep_alive = True

                await app(scope, receive, announce)

            super()._start_asgi_task(cycle, announcing)

        def on_message_begin(self) -> None:
            if self._is_last:
                raise ValueError("a request after the last answer")  # ends the parser, see `_refuse`
            super().on_message_begin()
            self._heads_begun += 1
            self._head_number = self._heads_begun
            self._head_bytes, self._unended_bytes, self._is_whole = 0, 0, False
            if self._timer is None:
                self._wait(header_timeout_s)

        def on_url(self, url: bytes) -> None:
            super().on_url(url)
            self._count_head(len(url))

        def on_header(self, name: bytes, value: bytes) -> None:
            super().on_header(name, value)
            self._count_head(len(name) + len(value) + 32)

        def on_headers_complete(self) -> None:
            if len(self.pipeline) >= PIPELINED_MAX:
                self._refuse(
                    HTTPStatus.TOO_MANY_REQUESTS, "too_many_requests", "wait for answers before you send more"
                )
            self._head_number = 0
            self._stop_waiting()
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            super().on_body(body)
            if self.cycle.response_complete:
                self._drained_bytes += len(body)
                if self._drained_bytes > DRAINED_BYTES_MAX:
                    self.transport.close()

        def on_message_complete(self) -> None:
            self._is_whole = True
            self._stop_waiting()
            waiting.pop(self, None)
            super().on_message_complete()
            if self.cycle is not None and self.cycle.response_complete:  # it was answered long before
                self.transport.close()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self._is_last and not self.pipeline:
                self._drained_bytes = 0
                if self._is_whole:
                    self.transport.close()
                elif self.transport.can_write_eof():
                    self.transport.write_eof()
                self._wait(DRAIN_S)
            if not self.pipeline and not self.transport.is_closing():
                waiting[self] = None

        def send_400_response(self, msg: str) -> None:
            if self._is_last:
                self.transport.close()
                return
            status, code, message = self._refusal
            error = {"error": {"code": code, "message": message, "details": {}}}
            body = json.dumps(error).encode()
            head = (
                f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
            self.transport.close()

        def data_received(self, data: bytes) -> None:
            head_number = self._head_number
            super().data_received(data)
            if self.transport.is_closing():
                return
            if head_number and head_number == self._head_number:
                # The parser reports a header only when it has ended.
                self._unended_bytes += len(data)
                if self._unended_bytes > HEAD_BYTES_MAX:
                    self._refusal = _too_long()
                    self.send_400_response("")
            elif self._is_whole and self._timer is None and self in waiting:
                self._wait(header_timeout_s)  # empty lines between two requests

        def pause_writing(self) -> None:
            super().pause_writing()
            self._watch_answer()

        def resume_writing(self) -> None:
            if self._answer_timer is not None:
                self._answer_timer.cancel()
                self._answer_timer = None
            super().resume_writing()

        def _watch_answer(self, before_bytes: int | None = None) -> None:
            unsent_bytes = self.transport.get_write_buffer_size()
            least_bytes = int(STALLED_ANSWER_S * _ANSWER_BYTES_PER_S_MIN)
            if before_bytes is not None and unsent_bytes > before_bytes - least_bytes:
                self.transport.abort()
                return
            self._answer_timer = self.loop.call_later(STALLED_ANSWER_S, self._watch_answer, unsent_bytes)

        def _count_head(self, size_bytes: int) -> None:
            self._head_bytes += size_bytes
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse(*_too_long())

        def _refuse(self, status: HTTPStatus, code: str, message: str) -> None:
            """Called below the parser, which ends at an exception; uvicorn then calls `send_400_response`."""
            self._refusal = status, code, message
            raise ValueError(message)

        def _wait(self, time_s: float) -> None:
            self._stop_waiting()
            self._timer = self.loop.call_later(time_s, self._look_again)

        def _look_again(self) -> None:
            """Before the connection closes, read what has come meanwhile."""
            self._timer = self.loop.call_later(LOOK_AGAIN_S, self.transport.close)

        def _stop_waiting(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return Patient


def _too_long() -> tuple[HTTPStatus, str, str]:
    message = f"the address and the headers are longer than {HEAD_BYTES_MAX} bytes: send less in them"
    return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too_large", message
