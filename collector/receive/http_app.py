"""OTLP/HTTP as a bare ASGI application: POST /v1/traces, /v1/logs, /v1/metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from time import monotonic
from typing import Any, NamedTuple

from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import code_pb2, status_pb2

from collector.errors import (
    InvalidInput,
    MalformedBody,
    SpyhopError,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from collector.receive.access import TokenCheck
from collector.receive.compression import UnsupportedEncoding, decompress
from collector.receive.intake import Intake
from collector.receive.senders import Sender
from collector.signals import HTTP_PATHS, Signal

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
RETRY_AFTER_S = 1
BODY_BYTES_PER_S_MIN = 1024  # after the first wait: a body that trickles would hold its connection for days
_INLINE_BYTES_MAX = 1024 * 1024  # checks in about 1.5 ms; a thread costs a tenth of that for each request

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

log = logging.getLogger(__name__)


class UnsupportedMediaType(InvalidInput):
    """A Content-Type that is neither protobuf nor JSON."""


class WrongMethod(InvalidInput):
    """Anything but POST."""


class TooSlow(InvalidInput):
    """A body that does not come."""


class UnknownPath(InvalidInput):
    """Not one of the three paths."""


class Answer(NamedTuple):
    status: int
    body: bytes
    content_type: str
    headers: list[tuple[bytes, bytes]]


# HTTP status and google.rpc code, the most particular class first.
_STATUSES: list[tuple[type[SpyhopError], int, int]] = [
    (TooLarge, 413, code_pb2.RESOURCE_EXHAUSTED),
    (UnsupportedMediaType, 415, code_pb2.INVALID_ARGUMENT),
    (UnsupportedEncoding, 415, code_pb2.INVALID_ARGUMENT),
    (WrongMethod, 405, code_pb2.UNIMPLEMENTED),
    (UnknownPath, 404, code_pb2.NOT_FOUND),
    (TooSlow, 408, code_pb2.DEADLINE_EXCEEDED),
    (Unauthenticated, 401, code_pb2.UNAUTHENTICATED),
    (MalformedBody, 400, code_pb2.INVALID_ARGUMENT),
    (Unavailable, 503, code_pb2.UNAVAILABLE),
]


class HttpReceiver:
    """The ASGI application."""

    def __init__(
        self,
        intake: Intake,
        *,
        max_body_bytes: int,
        body_timeout_s: float,
        token: TokenCheck | None = None,
    ) -> None:
        """
        Args:
            body_timeout_s: longest wait for the next piece of a body.
        """
        self._intake = intake
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s
        self._token = token or TokenCheck()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        answer = await self._answer(scope, receive)
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [
                    (b"content-type", answer.content_type.encode()),
                    (b"content-length", str(len(answer.body)).encode()),
                    *answer.headers,
                ],
            }
        )
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        content_type = JSON if media_type == JSON else PROTOBUF
        sender = _sender(scope, headers, content_type)
        try:
            try:
                signal, body = await self._admit(scope, headers, media_type, receive)
            except SpyhopError as error:
                self._intake.refused(HTTP_PATHS.get(scope["path"]), error, sender)
                raise
            return await self._export(signal, body, content_type, sender)
        except SpyhopError as error:
            return _error_answer(error, content_type)
        except Exception:  # a fault of ours: OTLP asks for a Status body even then, and senders retry
            log.exception("an OTLP/HTTP request failed")
            return _error_answer(SpyhopError("the request failed inside the server"), content_type)

    async def _admit(
        self, scope: Scope, headers: dict[str, str], media_type: str, receive: Receive
    ) -> tuple[Signal, bytes]:
        """The signal and the decompressed body of a request that may be looked into."""
        signal = HTTP_PATHS.get(scope["path"])
        if signal is None:
            raise UnknownPath(
                f"nothing is served at {scope['path']}", hint=f"send to one of {', '.join(HTTP_PATHS)}"
            )
        if scope["method"] != "POST":
            raise WrongMethod(f"{scope['method']} is not allowed", hint="send OTLP by POST")
        self._token.check(headers)
        if media_type not in (PROTOBUF, JSON):
            raise UnsupportedMediaType(
                f"Content-Type {media_type or 'missing'} is not supported",
                hint=f"send {PROTOBUF} or {JSON}",
            )
        length = headers.get("content-length", "")
        body = await _read_body(receive, length, self._max_body_bytes, self._body_timeout_s)
        if encoding := headers.get("content-encoding", ""):
            # Not in the loop, which a bomb would hold up for a long time.
            body = await asyncio.to_thread(decompress, body, encoding, self._max_body_bytes)
        return signal, body

    async def _export(self, signal: Signal, body: bytes, content_type: str, sender: Sender) -> Answer:
        is_json = content_type == JSON
        if is_json or len(body) > _INLINE_BYTES_MAX:
            # Slow enough to hold up the loop: JSON runs at some 10k spans/s.
            accepted = await asyncio.to_thread(
                self._intake.accept, signal, body, is_json=is_json, sender=sender
            )
        else:
            accepted = self._intake.accept(signal, body, sender=sender)
        if accepted.durable is not None:
            await asyncio.wrap_future(accepted.durable)
        return Answer(200, _encode(accepted.response, content_type), content_type, [])


def _sender(scope: Scope, headers: dict[str, str], content_type: str) -> Sender:
    address = (scope.get("client") or ("unknown",))[0]
    transport = "http/json" if content_type == JSON else "http/protobuf"
    return Sender(address, headers.get("user-agent", ""), transport)


async def _read_body(receive: Receive, content_length: str, max_bytes: int, timeout_s: float) -> bytes:
    too_large = TooLarge(
        f"the body is larger than {max_bytes} bytes",
        hint="send smaller batches, or raise SPYHOP_OTLP_MAX_BODY_BYTES",
        details={"max_bytes": max_bytes},
    )
    if content_length.isdigit() and int(content_length) > max_bytes:
        raise too_large
    pieces: list[bytes] = []
    size_bytes = 0
    more = True
    started_s = monotonic()
    while more:
        if monotonic() - started_s > timeout_s + size_bytes / BODY_BYTES_PER_S_MIN:
            raise TooSlow(f"the body comes at less than {BODY_BYTES_PER_S_MIN} bytes/s")
        try:
            async with asyncio.timeout(timeout_s):
                event = await receive()
        except TimeoutError as error:
            raise TooSlow(f"nothing of the body came for {timeout_s:g} s") from error
        if event["type"] == "http.disconnect":
            raise MalformedBody("the client went away before the body was complete")
        piece = event.get("body", b"")
        size_bytes += len(piece)
        if size_bytes > max_bytes:
            raise too_large
        pieces.append(piece)
        more = event.get("more_body", False)
    return b"".join(pieces)


def _error_answer(error: SpyhopError, content_type: str) -> Answer:
    status, code = next(
        ((status, code) for kind, status, code in _STATUSES if isinstance(error, kind)),
        (500, code_pb2.INTERNAL),
    )
    headers = [(b"retry-after", str(RETRY_AFTER_S).encode())] if status == 503 else []
    if status == 408:
        headers.append((b"connection", b"close"))  # what comes later would be read as a new request
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status == 405:
        headers.append((b"allow", b"POST"))
    body = _encode(status_pb2.Status(code=code, message=str(error)), content_type)
    return Answer(status, body, content_type, headers)


def _encode(message: Message, content_type: str) -> bytes:
    if content_type == PROTOBUF:
        return message.SerializeToString()
    return json_format.MessageToJson(message, indent=None).encode()
