"""Formats figures for people."""

from __future__ import annotations

from collections.abc import Mapping

_STEPS_NS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"))
_BYTES = frozenset({"By", "B", "bytes"})
_STEPS_BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))


def duration_text(duration_ns: float) -> str:
    """Three significant digits in the largest fitting unit.

    >>> duration_text(152_300_000), duration_text(910_000), duration_text(12)
    ('152 ms', '910 µs', '12 ns')
    """
    for step_ns, unit in _STEPS_NS:
        if abs(duration_ns) >= step_ns:
            return f"{duration_ns / step_ns:.3g} {unit}"
    return f"{duration_ns:.0f} ns"


def amount_text(amount: float, unit: str) -> str:
    """
    >>> amount_text(85.0, "BTC"), amount_text(0.1234567, "BTC"), amount_text(1234567.0, "USD")
    ('85 BTC', '0.1235 BTC', '1,234,567 USD')
    >>> amount_text(3.25, "")
    '3.25'
    """
    return (f"{amount:,.0f} {unit}" if abs(amount) >= 1000 else f"{amount:.4g} {unit}").rstrip()


def share_text(share: float) -> str:
    """A share as a percentage that never rounds something to nothing, nor almost all to all.

    >>> share_text(0.337), share_text(0.0), share_text(0.002), share_text(0.999), share_text(-1e-17)
    ('34%', '0%', '<1%', '>99%', '0%')
    """
    share = max(share, 0.0)  # what is left of 1 by subtraction may be a rounding error below
    if 0 < share < 0.01:
        return "<1%"
    return ">99%" if 0.99 < share < 1 else f"{share:.0%}"


def worth_text(details: Mapping[str, object]) -> str:
    """What an amount is worth, where its price is known; to follow the amount.

    >>> worth_text({"value": 3_570_000.0, "quote": "USD"}), worth_text({})
    (' (3,570,000 USD)', '')
    """
    value = details.get("value")
    return f" ({amount_text(value, str(details.get('quote') or ''))})" if isinstance(value, float) else ""


def figure_text(figure: float, unit: str) -> str:
    """A figure of a metric in its UCUM unit; bytes in the largest fitting one, of a thousand each.

    >>> figure_text(186_568_700, "By"), figure_text(12.34567, "s"), figure_text(195, "{message}")
    ('187 MB', '12.35 s', '195 message')
    >>> figure_text(0.25, "1"), figure_text(5, "")
    ('0.25', '5')
    """
    if unit in _BYTES:
        for step, name in _STEPS_BYTES:
            if abs(figure) >= step:
                return f"{figure / step:.3g} {name}"
    return f"{figure:.4g} {'' if unit == '1' else unit.strip('{}')}".rstrip()


def length_text(length_s: float) -> str:
    """
    >>> length_text(26.0), length_text(250.0), length_text(90_000.0)
    ('26 s', '4 min', '25 h')
    """
    if length_s < 120:
        return f"{length_s:.0f} s"
    return f"{length_s / 60:.0f} min" if length_s < 7_200 else f"{length_s / 3_600:.0f} h"
