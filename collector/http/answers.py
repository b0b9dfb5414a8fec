"""The HTTP API's answer to an error: `{error: {code, message, details}}`, with a status for each class."""

from __future__ import annotations

import json
from collections.abc import Mapping

from starlette.responses import Response

from collector.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    SpyhopError,
    Timeout,
    TooLarge,
    TooSlow,
    Unavailable,
)

RETRY_AFTER_S = 1
MESSAGE_CHARS_MAX = 2000  # a message quotes the request, which may be long
# The most particular class first.
_STATUSES: list[tuple[type[SpyhopError], int]] = [
    (TooLarge, 413),
    (TooSlow, 408),
    (InvalidInput, 400),
    (NotFound, 404),
    (Conflict, 409),
    (Unavailable, 503),
    (Timeout, 504),
]


def status_of(error: SpyhopError) -> int:
    """The HTTP status for an expected error."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def answer_of(error: SpyhopError) -> Response:
    """The response for an expected error."""
    status = status_of(error)
    headers = {}
    if status == 503:
        headers["retry-after"] = str(RETRY_AFTER_S)
    return error_answer(status, error.code, str(error), error.details, headers)


def error_answer(
    status: int,
    code: str,
    message: str,
    details: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The form of all errors. It can quote any text that was sent, unpaired surrogates too."""
    if len(message) > MESSAGE_CHARS_MAX:
        message = message[:MESSAGE_CHARS_MAX] + " …"
    body = {"error": {"code": code, "message": message, "details": dict(details or {})}}
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
    return Response(text, status_code=status, headers=dict(headers or {}), media_type="application/json")
