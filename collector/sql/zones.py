"""Times of users whose zone DuckDB would leave out, or take for another, without a word.

DuckDB 2.0 reads '2026-01-02T03:00:00+09:00' as a TIMESTAMP, or as a TIMESTAMP_NS as times are stored, of
03:00, whatever zone follows. A query in Tokyo that asks so for the last hour answers for another one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from collector.errors import InvalidInput

_ZONED = re.compile(
    r"\s*\d{4,6}-\d{1,2}-\d{1,2}[ T]+\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?"
    r"\s*(?P<zone>[+-]\d{1,2}(?::?\d{2}){0,2}|[A-Za-z]+(?:[/_+-]\w+)*)\s*"
)
_UTC = re.compile(r"(?:Z|UTC|GMT|Etc/UTC|[+-]0{1,2}(?::?0{2}){0,2})", re.IGNORECASE)
_ZONED_TYPES = frozenset({"TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS"})
_KEEPING = frozenset({"__cast", "date_trunc"})  # functions whose last argument stays the same kind of time
_NOW = frozenset(
    {"now", "get_current_timestamp", "transaction_timestamp", "ago", "current_timestamp", "localtimestamp"}
)
_WITHOUT_ZONE = frozenset({"TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_S", "DATE"})


def zone_of(text: str) -> str:
    """The zone behind a time; empty where there is none or it is UTC."""
    match = _ZONED.fullmatch(text)
    return "" if match is None or _UTC.fullmatch(match["zone"]) else match["zone"]


def check_cast(target: Mapping[str, Any], children: Sequence[Mapping[str, Any]]) -> None:
    """
    Args:
        target: the type that a plan casts to.
        children: what it casts.

    Raises:
        InvalidInput: it makes a time without a zone of a text that names one.
    """
    if target.get("id") not in _WITHOUT_ZONE:
        return
    for child in children:
        text = _constant(child)
        if isinstance(text, str) and zone_of(text):
            raise lost(text)


def check_shift(node: Mapping[str, Any], children: Sequence[Mapping[str, Any]]) -> None:
    """`start_time AT TIME ZONE 'Asia/Tokyo'`, which reads a stored time, UTC, as one of Tokyo: 9 hours off.

    Args:
        node: a function of a plan.

    Raises:
        InvalidInput: it is that.
    """
    path = (node.get("qname") or {}).get("path") or [""]
    if (
        path[-1] != "timezone"
        or len(children) != 2
        or (node.get("return_type") or {}).get("id") not in _ZONED_TYPES
    ):
        return
    zone, operand = _constant(children[0]), children[1]
    while (path := (operand.get("qname") or {}).get("path")) and path[-1] in _KEEPING:
        operand = operand["children"][-1]
    is_stored = operand.get("expression_class") in ("BOUND_REF", "BOUND_COLUMN_REF")
    if is_stored and (operand.get("return_type") or {}).get("id") == "TIMESTAMP_NS":
        _check_zone(zone)


def check_now(tree: Any) -> None:
    """The same of `now() AT TIME ZONE …`, in a parsed tree: a plan has a constant in its place."""
    if isinstance(tree, list):
        for item in tree:
            check_now(item)
    elif isinstance(tree, dict):
        given = [one for one in tree.get("arguments") or [] if isinstance(one, dict)]
        arguments = [one.get("expression") or {} for one in given]
        if tree.get("function_name") == "timezone" and len(arguments) == 2:
            zone, operand = arguments
            words = operand.get("column_names") or [operand.get("function_name")]
            if str(words[-1]).lower() in _NOW:
                _check_zone((zone.get("literal") or {}).get("text"))
        for value in tree.values():
            check_now(value)


def _constant(node: Mapping[str, Any]) -> object:
    """The value of a constant of a plan; None of anything else."""
    value = node.get("value")
    return value.get("value") if isinstance(value, dict) else None


def _check_zone(zone: object) -> None:
    if isinstance(zone, str) and not _UTC.fullmatch(zone):
        raise InvalidInput(
            f"AT TIME ZONE {zone!r} would take a time in UTC for one of that zone",
            hint=f"write … AT TIME ZONE 'UTC' AT TIME ZONE {zone!r}",
        )


def with_values(tree: Any, params: Any) -> Any:
    """The parsed tree of a query with the values of its parameters in it, for its plan to show them.

    Args:
        params: by name, or in their order.

    Returns:
        None where no value names a zone: then nothing can be left out.
    """
    values = params if isinstance(params, Mapping) else dict(enumerate(params or (), start=1))
    by_name = {str(name): value for name, value in values.items()}
    if not any(isinstance(value, str) and zone_of(value) for value in by_name.values()):
        return None
    return _filled(tree, by_name)


def _filled(node: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_filled(item, values) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("class") == "PARAMETER":
        value = values.get(str(node.get("identifier")))
        if value is None or isinstance(value, str | int | float):
            constant = {"type": {"id": "VARCHAR"}, "is_null": value is None, "value": str(value)}
            return {"class": "CONSTANT", "type": "VALUE_CONSTANT", "value": constant}
    return {name: _filled(value, values) for name, value in node.items()}


def lost(text: str) -> InvalidInput:
    return InvalidInput(
        f"the zone of {text!r} would be left out, since stored times are UTC without a zone",
        hint="write the time in UTC, or TIMESTAMPTZ '…' AT TIME ZONE 'UTC'",
    )
