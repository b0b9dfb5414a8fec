"""The error form that gateway and exchange share: `{"error": {"code", "message", "details"}}`."""

from __future__ import annotations

import json
from collections.abc import Mapping

STATUS_BY_CODE = {
    "malformed_body": 400,
    "invalid_order": 400,
    "invalid_transfer": 400,
    "invalid_trade": 400,
    "invalid_request": 400,
    "invalid_fault": 400,
    "invalid_load": 400,
    "unauthorized": 401,
    "totp_required": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "too_large": 413,
    "insufficient_funds": 422,
    "exposure_limit": 422,
    "payment_declined": 422,
    "would_trade": 422,
    "would_trigger": 422,
    "rate_limited": 429,
    "too_many_attempts": 429,
    "internal": 500,
    "bad_gateway": 502,
    "payment_failed": 502,
    "unavailable": 503,
    "timeout": 504,
}


def status_of(code: str) -> int:
    return STATUS_BY_CODE.get(code, 500)


def error_body(code: str, message: str, details: Mapping[str, object] | None = None) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, "details": dict(details or {})}}).encode()
