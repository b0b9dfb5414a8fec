"""Ranges of time as people and programs write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

from collector.errors import InvalidInput

S_NS = 1_000_000_000
HOUR_NS = 3_600 * S_NS
_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d{1,6})([smhdw])")
_NUMBER = re.compile(r"\d{1,19}(?:\.\d{1,9})?")
# Seconds since 1970 have 10 digits until 2286; more are milli-, micro- or nanoseconds.
_PER_S_BY_DIGITS = ((11, 1), (14, 1_000), (17, 1_000_000), (20, S_NS))
LAST_NS = 2**63 - 2
_HINT = "use 15m, 2h, 7d, 2026-01-31T12:00:00Z or seconds since 1970"


class Range(NamedTuple):
    """From the one to before the other, in ns since 1970 UTC."""

    from_ns: int
    until_ns: int


def range_of(
    start: str | None, end: str | None, since: str | None, *, now_ns: int, default_ns: int = HOUR_NS
) -> Range:
    """
    Args:
        since: instead of `start`: so long before the end, e.g. `15m`.
        default_ns: how long the range is when only its end, or nothing, is given.

    Raises:
        InvalidInput: a time is not understood, or the range is empty.
    """
    if since is not None and start is not None:
        raise InvalidInput("start and since exclude each other", hint="give one of them")
    until_ns = now_ns + 1 if end is None else parse_time(end, "end", now_ns)
    if since is not None:
        from_ns = until_ns - parse_duration(since, "since")
    else:
        from_ns = until_ns - default_ns if start is None else parse_time(start, "start", now_ns)
    from_ns = max(from_ns, 0)
    if from_ns >= until_ns:
        raise InvalidInput("the range of time is empty: its start is not before its end", hint=_HINT)
    return Range(from_ns, until_ns)


def parse_duration(text: str, name: str) -> int:
    """`15m` → ns."""
    match = _DURATION.fullmatch(text)
    if match is None or int(match[1]) == 0:
        raise InvalidInput(f"{name} {text[:100]!r} is not a duration", hint="use 90s, 15m, 2h, 7d or 4w")
    return int(match[1]) * _UNITS_S[match[2]] * S_NS


def parse_time(text: str, name: str, now_ns: int) -> int:
    """An ISO time (UTC if it names no zone), a number since 1970, `now` or so long ago → ns since 1970."""
    if text == "now":
        return now_ns
    if _DURATION.fullmatch(text):
        return max(0, now_ns - parse_duration(text, name))
    if _NUMBER.fullmatch(text):
        whole, _, fraction = text.partition(".")
        per_s = next(per_s for digits, per_s in _PER_S_BY_DIGITS if len(whole) < digits)
        return min(int(whole) * (S_NS // per_s) + int(fraction.ljust(9, "0")) // per_s, LAST_NS)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{name} {text[:100]!r} is not a time", hint=_HINT) from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    since_1970 = moment - datetime(1970, 1, 1, tzinfo=UTC)
    nanoseconds = (since_1970.days * 86_400 + since_1970.seconds) * S_NS + since_1970.microseconds * 1_000
    return min(max(nanoseconds, 0), LAST_NS)


def iso(nanoseconds: int) -> str:
    """ISO 8601 in UTC with all nine digits."""
    seconds, rest = divmod(nanoseconds, S_NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
