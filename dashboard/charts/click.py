"""Charts in which a click chooses an item, and the item that was chosen. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

PICKED = "picked"
_REACH_PX2 = 200  # of a point under the pointer


def clickable(lines: alt.Chart, fields: Sequence[str]) -> alt.LayerChart:
    """Lines over time of which a click chooses the nearest point; `picked` returns `fields` of it."""
    choice = alt.selection_point(name=PICKED, fields=list(fields), on="click", nearest=True, clear="dblclick")
    spots = lines.mark_point(filled=True, size=_REACH_PX2, opacity=0, cursor="pointer").add_params(choice)
    return alt.LayerChart(layer=[lines, spots])


def picked(selection: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Fields of the clicked item; None without a click.

    >>> picked({"picked": [{"time": 1000, "service_name": "shop"}]})
    {'time': 1000, 'service_name': 'shop'}
    """
    chosen = (selection or {}).get(PICKED)
    return dict(chosen[0]) if isinstance(chosen, list) and chosen and isinstance(chosen[0], dict) else None
