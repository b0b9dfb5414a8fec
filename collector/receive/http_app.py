"""OTLP/HTTP as a bare ASGI application: POST /v1/traces, /v1/logs, /v1/metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import code_pb2, status_pb2

from collector.errors import (
    InvalidInput,
    MalformedBody,
    SpyhopError,
    TooLarge,
    TooSlow,
    Unauthenticated,
    Unavailable,
)
from collector.http.body import BODIES_AT_ONCE, BodyLimits, BodyRoom, Receive, read_body
from collector.receive.access import TokenCheck
from collector.receive.compression import UnsupportedEncoding
from collector.receive.cors import ForeignPage, Origins
from collector.receive.intake import Intake
from collector.receive.senders import Sender
from collector.receive.turns import Export, HttpTurns
from collector.signals import HTTP_PATHS, Signal

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
RETRY_AFTER_S = 1
_SHOWN_CHARS = 200

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

log = logging.getLogger(__name__)


class UnsupportedMediaType(InvalidInput):
    """A Content-Type that is neither protobuf nor JSON."""


class WrongMethod(InvalidInput):
    """Anything but POST."""


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
    (ForeignPage, 403, code_pb2.PERMISSION_DENIED),
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
        origins: Origins | None = None,
    ) -> None:
        """
        Args:
            body_timeout_s: longest wait for the next piece of a body.
        """
        self._intake = intake
        self._limits = BodyLimits(
            max_body_bytes, body_timeout_s, "send less at once, or raise SPYHOP_OTLP_MAX_BODY_BYTES"
        )
        self._room = BodyRoom(BODIES_AT_ONCE * max_body_bytes)
        self._turns = HttpTurns(intake, max_body_bytes)
        self._token = token or TokenCheck()
        self._origins = origins or Origins()

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
            with self._room.share() as share:
                try:
                    signal = self._admit(scope, headers, media_type)
                    length = headers.get("content-length", "")
                    body = await read_body(receive, length, self._limits, self._room, share)
                except SpyhopError as error:
                    self._intake.refused(_signal_at(scope["path"]), error, sender)
                    raise
                encoding = headers.get("content-encoding", "")
                export = Export(signal, body, encoding, content_type == JSON, sender)
                accepted = await self._turns.accept(export)
                if accepted.durable is not None:
                    await asyncio.wrap_future(accepted.durable)
                return Answer(200, _encode(accepted.response, content_type), content_type, [])
        except SpyhopError as error:
            return _error_answer(error, content_type)
        except Exception:  # a fault of ours: OTLP asks for a Status body even then, and senders retry
            log.exception("an OTLP/HTTP request failed")
            return _error_answer(SpyhopError("the request failed inside the server"), content_type)

    def _admit(self, scope: Scope, headers: dict[str, str], media_type: str) -> Signal:
        """The signal of a request whose body may be read."""
        signal = _signal_at(scope["path"])
        if signal is None:
            raise UnknownPath(
                f"nothing is served at {scope['path'][:_SHOWN_CHARS]}",
                hint=f"send to one of {', '.join(HTTP_PATHS)}",
            )
        if scope["method"] != "POST":
            raise WrongMethod(f"{scope['method']} is not allowed", hint="send OTLP by POST")
        self._origins.check(headers)
        self._token.check(headers)
        if media_type not in (PROTOBUF, JSON):
            raise UnsupportedMediaType(
                f"Content-Type {media_type[:_SHOWN_CHARS] or 'missing'} is not supported",
                hint=f"send {PROTOBUF} or {JSON}",
            )
        return signal


def _signal_at(path: str) -> Signal | None:
    """The signal of a path. An endpoint with a slash at its end becomes `//v1/traces` in many exporters."""
    return HTTP_PATHS.get(path) or HTTP_PATHS.get("/" + "/".join(filter(None, path.split("/"))))


def _sender(scope: Scope, headers: dict[str, str], content_type: str) -> Sender:
    address = (scope.get("client") or ("unknown",))[0]
    transport = "http/json" if content_type == JSON else "http/protobuf"
    return Sender(address, headers.get("user-agent", ""), transport)


def _error_answer(error: SpyhopError, content_type: str) -> Answer:
    status, code = next(
        ((status, code) for kind, status, code in _STATUSES if isinstance(error, kind)),
        (500, code_pb2.INTERNAL),
    )
    headers = [(b"retry-after", str(RETRY_AFTER_S).encode())] if status == 503 else []
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
