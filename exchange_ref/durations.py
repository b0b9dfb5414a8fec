"""Parses durations: `500ms`, `60s`, `2m`, `1h`."""

from __future__ import annotations

import math
import re

_SECONDS_PER_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PATTERN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?")


def parse_duration(text: str) -> float:
    """Seconds in `text`, a number with a unit of ms, s, m or h; without a unit, seconds.

    Raises:
        ValueError: not such a text, or not above zero.

    >>> parse_duration("2m"), parse_duration("500ms"), parse_duration("60")
    (120.0, 0.5, 60.0)
    """
    match = _PATTERN.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(
            f"{text!r} is not a duration; write a number and a unit, such as 500ms, 60s, 2m or 1h"
        )
    duration_s = float(match[1]) * _SECONDS_PER_UNIT[match[2] or "s"]
    if duration_s <= 0 or math.isinf(duration_s):
        raise ValueError(f"{text!r} is not a usable duration; it must be above zero")
    return duration_s
