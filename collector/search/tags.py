"""Keys and values that landed, for completion. Bounded samples, newest first."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from collector.errors import InvalidInput
from collector.search.conditions import condition_sql
from collector.search.evaluate import json_sql
from collector.search.fields import DERIVED, INTRINSICS
from collector.search.first_look import FirstLook
from collector.search.parser import parse, parse_field
from collector.search.syntax import Attribute, Filter, Intrinsic
from collector.search.times import Range
from collector.search.tokens import fail
from collector.search.values import NeedsTrace, Params, Rows
from collector.sql.query import QueryRunner
from collector.store.sqlfile import load_sql

SCOPES = ("resource", "span", "instrumentation", "event", "link", "intrinsic")
# Reading the keys of a span takes 2 µs, of a packed one more.
KEYS_OF_SPANS = 20_000
VALUES_OF_SPANS = 200_000
LIMIT_DEFAULT, LIMIT_MAX = 500, 5_000
_ENUMS = {
    "status": ("error", "ok", "unset"),
    "kind": ("client", "consumer", "internal", "producer", "server", "unspecified"),
    "anomaly": ("SEV1", "SEV2", "SEV3", "SEV4", "SEV5"),
}


class TagValue(NamedTuple):
    """`type`: string, int, float, bool, or keyword for what is written without quotes."""

    type: str
    value: str
    span_count: int  # among those that were looked at; 0 for words that are always known


def list_tags(queries: QueryRunner, span: Range, *, scope: str | None, limit: int) -> dict[str, list[str]]:
    """Names by scope, the most frequent first; `intrinsic` holds the fields that every span has.

    Raises:
        InvalidInput: no such scope.
    """
    if scope is not None and scope not in SCOPES:
        raise InvalidInput(f"scope {scope[:100]!r} is not known", hint=f"use one of {', '.join(SCOPES)}")
    found: dict[str, list[str]] = {name: [] for name in SCOPES if scope in (None, name)}
    if "intrinsic" in found:
        found["intrinsic"] = sorted(INTRINSICS)
    if set(found) - {"intrinsic"}:
        params = {
            "from_ns": span.from_ns,
            "until_ns": span.until_ns,
            "most": KEYS_OF_SPANS,
            "scopes": list(found),
        }
        sql = load_sql("collector.search.queries", "list_tags")
        rows = queries.run_own(sql, params, limit_rows=LIMIT_MAX).table.to_pylist()
        for row in rows:
            if len(found[row["scope"]]) < limit:
                found[row["scope"]].append(row["key"])
    return found


def list_values(
    queries: QueryRunner, tag: str, span: Range, *, search: str | None, limit: int
) -> tuple[list[TagValue], bool]:
    """The values of a field among the newest spans, the most frequent first, and whether some are left out.

    Args:
        tag: as it is written in a search, e.g. `resource.service.name`, `.http.route`, `status`.
        search: only spans that fit this filter, e.g. `{ resource.service.name = "shop" }`.

    Raises:
        InvalidInput: no such field, or a search of more than one filter over single spans.
    """
    field = _field(tag)
    if isinstance(field, Intrinsic) and field.name in _ENUMS:
        return [TagValue("keyword", value, 0) for value in _ENUMS[field.name]], False
    params = Params({"from_ns": span.from_ns, "until_ns": span.until_ns, "most": VALUES_OF_SPANS})
    rows = Rows(params)
    if isinstance(field, Intrinsic) and field.name in DERIVED:
        columns = {"rootName": "name", "rootServiceName": "resource.service.name"}
        if field.name not in columns:
            raise InvalidInput(f"{field.name} has no list of values", hint="compare it with a number")
        field = _field(columns[field.name])
        condition = "parent_span_id IS NULL"
    else:
        condition = "true"
    if search is not None and search.strip():
        condition += f" AND {_condition(search, params)}"
    sql = load_sql("collector.search.queries", "list_values").format(
        value=json_sql(field, rows), condition=condition
    )
    fetched = queries.run_own(sql, params.used_in(sql), limit_rows=limit)
    values = [_value(row["value"], row["span_count"]) for row in fetched.table.to_pylist()]
    return values, fetched.is_cut


def _field(tag: str) -> Attribute | Intrinsic:
    """Raises InvalidInput."""
    try:
        field = parse_field(tag)
    except InvalidInput as error:
        raise InvalidInput(
            f"{tag[:100]!r} is not a field with values",
            hint="e.g. resource.service.name, span.http.route, .http.route, name",
        ) from error
    if isinstance(field, Attribute) and field.of_parent:
        raise InvalidInput(
            f"{tag[:100]!r} is another span's", hint=f"ask for {tag.removeprefix('parent')[:100]}"
        )
    return field


def _condition(search: str, params: Params) -> str:
    query = parse(search)
    only = query.pipeline.stages[0]
    if len(query.pipeline.stages) != 1 or query.metric is not None or not isinstance(only, Filter):
        raise InvalidInput("values are listed for one filter", hint='e.g. { resource.service.name = "shop" }')
    if only.condition is None:
        return "true"
    try:
        exact = condition_sql(only.condition, Rows(params))
    except NeedsTrace:
        fail(search, 0, "values are listed for single spans", "leave out root…, trace…, parent., anomaly")
    return f"({FirstLook(params, careful=True).of(only)} AND {exact})"


def _value(text: str, count: int) -> TagValue:
    value: Any = json.loads(text, parse_constant=str)
    match value:
        case str():
            return TagValue("string", value, count)
        case bool():
            return TagValue("bool", "true" if value else "false", count)
        case int():
            return TagValue("int", str(value), count)
        case float():
            return TagValue("float", repr(value), count)
        case _:
            return TagValue("string", text, count)
