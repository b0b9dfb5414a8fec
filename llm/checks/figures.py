"""Numbers in sentences: find them with their units and compare them with the numbers of facts."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NS: dict[str, float] = {
    "ns": 1, "nanoseconds": 1, "µs": 1e3, "μs": 1e3, "us": 1e3, "microseconds": 1e3,
    "ms": 1e6, "millisecond": 1e6, "milliseconds": 1e6, "s": 1e9, "sec": 1e9, "second": 1e9, "seconds": 1e9,
    "min": 60e9, "minute": 60e9, "minutes": 60e9, "h": 3600e9, "hour": 3600e9, "hours": 3600e9,
}  # fmt: skip
NUMBER = re.compile(
    r"(?<![\w.])(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)(?:[\s\u00a0-]?(%|×|σ|[A-Za-zµμ]+))?"
)
_RELATIVE_TOLERANCE = 0.01


@dataclass(frozen=True)
class Number:
    """A number in a text. Times are in nanoseconds with the unit `ns`; per cent, × and bare numbers as
    written.

    `half_step` is half of the last written digit: the largest error by rounding.
    """

    value: float
    unit: str
    half_step: float

    def matches(self, other: Number) -> bool:
        """The same quantity, up to the coarser of both roundings or 1%."""
        if self.unit and self.unit != other.unit:
            return False
        tolerance = max(self.half_step, other.half_step, abs(other.value) * _RELATIVE_TOLERANCE)
        # Rounding never explains an order of magnitude: "1 s" is not "600 ms".
        return abs(self.value - other.value) <= min(tolerance, abs(other.value) * 0.25 + 1e-12)

    def distance(self, other: Number) -> float:
        """The distance of `other` from the written number; 0 when rounding explains it."""
        # A relative difference of a millionth is floating point: "0.152 s" is 152 ms.
        return max(0.0, abs(self.value - other.value) - self.half_step - abs(other.value) * 1e-6)


def find_numbers(text: str) -> list[Number]:
    """All numbers written in digits, with their units.

    >>> [(n.value, n.unit) for n in find_numbers("took 152 ms, 84% of it, n = 1,250")]
    [(152000000.0, 'ns'), (84.0, '%'), (1250.0, '')]
    """
    return [as_number(*match.groups()) for match in NUMBER.finditer(text)]


def as_number(digits: str, unit: str | None) -> Number:
    fraction = digits.partition(".")[2]
    value, half_step = float(digits.replace(",", "")), 0.5 * 10 ** -len(fraction)
    unit = unit or ""
    if unit.lower() in _NS:
        size_ns = _NS[unit.lower()]
        return Number(value * size_ns, "ns", half_step * size_ns)
    if unit in ("x", "times"):
        return Number(value, "×", half_step)
    if unit in ("percent", "%"):
        return Number(value, "%", half_step)
    # The next word is a unit only if it looks like one: an asset's ticker, × or σ.
    return Number(value, unit if unit in ("×", "σ") or (unit.isupper() and len(unit) <= 6) else "", half_step)
