"""A click in a chart: points beside what is drawn, of which the nearest one is chosen. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

PICKED = "picked"


def clickable(
    drawn: alt.Chart, points: pl.DataFrame, fields: Sequence[str], x: alt.X, y: alt.Y
) -> alt.LayerChart:
    """`drawn` with a click that chooses the nearest of `points`.

    Args:
        fields: columns of `points` that the choice consists of; see `picked`.
    """
    choice = alt.selection_point(name=PICKED, fields=list(fields), nearest=True, on="click", clear="dblclick")
    spots = (
        alt.Chart(points).mark_point(opacity=0, size=60, cursor="pointer").encode(x=x, y=y).add_params(choice)
    )
    return alt.LayerChart(layer=[drawn, spots])


def picked(selection: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Fields of what was clicked; None without a click.

    >>> picked({"picked": [{"time": 1000, "service_name": "shop"}]})
    {'time': 1000, 'service_name': 'shop'}
    """
    chosen = (selection or {}).get(PICKED)
    return dict(chosen[0]) if isinstance(chosen, list) and chosen and isinstance(chosen[0], dict) else None
