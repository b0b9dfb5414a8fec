"""Casts for result columns of each DuckDB type: the Arrow type that it has, or text that keeps
every digit. Arrow has no form for some (an interval of months, a bit string, a zone beside a time), and
VARIANT would be two binary fields."""

from __future__ import annotations

import re

from collector.sql.nested import json_of

_TEXT_IN_ARROW = re.compile(r"\b(INTERVAL|BIT|BIGNUM|UHUGEINT|TIME WITH TIME ZONE)\b|UNION\(|ENUM\(")
_AS_IT_IS = frozenset(
    {"BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}
    | {"FLOAT", "DOUBLE", "VARCHAR", "JSON"}
)
_NUMBERS = re.compile(r"HUGEINT|UHUGEINT|BIGNUM|DECIMAL\(\d+,\d+\)")
# DuckDB writes .50 for a DECIMAL without places before the point, which is no number of JSON.
_ONLY_FRACTION = re.compile(r"DECIMAL\((\d+),\1\)")
_LEADING_ZERO = (
    "CASE WHEN starts_with({0}, '.') THEN '0' || {0}"
    " WHEN starts_with({0}, '-.') THEN '-0' || substr({0}, 2) ELSE {0} END"
)
# %n of strftime is broken in DuckDB 2.0.0 for TIMESTAMP_NS when anything follows it.
_FRACTION = "((epoch_ns({0}) % 1000000000 + 1000000000) % 1000000000)"
_NANOSECONDS = (
    "CASE WHEN isfinite({0}::TIMESTAMP)"
    f" THEN strftime(make_timestamp((epoch_ns({{0}}) - {_FRACTION}) // 1000), '%Y-%m-%dT%H:%M:%S.')"
    f" || lpad({_FRACTION}::VARCHAR, 9, '0') || 'Z'"
    " ELSE {0}::VARCHAR END"
)
_MICROSECONDS = (
    "CASE WHEN {0} BETWEEN '0001-01-01' AND '9999-12-31 23:59:59.999999'"
    " THEN strftime({0}, '%Y-%m-%dT%H:%M:%S.%fZ') ELSE {0}::VARCHAR END"
)


def expression(column: str, kind: str, *, as_text: bool) -> str:
    """The SQL that takes `column` of the type `kind` out of DuckDB.

    Args:
        as_text: for formats without types and nesting: everything but plain numbers and truth values is text.
    """
    if "VARIANT" in kind:
        return json_of(column, kind, _text) if is_nested(kind) else f"{column}::JSON"
    if is_nested(kind):
        return json_of(column, kind, _text) if as_text or _TEXT_IN_ARROW.search(kind) else column
    if as_text and kind not in _AS_IT_IS:
        return _text(column, kind)
    return f"{column}::VARCHAR" if _TEXT_IN_ARROW.search(kind) else column


def is_nested(kind: str) -> bool:
    """Whether a type of DuckDB has parts."""
    return kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION", "TUPLE"))


def is_json(kind: str) -> bool:
    """Whether `expression(…, as_text=True)` makes JSON of a column of this type."""
    return kind == "JSON" or "VARIANT" in kind or is_nested(kind)


def is_number(kind: str) -> bool:
    """Whether the text of such a value is a number of JSON, with more digits than a double has."""
    return _NUMBERS.fullmatch(kind) is not None


def _text(column: str, kind: str) -> str:  # noqa: PLR0911  # one for each type
    match kind:
        case "BLOB":
            return f"lower(hex({column}))"
        case "TIMESTAMP_NS":
            return _NANOSECONDS.format(column)
        case "TIMESTAMPTZ_NS":
            return _NANOSECONDS.format(f"timezone('UTC', {column})")
        case "TIMESTAMP" | "TIMESTAMP_S" | "TIMESTAMP_MS" | "TIMESTAMP WITH TIME ZONE":
            zoneless = f"timezone('UTC', {column})" if kind.endswith("ZONE") else f"{column}::TIMESTAMP"
            return _MICROSECONDS.format(zoneless)
        case '"NULL"':
            return column
        case _ if _ONLY_FRACTION.fullmatch(kind):
            return _LEADING_ZERO.format(f"{column}::VARCHAR")
        case _:
            return f"{column}::VARCHAR"
