"""Builds the text of searches: joined conditions, scopes of attributes. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

_ONE_SET = re.compile(r"^\s*\{([^{}]*)\}\s*$", re.DOTALL)
_PLAIN_NAME = re.compile(r"^[A-Za-z_][\w.\-/]*$")
LIFT_LEAST = 1.5
SUPPORT_LEAST = 2
DIFFERENCES_SHOWN = 12


def with_condition(query: str, condition: str) -> str:
    """The search narrowed by one more condition.

    >>> with_condition("", "status = error")
    '{ status = error }'
    >>> with_condition("{ a = 1 || b = 2 }", "status = error")
    '{ (a = 1 || b = 2) && status = error }'
    >>> with_condition("{ a = 1 } > { b = 2 }", "status = error")
    '({ a = 1 } > { b = 2 }) && { status = error }'
    """
    text = query.strip()
    if not text or text.replace(" ", "") == "{}":
        return f"{{ {condition} }}"
    alone = _ONE_SET.match(text)
    if alone:
        inner = alone[1].strip()
        return f"{{ {f'({inner})' if '||' in inner else inner} && {condition} }}"
    if "|" in text.replace("||", ""):
        return f"{text} | {{ {condition} }}"
    return f"({text}) && {{ {condition} }}"


def quoted(text: str) -> str:
    """A text as a value of a search."""
    return json.dumps(text, ensure_ascii=False)


def field(scope: str, name: str) -> str:
    """`span.http.route`; names with other characters are quoted."""
    return f"{scope}.{name if _PLAIN_NAME.match(name) else quoted(name)}"


def literal(value: object) -> str:
    """A value of an attribute as a search compares it, type kept.

    >>> literal("a"), literal(5), literal(True)
    ('"a"', '5', 'true')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else quoted(str(value))


class Difference(NamedTuple):
    """A field and value that sets the chosen traces apart: shares among the chosen and the others."""

    field: str
    value: object
    share: float
    other_share: float
    trace_count: int

    @property
    def lift(self) -> float:
        return self.share / max(self.other_share, 1e-3)


def differences(
    rows: Iterable[tuple[str, Mapping[str, Any]]], chosen: set[str], all_traces: Sequence[str]
) -> list[Difference]:
    """Which values the chosen traces carry more often than the others, the most telling first.

    Args:
        rows: (trace id, values by field) of spans; several of one trace count once.
        chosen: ids of the chosen traces; the others of `all_traces` are compared with.
    """
    carried: dict[tuple[str, str], tuple[object, set[str]]] = {}
    for trace_id, values in rows:
        for name, value in values.items():
            if isinstance(value, bool | int | float | str):
                key = (name, f"{type(value).__name__}{value}")
                carried.setdefault(key, (value, set()))[1].add(trace_id)
    inside = chosen & set(all_traces)
    outside = set(all_traces) - inside
    if not inside or not outside:
        return []
    found = []
    for (name, _), (value, traces) in carried.items():
        mine, theirs = len(traces & inside), len(traces & outside)
        told = Difference(name, value, mine / len(inside), theirs / len(outside), mine)
        if mine >= min(SUPPORT_LEAST, len(inside)) and told.lift >= LIFT_LEAST:
            found.append((_certainty(mine, len(inside), theirs, len(outside)), told))
    found.sort(key=lambda pair: (-pair[0], pair[1].field))
    return [told for certainty, told in found[:DIFFERENCES_SHOWN] if certainty > 0]


def _certainty(mine: int, inside: int, theirs: int, outside: int) -> float:
    """How many standard errors lie between the shares; half a trace is added so that none is certain."""
    share, other = (mine + 0.5) / (inside + 1), (theirs + 0.5) / (outside + 1)
    error = math.sqrt(share * (1 - share) / inside + other * (1 - other) / outside)
    return (share - other) / error - 2.0
