"""A field's value in SQL, in each of the types that an attribute may have. Values and keys are parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

from collector.search.syntax import Attribute, Type

# As `variant_typeof` names what our decoder and Parquet files hold.
_WHOLE = "'INT64', 'INT32', 'INT16', 'INT8', 'UINT64', 'UINT32', 'UINT16', 'UINT8'"
FORMS = {
    Type.TEXT: "CASE WHEN variant_typeof({v}) = 'VARCHAR' THEN {v}::VARCHAR END",
    Type.NUMBER: f"CASE WHEN variant_typeof({{v}}) IN ({_WHOLE}, 'DOUBLE', 'FLOAT') THEN {{v}}::DOUBLE END",
    Type.BOOL: "CASE variant_typeof({v}) WHEN 'BOOL_TRUE' THEN true WHEN 'BOOL_FALSE' THEN false END",
    Type.NIL: "{v} IS NULL",
}
WHOLE_NUMBER = f"CASE WHEN variant_typeof({{v}}) IN ({_WHOLE}) THEN {{v}}::HUGEINT END"
_COLUMNS = {
    "span": "attributes",
    "resource": "resource_attributes",
    "instrumentation": "scope_attributes",
}
_PARAMETER = re.compile(r"\$(\w+)")
SERVICE_NAME = ("resource", "service.name")


class Params:
    """The values of a statement by name; `add` gives what stands for one in its text."""

    def __init__(self, given: Mapping[str, object] | None = None) -> None:
        self.values: dict[str, object] = dict(given or {})
        self._names: dict[tuple[type, object], str] = {}

    def used_in(self, sql: str) -> dict[str, object]:
        """Those that `sql` names: DuckDB refuses others."""
        names = set(_PARAMETER.findall(sql))
        return {name: value for name, value in self.values.items() if name in names}

    def add(self, value: str | float | bool) -> str:
        key = (type(value), value)
        if key not in self._names:
            self._names[key] = f"v{len(self._names)}"
            self.values[self._names[key]] = value
        kind = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN"}[type(value)]
        return f"${self._names[key]}::{kind}"


class Source(Protocol):
    """Where the values of spans come from: the rows themselves, or columns that were read of them."""

    params: Params

    def value(self, sql: str, *, of_parent: bool = False) -> str:
        """What stands for `sql`, an expression over the columns of `spans`."""
        ...


class Rows:
    """The rows of `spans` themselves, without what only a whole trace shows."""

    def __init__(self, params: Params) -> None:
        self.params = params

    def value(self, sql: str, *, of_parent: bool = False) -> str:
        if of_parent:
            raise NeedsTrace
        return sql


class NeedsTrace(Exception):
    """A condition asks for what one row does not show: its parent, its root, its anomaly."""


class ReadColumns:
    """Collects what has to be read, and names it."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self.columns: dict[str, str] = {}  # expression → name
        self.derived: set[str] = set()  # intrinsics that only a whole trace shows
        self.needs_parent = False

    def value(self, sql: str, *, of_parent: bool = False) -> str:
        name = self.columns.setdefault(sql, f"c{len(self.columns)}")
        self.needs_parent |= of_parent
        return f"parent.{name}" if of_parent else f"span.{name}"


def variant(attribute: Attribute, params: Params) -> str:
    """The attribute's value as VARIANT, over the columns of `spans`."""
    key = params.add(attribute.name)
    if attribute.scope:
        return f"{_COLUMNS[attribute.scope]}[{key}]"
    return f"coalesce(attributes[{key}], resource_attributes[{key}])"


def plain_columns(attribute: Attribute, params: Params) -> list[str]:
    """The same for the fast first look, where each place it may stand is asked by itself."""
    key = params.add(attribute.name)
    if attribute.scope:
        return [f"{_COLUMNS[attribute.scope]}[{key}]"]
    return [f"attributes[{key}]", f"resource_attributes[{key}]"]


def attribute_value(attribute: Attribute, kind: Type, source: Source) -> str:
    """SQL of the attribute if it has that type, else NULL; for NIL: whether it is not there."""
    if (attribute.scope, attribute.name) == SERVICE_NAME and kind is Type.TEXT:
        sql = "service_name"
    else:
        sql = FORMS[kind].format(v=variant(attribute, source.params))
    return source.value(sql, of_parent=attribute.of_parent)
