"""Formats numbers, times and texts for people. Pure functions."""

from __future__ import annotations

import math
import re
import unicodedata
from contextvars import ContextVar
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from llm.analysis.units import cell_text

# Largest unit first: (nanoseconds, suffix). A duration takes the largest unit that it fills.
_UNITS_NS = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"), (1, "ns"))
_MINUTE_NS = 60_000_000_000
_HOUR_NS = 60 * _MINUTE_NS
DASH = "–"
UNIT_CHARS = 24
# The zone in which this run of the page writes times; each run and each refresh of a part sets it.
_ZONE: ContextVar[tzinfo] = ContextVar("zone", default=UTC)
_FRACTION = re.compile(r"\.(\d+)")


def significant(value: float, digits: int = 3) -> str:
    """`value` with `digits` significant figures, never in exponent form below 1e15.

    >>> significant(152.34), significant(0.9), significant(1530.0), significant(0.00012345)
    ('152', '0.9', '1530', '0.000123')
    """
    if not math.isfinite(value):
        return DASH
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def duration(value_ns: float | None) -> str:
    """A duration in the unit that suits it, three significant figures; minutes and hours from there.

    >>> duration(152_340_000), duration(900_000), duration(125e9), duration(None)
    ('152 ms', '900 µs', '2 min 05 s', '–')
    """
    if value_ns is None or not math.isfinite(value_ns):
        return DASH
    sign = "-" if value_ns < 0 else ""
    size_ns = abs(value_ns)
    if size_ns >= _HOUR_NS:
        minutes = round(size_ns / _MINUTE_NS)
        return f"{sign}{minutes // 60} h {minutes % 60:02d} min"
    if size_ns >= _MINUTE_NS:
        seconds = round(size_ns / 1e9)
        return f"{sign}{seconds // 60} min {seconds % 60:02d} s"
    for unit_ns, suffix in _UNITS_NS:
        # 999.6 µs would round to "1000 µs"; it is 1 ms.
        if size_ns >= unit_ns * 0.9995 or unit_ns == 1:
            return f"{sign}{significant(size_ns / unit_ns)} {suffix}"
    raise AssertionError("unreachable: the last unit takes everything")


def clock_off(ahead_ns: int) -> str:
    """How far a host's clock is off.

    >>> clock_off(3_000_000_000), clock_off(-40_000_000)
    ('clock 3 s ahead', 'clock 40 ms behind')
    """
    return f"clock {duration(abs(ahead_ns))} {'ahead' if ahead_ns > 0 else 'behind'}"


def count(value: float | None) -> str:
    """A count with thousands separators below a million, then shortened.

    >>> count(12345), count(2_340_000)
    ('12,345', '2.34 M')
    """
    if value is None:
        return DASH
    if abs(value) >= 1e9:
        return f"{significant(value / 1e9)} G"
    if abs(value) >= 1e6:
        return f"{significant(value / 1e6)} M"
    return f"{value:,.0f}"


def rate(value_per_s: float | None) -> str:
    """Events a second."""
    return DASH if value_per_s is None else f"{significant(value_per_s)}/s"


def percent(share: float | None) -> str:
    """A share of 1 as per cent.

    >>> percent(0.0123), percent(0.0)
    ('1.23%', '0%')
    """
    return DASH if share is None else f"{significant(share * 100)}%"


def quantity(value: float | None, unit: str | None) -> str:
    """An observation in its own unit: nanoseconds become a duration, a share per cent, an asset an amount.

    >>> quantity(152e6, "ns"), quantity(1402.5, "BTC"), quantity(3, None), quantity(0.0125, "share")
    ('152 ms', '1,402.5 BTC', '3', '1.2%')
    """
    if value is None:
        return DASH
    if unit == "share":
        return f"{value:.0%}" if value >= 0.1 else f"{100 * value:.2g}%"
    if unit == "ns":
        return duration(value)
    text = f"{value:,.1f}".removesuffix(".0") if abs(value) >= 1000 else significant(value, 4)
    return f"{text} {plain(unit, UNIT_CHARS)}" if unit else text


def over_baseline(excess_ns: float | None) -> str:
    """`+480 ms over baseline`; nothing when it is not over.

    >>> over_baseline(480e6), over_baseline(-3)
    ('+480 ms over baseline', '')
    """
    return f"+{duration(excess_ns)} over baseline" if excess_ns is not None and excess_ns > 0 else ""


def times(observed: float | None, expected: float | None) -> str:
    """How many times the expectation was reached, e.g. `169×`."""
    if not expected or observed is None or expected < 0:
        return DASH
    return f"{significant(observed / expected)}×"


def sigma(value: float | None) -> str:
    return DASH if value is None else f"{significant(value, 2 if abs(value) < 10 else 3)}σ"


