"""The attributes that set an incident's traces apart from usual ones, as a table. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard import format as fmt
from dashboard.markup import Safe, join, outlined, page, table, tag
from dashboard.triage import plural

SHOWN = 8
NAME_CHARS = 28  # names stay in one line; the whole row is in the table `incident_differences`
# Beyond it the exact factor says nothing: the value was hardly ever there.
LIFT_SHOWN_MAX = 100.0
_HEAD = (
    ("Attribute", "l"),
    ("Value", "l wrap"),
    ("In this incident", ""),
    ("Usually", ""),
    ("Lift", ""),
    ("Traces", ""),
    ("Carried by", "l"),
)


def differences(rows: Sequence[Mapping[str, Any]]) -> str:
    """Key, value, share among the incident's traces and among usual ones, lift, support; strongest first.

    Empty when nothing sets them apart: all requests are hit alike.
    """
    if not rows:
        return ""
    more = len(rows) - SHOWN
    rest = tag("div", f"and {plural(more, 'weaker one')}", css="muted") if more > 0 else ""
    lead = "Which attributes set the bad traces apart from usual ones, strongest first"
    return page(
        tag("strong", "What the bad traces have in common"),
        tag("div", lead, css="muted"),
        table(_HEAD, (_row(row) for row in rows[:SHOWN])),
        rest,
        css="panel",
    )


def _row(row: Mapping[str, Any]) -> tuple[object, ...]:
    place = join(
        [
            tag("div", fmt.plain(row.get("service_name") or "", NAME_CHARS)),
            tag("div", fmt.plain(row.get("operation") or "", NAME_CHARS), css="muted"),
        ]
    )
    return (
        tag("code", fmt.plain(row.get("key") or "", 2 * NAME_CHARS)),
        _value(row),
        fmt.quantity(row.get("share"), "share"),
        fmt.quantity(row.get("usual_share"), "share"),
        lift(row.get("lift")),
        fmt.count(row.get("trace_count")),
        place,
    )


def _value(row: Mapping[str, Any]) -> Safe:
    """The value, and what else marks the same traces."""
    also = [outlined(other) for other in row.get("also") or []]
    same = tag("div", "the same traces: ", join(also, " "), css="muted") if also else ""
    return join([tag("code", row.get("value")), same])


def lift(value: float | None) -> str:
    """
    >>> [lift(v) for v in (2.04, 35.2, 812.0, None)]
    ['2.0×', '35×', 'over 100×', '–']
    """
    if value is None:
        return fmt.DASH
    if value > LIFT_SHOWN_MAX:
        return f"over {LIFT_SHOWN_MAX:.0f}×"
    return f"{value:.1f}×" if value < 10 else f"{value:.0f}×"
