"""JSON of nested values, in which times and bytes have the same text as they have in a column of their own.

DuckDB's own cast writes a time in a struct as `2026-01-02 03:04:05`, without a zone, and bytes as `\\xAA`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

Text = Callable[[str, str], str]  # (SQL expression, DuckDB type) → SQL of its text

_OTHERWISE_WRITTEN = re.compile(r"\b(TIMESTAMP\w*|BLOB)\b")
_ARRAY = re.compile(r"(.+)\[(\d*)\]", re.DOTALL)
# A name of a field stands in quotes where it is no plain word, and so do the values of an ENUM.
_PIECE = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[(),]|[^'"(),]+""")
_FIELD = re.compile(r'("(?:[^"]|"")*"|\w+) (.+)', re.DOTALL)


class _Field(NamedTuple):
    name: str  # as SQL writes it
    kind: str


def json_of(value: str, kind: str, text: Text, depth: int = 0) -> str:
    """The SQL that makes JSON of `value`, an expression of the nested type `kind`."""
    return f"({_rewritten(value, kind, text, depth)})::JSON"


def _rewritten(value: str, kind: str, text: Text, depth: int) -> str:
    if not _OTHERWISE_WRITTEN.search(kind) or kind.startswith(("UNION(", "TUPLE(", "ENUM(")):
        return value
    item = f"x{depth}"
    if array := _ARRAY.fullmatch(kind):
        inner, length = array.groups()
        items = f"({value})::{inner}[]" if length else value
        return f"list_transform({items}, lambda {item}: {_rewritten(item, inner, text, depth + 1)})"
    if kind.startswith("STRUCT("):
        parts = ", ".join(
            f"{name} := {_rewritten(f'({value}).{name}', part, text, depth)}" for name, part in _fields(kind)
        )
        return f"CASE WHEN {value} IS NOT NULL THEN struct_pack({parts}) END"
    if kind.startswith("MAP("):
        key, inner = _parts(kind)
        entry = (
            f"struct_pack(key := {_rewritten(f'{item}.key', key, text, depth + 1)},"
            f" value := {_rewritten(f'{item}.value', inner, text, depth + 1)})"
        )
        return f"map_from_entries(list_transform(map_entries({value}), lambda {item}: {entry}))"
    return text(value, kind)


def _fields(kind: str) -> Iterator[_Field]:
    for part in _parts(kind):
        field = _FIELD.fullmatch(part)
        assert field is not None, kind
        yield _Field(*field.groups())


def _parts(kind: str) -> list[str]:
    """What stands between the commas of `NAME(…, …)`, those of inner brackets and quotes left alone."""
    parts, depth = [""], 0
    for piece in _PIECE.findall(kind[kind.index("(") + 1 : -1]):
        depth += {"(": 1, ")": -1}.get(piece, 0)
        if piece == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += piece
    return [part.strip() for part in parts]
