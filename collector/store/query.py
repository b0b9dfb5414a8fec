"""Other people's SQL: one statement, read-only, bounded in rows and time."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from collector.errors import InvalidInput, RefusedQuery, Timeout
from collector.store.store import Store

Params = Sequence[object] | Mapping[str, object] | None

_READ_ONLY_HINT = "send one SELECT, FROM, WITH, VALUES, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN statement"
_EXPLAIN_WORDS = ("EXPLAIN", "ANALYZE")


class QueryResult(NamedTuple):
    """Rows as Arrow. VARIANT columns are JSON text; times carry UTC."""

    table: pa.Table
    types: list[str]  # DuckDB's names, e.g. VARIANT, TIMESTAMP_NS, BIGINT
    truncated: bool  # there are more rows than the limit let through
    elapsed_ms: float


def run_query(
    store: Store,
    query: str,
    params: Params = None,
    *,
    limit_rows: int,
    timeout_s: float,
    nested_as_json: bool = False,
) -> QueryResult:
    """Run one read-only statement on a cursor of its own.

    Args:
        nested_as_json: turn structs, lists and maps to JSON text too, for formats without nesting.

    Raises:
        RefusedQuery: it is not one read-only statement, or reads outside the data folder.
        InvalidInput: DuckDB cannot run it; the message is DuckDB's.
        Timeout: it ran longer than `timeout_s`.
    """
    started_s = monotonic()
    cursor = store.cursor()
    timer = threading.Timer(timeout_s, cursor.interrupt)
    timer.daemon = True
    try:
        text, is_explain = check_statement(cursor, query)
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        timer.start()
        if is_explain:
            table = _fetch(cursor, text, params)
            types = [str(field.type) for field in table.schema]
        else:
            names, types = _shape(cursor, text, params)
            table = _fetch(cursor, _projected(text, types, limit_rows + 1, nested_as_json), params)
            table = table.rename_columns(names)
    except duckdb.Error as error:
        raise _translated(error, timeout_s) from error
    finally:
        timer.cancel()
        cursor.close()
    truncated = table.num_rows > limit_rows
    table = table.slice(0, limit_rows)
    elapsed_ms = (monotonic() - started_s) * 1000
    return QueryResult(_readable(table, types), types, truncated, round(elapsed_ms, 3))


def check_statement(con: duckdb.DuckDBPyConnection, query: str) -> tuple[str, bool]:
    """The one statement of `query` as DuckDB parsed it, and whether it is an EXPLAIN.

    Raises:
        RefusedQuery: none, several, or not read-only.
        InvalidInput: it does not parse.
    """
    statements = _parsed(con, query)
    if len(statements) != 1:
        raise RefusedQuery(f"{len(statements)} statements were sent, one is allowed", hint=_READ_ONLY_HINT)
    statement = statements[0]
    text = _without_terminator(statement.query)
    if statement.type == duckdb.StatementType.EXPLAIN:
        inner = _parsed(con, _explained(text))
        if len(inner) != 1 or inner[0].type != duckdb.StatementType.SELECT:
            raise RefusedQuery("EXPLAIN of anything but a query is refused", hint=_READ_ONLY_HINT)
        return text, True
    if statement.type != duckdb.StatementType.SELECT:
        raise RefusedQuery(
            f"{statement.type.name} is refused: this access is read-only", hint=_READ_ONLY_HINT
        )
    return text, False


def _parsed(con: duckdb.DuckDBPyConnection, text: str) -> list[duckdb.Statement]:
    try:
        return con.extract_statements(text)
    except duckdb.Error as error:
        raise InvalidInput(f"the SQL does not parse: {_first_lines(error)}") from error


def _without_terminator(text: str) -> str:
    """The statement up to its semicolon, so that it can stand in parentheses; comments may follow it."""
    encoded = text.encode()  # DuckDB's token places count bytes
    ends = [place for place, _ in duckdb.tokenize(text) if encoded[place : place + 1] == b";"]
    return encoded[: ends[0]].decode() if ends else text


def _explained(text: str) -> str:
    """What stands behind EXPLAIN, its ANALYZE and its (options)."""
    rest = text.lstrip()
    for word in _EXPLAIN_WORDS:
        if rest[: len(word)].upper() == word:
            rest = rest[len(word) :].lstrip()
    if rest.startswith("("):
        options, _, behind = rest.partition(")")
        # A parenthesis may also open the query itself; options hold plain words only.
        if all(word.strip().isidentifier() for part in options[1:].split(",") for word in part.split()):
            rest = behind
    return rest


def _shape(cursor: duckdb.DuckDBPyConnection, text: str, params: Params) -> tuple[list[str], list[str]]:
    """Column names and types, without running the query."""
    cursor.execute(f"SELECT * FROM (\n{text}\n) LIMIT 0", params)  # noqa: S608  # checked above, read-only
    description = cursor.description or []
    cursor.fetchall()
    return [str(column[0]) for column in description], [str(column[1]) for column in description]


def _projected(text: str, types: list[str], limit_rows: int, nested_as_json: bool) -> str:
    """The query with VARIANT as JSON: outside DuckDB it would be two binary fields."""
    columns = ", ".join(
        f"c{number}::JSON" if "VARIANT" in kind or (nested_as_json and _is_nested(kind)) else f"c{number}"
        for number, kind in enumerate(types)
    )
    names = ", ".join(f"c{number}" for number in range(len(types)))
    return f"SELECT {columns} FROM (\n{text}\n) AS q({names}) LIMIT {limit_rows}"  # noqa: S608  # as above


def _is_nested(kind: str) -> bool:
    return kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION"))


def _fetch(cursor: duckdb.DuckDBPyConnection, text: str, params: Params) -> pa.Table:
    relation = cursor.sql(text, params=params)
    assert relation is not None, "a SELECT or EXPLAIN always has rows"
    return relation.to_arrow_table()


def _readable(table: pa.Table, types: list[str]) -> pa.Table:
    """Times in UTC instead of in no zone; 128-bit sums as int64 where they fit."""
    columns = []
    for column, kind in zip(table.columns, types, strict=True):
        readable = column
        if pa.types.is_timestamp(column.type) and column.type.tz is None:
            readable = column.cast(pa.timestamp(column.type.unit, "UTC"))
        elif kind in ("HUGEINT", "UHUGEINT"):
            try:
                readable = pc.cast(column, pa.int64())
            except pa.ArrowInvalid:
                readable = column
        columns.append(readable)
    # Fresh fields: DuckDB marks JSON as an extension type, which Polars and others do not know.
    fields = [pa.field(name, column.type) for name, column in zip(table.column_names, columns, strict=True)]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _translated(error: duckdb.Error, timeout_s: float) -> Exception:
    if isinstance(error, duckdb.InterruptException):
        return Timeout(
            f"the query ran longer than {timeout_s:g} s and was stopped",
            hint="ask for less, or raise SPYHOP_SQL_TIMEOUT_S",
        )
    if isinstance(error, duckdb.PermissionException):
        return RefusedQuery(f"files outside the data folder are not read: {_first_lines(error)}")
    return InvalidInput(_first_lines(error))


def _first_lines(error: duckdb.Error) -> str:
    return str(error).strip().split("\n\n")[0][:500]
