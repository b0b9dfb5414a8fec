"""The clicked item of a chart. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PICKED = "picked"


def picked(selection: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Fields of the clicked item; None without a click.

    >>> picked({"picked": [{"time": 1000, "service_name": "shop"}]})
    {'time': 1000, 'service_name': 'shop'}
    """
    chosen = (selection or {}).get(PICKED)
    return dict(chosen[0]) if isinstance(chosen, list) and chosen and isinstance(chosen[0], dict) else None
