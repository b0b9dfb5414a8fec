"""Which attributes set the traces of an incident apart from usual ones, as a table. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard import format as fmt
from dashboard.markup import Safe, join, outlined, page, table, tag
from dashboard.triage import plural

SHOWN = 8
# Beyond it the exact factor says nothing: the value was hardly ever there.
LIFT_SHOWN_MAX = 100.0
_HEAD = (
    ("Attribute", "l wrap"),
    ("Value", "l wrap"),
    ("In this incident", ""),
    ("Usually", ""),
    ("Lift", ""),
    ("Traces", ""),
    ("Carried by", "l wrap"),
)


def differences(rows: Sequence[Mapping[str, Any]]) -> str:
    """Key, value, share among the incident's traces and among usual ones, lift, support; strongest first.

    Empty when nothing sets them apart: then whatever is wrong is wrong for everybody.
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
    place = " · ".join(str(row[key]) for key in ("service_name", "operation") if row.get(key))
    return (
        tag("code", row.get("key")),
        _value(row),
        _percent(row.get("share")),
        _percent(row.get("usual_share")),
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


def _percent(share: float | None) -> str:
    return fmt.DASH if share is None else f"{share:.0%}" if share == 0 or share >= 0.01 else "under 1%"
