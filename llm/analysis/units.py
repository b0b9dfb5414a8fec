"""Numbers for people: three significant figures and the unit that fits."""

from __future__ import annotations

import math
from datetime import UTC, datetime

_TIME_UNITS: tuple[tuple[str, float, float], ...] = (  # name, nanoseconds, shown below this many
    ("ns", 1, 1000),
    ("µs", 1e3, 1000),
    ("ms", 1e6, 1000),
    ("s", 1e9, 120),
    ("min", 60e9, 120),
)
_NS_PER_HOUR = 3600e9
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def significant(value: float, digits: int = 3) -> str:
    """`value` with `digits` significant figures; whole numbers keep all of theirs.

    >>> significant(0.9004), significant(152.4), significant(1250.0), significant(0)
    ('0.9', '152', '1,250', '0')
    """
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    if decimals <= 0:
        return f"{value:,.0f}"
    text = f"{round(value, decimals):,.{decimals}f}"
    return text.rstrip("0").rstrip(".")


def duration(value_ns: float) -> str:
    """A duration in the largest unit that keeps it readable.

    >>> duration(152_400_000), duration(900_000), duration(999_600), duration(65e9)
    ('152 ms', '900 µs', '1 ms', '65 s')
    """
    for name, size_ns, below in _TIME_UNITS:
        scaled = value_ns / size_ns
        if abs(float(f"{scaled:.3g}")) < below:
            return f"{significant(scaled)} {name}"
    return f"{significant(value_ns / _NS_PER_HOUR)} h"


def quantity(value: float, unit: str | None) -> str:
    """A value with its unit: `ns` becomes a readable duration; an asset follows its amount.

    >>> quantity(1.52e8, "ns"), quantity(1250, "BTC"), quantity(3, None), quantity(0.00000545, "share")
    ('152 ms', '1,250 BTC', '3', '0.000545%')
    """
    if unit == "ns":
        return duration(value)
    if unit == "share":
        return f"{significant(value * 100)}%"
    return f"{significant(value)} {unit}" if unit else significant(value)


def counted(count: int, one: str, many: str) -> str:
    """
    >>> counted(1, "trace", "traces"), counted(1902, "trace", "traces")
    ('1 trace', '1,902 traces')
    """
    return f"{count:,} {one if count == 1 else many}"


def percent(share: float) -> str:
    """A share in [0, 1] as whole per cent; a share just below 1 is not rounded up to 100%.

    >>> percent(0.843), percent(0.998), percent(1.0)
    ('84%', '99%', '100%')
    """
    return f"{100 if share >= 1 else min(99, round(share * 100))}%"


def cell_text(name: str) -> str:
    """A baseline cell in words; hour 0 of the week is Monday 00:00.

    >>> cell_text("hour_of_week:037"), cell_text("hour_of_day:05"), cell_text("operation")
    ('Tue 13:00–14:00 UTC', '05:00–06:00 UTC, every day', 'all hours')
    >>> cell_text("order|BTC|BUY")
    'order · BTC · BUY'
    """
    kind, _, number = name.partition(":")
    if kind == "hour_of_week" and number.isdigit():
        day, hour = divmod(int(number), 24)
        return f"{_WEEKDAYS[day % 7]} {hour:02d}:00–{(hour + 1) % 24:02d}:00 UTC"
    if kind == "hour_of_day" and number.isdigit():
        hour = int(number)
        return f"{hour:02d}:00–{(hour + 1) % 24:02d}:00 UTC, every day"
    if "|" in name:  # amounts: what was moved, the asset, the side
        return name.replace("|", " · ")
    return {"operation": "all hours", "service": "whole service"}.get(kind, name)


def clock(unix_nano: int) -> str:
    """
    >>> clock(1_793_000_000_000_000_000)
    '2026-10-26 07:33:20 UTC'
    """
    return datetime.fromtimestamp(unix_nano // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