def parse_time(text: str | None) -> datetime | None:
    """An ISO-8601 time of the API (UTC, up to nanoseconds) as an aware datetime; None when it is none."""
    if not text:
        return None
    # datetime keeps microseconds; the API sends nanoseconds.
    trimmed = _FRACTION.sub(lambda found: "." + found.group(1)[:6].ljust(6, "0"), text.replace("Z", "+00:00"))
    try:
        parsed = datetime.fromisoformat(trimmed)
    except ValueError:
        return None
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def age(text: str | None, now: datetime) -> str:
    """How long ago, coarse: `12 s ago`, `3 min ago`, `2 h ago`, `4 d ago`."""
    then = parse_time(text)
    return DASH if then is None else f"{span_of(then, now)} ago"


def span_of(start: datetime, end: datetime) -> str:
    """The coarse length between two times; a start in the future counts as now."""
    seconds = max(0, int((end - start).total_seconds()))
    if seconds < 90:
        return f"{seconds} s"
    if seconds < 90 * 60:
        return f"{seconds // 60} min"
    if seconds < 36 * 3600:
        return f"{seconds // 3600} h"
    return f"{seconds // 86400} d"


def use_zone(name: str | None) -> None:
    """Writes times in this zone from now on, in this run; UTC for None and for a name that is not known."""
    try:
        _ZONE.set(ZoneInfo(name) if name else UTC)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        _ZONE.set(UTC)


def zone_name(moment: datetime) -> str:
    """`UTC`, `CET`, `-03`."""
    return moment.astimezone(_ZONE.get()).tzname() or "UTC"


def clock_of(moment: datetime) -> str:
    """`22:45:17 UTC`, in the zone of the page."""
    local = moment.astimezone(_ZONE.get())
    return f"{local:%H:%M:%S} {zone_name(moment)}"


def clock(text: str | None) -> str:
    """`22:45:17 UTC`; the dash when there is no time to parse."""
    then = parse_time(text)
    return DASH if then is None else clock_of(then)


def stamp(text: str | None) -> str:
    """`2026-11-20 22:45:17 UTC`."""
    then = parse_time(text)
    return DASH if then is None else f"{then.astimezone(_ZONE.get()):%Y-%m-%d} {clock_of(then)}"


def nano_clock(unix_nano: str | int | None) -> str:
    """`22:45:17.123` of nanoseconds since 1970, in the zone of the page."""
    if unix_nano is None:
        return DASH
    seconds, nanos = divmod(int(unix_nano), 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).astimezone(_ZONE.get())
    return f"{moment:%H:%M:%S}.{nanos // 1_000_000:03d}"


def from_nano(unix_nano: str | int) -> datetime:
    """Nanoseconds since 1970 as an aware time, cut to microseconds."""
    return datetime.fromtimestamp(int(unix_nano) / 1e9, UTC)


def plain(value: object, limit: int = 400) -> str:
    """Text from telemetry, safe to look at: one line, without control, invisible or direction-changing
    characters, cut at `limit` characters."""
    text = str(value)
    # Most text holds nothing of the kind, and a trace of 10,000 spans has 120,000 texts: 1.5 s one by one.
    if not text.isprintable():
        text = "".join(
            " " if char in "\n\r\t" else char
            for char in text
            if char in "\n\r\t" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn")
        )
    return text if len(text) <= limit else text[: limit - 1] + "…"


def block(value: object, limit: int = 4000) -> str:
    """The same with its line breaks kept: a prompt, a completion.

    >>> block("one\\x00\\r\\ntwo")
    'one\\ntwo'
    """
    lines = str(value)[: limit + 1].replace("\r\n", "\n").split("\n")
    text = "\n".join(plain(line, limit) for line in lines)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def label(value: object, limit: int = 80) -> str:
    """Text from telemetry for a widget label, where Streamlit would read Markdown: escaped, one line."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|<>~$:^&@/])", r"\\\1", plain(value, limit))


@lru_cache(4096)
def cell(name: str | None) -> str:
    """A baseline cell in words; what telemetry named (an asset, a side) is cut and made plain.

    >>> cell("hour_of_week:037"), cell("order|BTC|BUY")
    ('Tue 13:00–14:00 UTC', 'order · BTC · BUY')
    >>> cell(None)
    '–'
    """
    return plain(cell_text(name), 60) if name else DASH


def unix_stamp(seconds: int) -> str:
    """`2026-11-20 22:45:17` of whole seconds since 1970, in the zone of the page."""
    return f"{datetime.fromtimestamp(seconds, UTC).astimezone(_ZONE.get()):%Y-%m-%d %H:%M:%S}"
