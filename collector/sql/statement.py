"""Turns a user's text into the statement that runs: parsed, examined, bound, put into our SELECT."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence, Set
from time import process_time
from typing import Any, NamedTuple

import duckdb

from collector.errors import InvalidInput, RefusedQuery
from collector.sql.columns import expression
from collector.sql.dialects import error_hint, syntax_hint
from collector.sql.plan import check_plan
from collector.sql.tree import examine
from collector.sql.zones import check_now, with_values

Params = Sequence[object] | Mapping[str, object] | None

READ_ONLY_HINT = "send one SELECT, FROM, WITH, VALUES, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN statement"
_INSTEAD = {
    "SET": "every session is in UTC: write AT TIME ZONE 'UTC' AT TIME ZONE 'Europe/Berlin' for another zone;"
    " limits are settings of the server (spyhop settings)",
    "PRAGMA": "write DESCRIBE spans, SHOW TABLES or SELECT version()",
    "CALL": "write DESCRIBE spans, SHOW TABLES or SELECT version()",
    "CREATE": "write WITH name AS (SELECT …) SELECT … FROM name",
}
# Errors after which DuckDB 2.0 closes the whole database: all is refused until it is opened anew.
DATABASE_ENDS = (duckdb.InternalException, duckdb.FatalException)
# The server parses the text once more, and the interpreter is held meanwhile.
PARSE_CPU_MAX_S = 0.5
_LINE = re.compile(r"^LINE (\d+): ", re.MULTILINE)
_EXPLAIN = re.compile(
    r"\s*EXPLAIN(?P<analyze>\s+ANALYZE\b)?(\s*\((?P<options>(\s*,?\s*(ANALYZE|FORMAT\s+\w+)\s*)+)\))?",
    re.IGNORECASE,
)
_EXPLAIN_FORMAT = re.compile(r"FORMAT\s+(text|json|yaml|html|graphviz)\b", re.IGNORECASE)
_TREE_SQL = (
    "SELECT json_serialize_sql(?::VARCHAR, skip_null := true, skip_empty := true, skip_default := true)"
)
_NOT_FINITE = re.compile(r"(?<=[:,\[])-?(nan|inf(inity)?)(?=[,}\]])", re.IGNORECASE)
_PLAN_SQL = _TREE_SQL.replace("json_serialize_sql", "json_serialize_plan")


class Prepared(NamedTuple):
    """A query that may be run."""

    sql: str
    names: list[str]  # of the columns, as the user wrote them; empty for EXPLAIN
    types: list[str]  # DuckDB's
    reads_store: bool
    text: str  # the user's, without a terminator


def prepare(
    con: duckdb.DuckDBPyConnection,
    query: str,
    params: Params,
    *,
    tables: Set[str],
    limit_rows: int,
    as_text: bool,
) -> Prepared:
    """
    Args:
        con: a database with the same tables, in which the query is bound but not run.
        tables: lower-case names of what may be read.
        limit_rows: the statement returns at most one row more, which shows that there are more.
        as_text: values without a form in JSON become text, for formats without types and nesting.

    Raises:
        RefusedQuery: none or several statements, one that is not read-only, or one that holds something that
            is not known to be harmless.
        InvalidInput: it does not parse or bind; the message is DuckDB's.
    """
    statement = _only_statement(con, query)
    if statement.type == duckdb.StatementType.EXPLAIN:
        head, text = _split_explain(statement.query)
        inner = _only_statement(con, text)
        _refuse_other_types(inner, "EXPLAIN of ")
        # Only the text that was examined follows our own EXPLAIN: what it explains is what was examined.
        text = _without_terminator(inner.query)
        tree = tree_of_text(con, text)
        facts = examine(tree, tables)
        check_now(tree)
        _shape(con, text, params)
        check_plan(_plan(con, text), text, summarizes=facts.summarizes)  # EXPLAIN ANALYZE runs it
        _check_params(con, tree, params)
        return Prepared(f"{head}\n{text}", [], [], facts.reads_store, text)
    _refuse_other_types(statement)
    text = _without_terminator(statement.query)
    tree = tree_of_text(con, text)
    facts = examine(tree, tables)
    check_now(tree)
    names, types = _shape(con, text, params)
    check_plan(_plan(con, text), text, summarizes=facts.summarizes)
    _check_params(con, tree, params)
    sql = projected(text, types, limit_rows + 1, as_text)
    examine(
        tree_of_text(con, sql), tables
    )  # as it will be run: nothing of the text reaches beyond its parentheses
    return Prepared(sql, names, types, facts.reads_store, text)


def first_lines(error: Exception) -> str:
    """DuckDB's message without its stack trace."""
    return str(error).strip().split("\n\n")[0][:500]


def mistake(error: duckdb.Error, text: str, lines_before: int = 0) -> InvalidInput:
    """What is wrong with a query, and what to write instead where it is known.

    Args:
        text: the query as it was run.
        lines_before: how many of its lines stand before the user's.
    """
    hint = error_hint(str(error), text)
    message = first_lines(error)
    if hint:  # better than forty signatures
        message = message.split("\n\tCandidate functions")[0]
    return InvalidInput(message + _line(error, lines_before), hint=hint)


