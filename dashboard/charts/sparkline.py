"""A small line for a table cell, as an SVG image. Pure."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from dashboard.markup import Safe

WIDTH_PX = 110
HEIGHT_PX = 22


def points(values: Sequence[float], width_px: float = WIDTH_PX, height_px: float = HEIGHT_PX) -> str:
    """SVG points of the values from left to right; zero is the bottom, the largest the top.

    >>> points([0, 5, 10], 100, 10)
    '0.0,9.0 50.0,5.0 100.0,1.0'
    """
    top = max([*values, 0.0]) or 1.0
    step = width_px / max(1, len(values) - 1)
    return " ".join(
        f"{index * step:.1f},{height_px - 1 - value / top * (height_px - 2):.1f}"
        for index, value in enumerate(values)
    )


def sparkline(values: Sequence[float], colour: str, spoken: str) -> Safe:
    """The line; `spoken` (without markup, from code) says the same in words. A dash below two values."""
    if len(values) < 2:
        return Safe('<span class="muted">–</span>')
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}">'
        f'<polyline points="{points(values)}" fill="none" stroke="{colour}" stroke-width="1.6"/></svg>'
    )
    # As an image, because Streamlit removes inline SVG from HTML.
    source = "data:image/svg+xml;base64," + base64.b64encode(drawing.encode()).decode()
    return Safe(f'<img src="{source}" alt="{spoken}" width="{WIDTH_PX}" height="{HEIGHT_PX}">')
