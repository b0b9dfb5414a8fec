"""Times of users whose zone DuckDB would leave out without a word.

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
        value = child.get("value")
        text = value.get("value") if isinstance(value, dict) else None
        if isinstance(text, str) and zone_of(text):
            raise lost(text)


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
