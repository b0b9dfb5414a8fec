"""Parses a point in time of the command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from collector.errors import InvalidInput

_AGO = re.compile(r"(\d{1,9})([smhdw])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_since(text: str, now_unix_nano: int) -> int:
    """Unix nanoseconds of an ISO-8601 time (UTC unless it says otherwise) or of `90m` ago.

    Raises:
        InvalidInput: neither of both.
    """
    if match := _AGO.fullmatch(text.strip()):
        return now_unix_nano - int(match.group(1)) * _UNIT_S[match.group(2)] * 1_000_000_000
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InvalidInput(
            f"{text!r} is not a time", hint="write 2026-11-03, 2026-11-03T12:00Z, 90m or 7d"
        ) from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000_000