def _line(error: duckdb.Error, lines_before: int = 0) -> str:
    """The line of the user's text, which DuckDB names behind its message."""
    line = _LINE.search(str(error))
    return f" (line {int(line[1]) - lines_before})" if line else ""


def _only_statement(con: duckdb.DuckDBPyConnection, text: str) -> duckdb.Statement:
    started_s = process_time()
    try:
        statements = con.extract_statements(text)
    except duckdb.Error as error:
        message = f"the SQL does not parse: {first_lines(error)}{_line(error)}"
        raise InvalidInput(message, hint=syntax_hint(text)) from error
    if process_time() - started_s > PARSE_CPU_MAX_S:
        raise RefusedQuery("the query takes too long to parse", hint="join a list of values, or nest less")
    if len(statements) != 1:
        raise RefusedQuery(f"{len(statements)} statements were sent, one is allowed", hint=READ_ONLY_HINT)
    return statements[0]


def _refuse_other_types(statement: duckdb.Statement, what: str = "") -> None:
    if statement.type == duckdb.StatementType.MULTI:
        raise RefusedQuery(
            "PIVOT without a list of values creates a type first, which is a write",
            hint="write PIVOT … ON column IN ('a', 'b')",
        )
    if statement.type != duckdb.StatementType.SELECT:
        kind = statement.type.name
        raise RefusedQuery(
            f"{what}{kind} is refused: this access is read-only", hint=_INSTEAD.get(kind, READ_ONLY_HINT)
        )


def _without_terminator(text: str) -> str:
    """The statement up to its semicolon, so that it can stand in parentheses; comments may follow it."""
    encoded = text.encode()  # DuckDB's token places count bytes
    ends = [place for place, _ in duckdb.tokenize(text) if encoded[place : place + 1] == b";"]
    return encoded[: ends[0]].decode() if ends else text


def _split_explain(text: str) -> tuple[str, str]:
    """`EXPLAIN (FORMAT json) SELECT 1` → (`EXPLAIN (FORMAT json)`, `SELECT 1`)."""
    match = _EXPLAIN.match(text)
    assert match is not None, "DuckDB has taken it for an EXPLAIN"
    options = match["options"] or ""
    shape = _EXPLAIN_FORMAT.search(options)
    if "format" in options.lower() and shape is None:
        raise RefusedQuery(
            "this format of EXPLAIN is not known", hint="write FORMAT text, json, yaml, html or graphviz"
        )
    is_run = match["analyze"] or "analyze" in options.lower()
    chosen = f" (FORMAT {shape[1].lower()})" if shape else ""
    return f"EXPLAIN{' ANALYZE' if is_run else ''}{chosen}", text[match.end() :]


def tree_of_text(con: duckdb.DuckDBPyConnection, text: str) -> Any:
    """The parsed form of a query.

    Raises:
        RefusedQuery: it is nested too deeply.
    """
    ((tree,),) = con.execute(_TREE_SQL, [text]).fetchall()
    try:
        return json.loads(tree)
    except RecursionError as error:
        raise RefusedQuery("the query is nested too deeply") from error


def text_of_tree(con: duckdb.DuckDBPyConnection, tree: Any) -> str:
    """SQL of a parsed form."""
    ((text,),) = con.execute("SELECT json_deserialize_sql(?::JSON)", [json.dumps(tree)]).fetchall()
    return str(text)


def _plan(con: duckdb.DuckDBPyConnection, text: str) -> Any:
    ((plan,),) = con.execute(_PLAN_SQL, [text]).fetchall()
    try:
        return json.loads(plan)
    except ValueError:  # DuckDB writes a NaN of a constant list or struct bare
        return json.loads(_NOT_FINITE.sub("null", plan))


def _check_params(con: duckdb.DuckDBPyConnection, tree: Any, params: Params) -> None:
    """Refuses a value whose zone would be left out. A plan has no values of parameters: they are put in."""
    filled = with_values(tree, params)
    if filled is None:
        return
    text = text_of_tree(con, filled)
    plan = _plan(con, text)
    if not plan.get("error"):
        check_plan(plan, text)


def _shape(con: duckdb.DuckDBPyConnection, text: str, params: Params) -> tuple[list[str], list[str]]:
    """Column names and types, without running the query."""
    try:
        con.execute(f"SELECT * FROM (\n{text}\n) LIMIT 0", params)  # noqa: S608  # examined
    except (duckdb.InternalException, duckdb.OutOfMemoryException):
        raise
    except duckdb.Error as error:
        raise mistake(error, text, lines_before=1) from error
    description = con.description or []
    con.fetchall()
    return [str(column[0]) for column in description], [str(column[1]) for column in description]


def projected(text: str, types: list[str], limit_rows: int, as_text: bool) -> str:
    """The query `text` with at most `limit_rows` rows, in a form that Arrow takes."""
    columns = ", ".join(expression(f"c{n}", kind, as_text=as_text) for n, kind in enumerate(types))
    names = ", ".join(f"c{number}" for number in range(len(types)))
    return f"SELECT {columns} FROM (\n{text}\n) AS q({names}) LIMIT {limit_rows}"  # noqa: S608  # as above
