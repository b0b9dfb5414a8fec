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
from collector.sql.plan import check_plan
from collector.sql.tree import examine
from collector.sql.zones import check_now, with_values

Params = Sequence[object] | Mapping[str, object] | None

READ_ONLY_HINT = "send one SELECT, FROM, WITH, VALUES, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN statement"
# Errors after which DuckDB 2.0 closes the whole database: all is refused until it is opened anew.
DATABASE_ENDS = (duckdb.InternalException, duckdb.FatalException)
# The server parses the text once more, and the interpreter is held meanwhile.
PARSE_CPU_MAX_S = 0.5
_LINE = re.compile(r"^LINE (\d+): ", re.MULTILINE)
_EXPLAIN = re.compile(
    r"\s*EXPLAIN(?P<analyze>\s+ANALYZE\b)?(\s*\(\s*FORMAT\s+(?P<format>text|json|yaml|html|graphviz)\s*\))?",
    re.IGNORECASE,
)
_TREE_SQL = (
    "SELECT json_serialize_sql(?::VARCHAR, skip_null := true, skip_empty := true, skip_default := true)"
)
_PLAN_SQL = _TREE_SQL.replace("json_serialize_sql", "json_serialize_plan")


class Prepared(NamedTuple):
    """A query that may be run."""

    sql: str
    names: list[str]  # of the columns, as the user wrote them; empty for EXPLAIN
    types: list[str]  # DuckDB's
    reads_store: bool


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
        tree = _tree(con, text)
        facts = examine(tree, tables)
        check_now(tree)
        _shape(con, text, params)
        check_plan(_plan(con, text), text)  # EXPLAIN ANALYZE runs it
        _check_params(con, tree, params)
        return Prepared(f"{head}\n{text}", [], [], facts.reads_store)
    _refuse_other_types(statement)
    text = _without_terminator(statement.query)
    tree = _tree(con, text)
    facts = examine(tree, tables)
    check_now(tree)
    names, types = _shape(con, text, params)
    check_plan(_plan(con, text), text)
    _check_params(con, tree, params)
    sql = _projected(text, types, limit_rows + 1, as_text)
    examine(_tree(con, sql), tables)  # as it will be run: nothing of the text reaches beyond its parentheses
    return Prepared(sql, names, types, facts.reads_store)


def first_lines(error: duckdb.Error) -> str:
    """DuckDB's message without its stack trace."""
    return str(error).strip().split("\n\n")[0][:500]


def hint_for(error: duckdb.Error) -> str:
    """What to write instead; empty where nothing special is known."""
    text = str(error)
    if "TIMESTAMP_NS" in text and "WITH TIME ZONE" in text:
        return "stored times are UTC without a zone: write … AT TIME ZONE 'UTC'"
    if "Malformed JSON" in text and "Input: \"{'" in text:  # the text of a VARIANT
        return "attributes are VARIANT, not JSON: write attributes['http.route']::VARCHAR"
    return ""


def _with_line(error: duckdb.Error, lines_before: int = 0) -> str:
    """The message with the line of the user's text, which DuckDB names behind it."""
    line = _LINE.search(str(error))
    return first_lines(error) + (f" (line {int(line[1]) - lines_before})" if line else "")


def _only_statement(con: duckdb.DuckDBPyConnection, text: str) -> duckdb.Statement:
    started_s = process_time()
    try:
        statements = con.extract_statements(text)
    except duckdb.Error as error:
        raise InvalidInput(f"the SQL does not parse: {_with_line(error)}") from error
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
        raise RefusedQuery(
            f"{what}{statement.type.name} is refused: this access is read-only", hint=READ_ONLY_HINT
        )


def _without_terminator(text: str) -> str:
    """The statement up to its semicolon, so that it can stand in parentheses; comments may follow it."""
    encoded = text.encode()  # DuckDB's token places count bytes
    ends = [place for place, _ in duckdb.tokenize(text) if encoded[place : place + 1] == b";"]
    return encoded[: ends[0]].decode() if ends else text


def _split_explain(text: str) -> tuple[str, str]:
    """`EXPLAIN (FORMAT json) SELECT 1` → (`EXPLAIN (FORMAT json)`, `SELECT 1`)."""
    match = _EXPLAIN.match(text)
    if match is None:
        raise RefusedQuery(
            "this form of EXPLAIN is not known",
            hint="write EXPLAIN, EXPLAIN ANALYZE or EXPLAIN (FORMAT json)",
        )
    options = f" (FORMAT {match['format'].lower()})" if match["format"] else ""
    return f"EXPLAIN{' ANALYZE' if match['analyze'] else ''}{options}", text[match.end() :]


def _tree(con: duckdb.DuckDBPyConnection, text: str) -> Any:
    ((tree,),) = con.execute(_TREE_SQL, [text]).fetchall()
    try:
        return json.loads(tree)
    except RecursionError as error:
        raise RefusedQuery("the query is nested too deeply") from error


def _plan(con: duckdb.DuckDBPyConnection, text: str) -> Any:
    ((plan,),) = con.execute(_PLAN_SQL, [text]).fetchall()
    return json.loads(plan)


def _check_params(con: duckdb.DuckDBPyConnection, tree: Any, params: Params) -> None:
    """Refuses a value whose zone would be left out. A plan has no values of parameters: they are put in."""
    filled = with_values(tree, params)
    if filled is None:
        return
    ((text,),) = con.execute("SELECT json_deserialize_sql(?::JSON)", [json.dumps(filled)]).fetchall()
    plan = _plan(con, text)
    if not plan.get("error"):
        check_plan(plan, text)


def _shape(con: duckdb.DuckDBPyConnection, text: str, params: Params) -> tuple[list[str], list[str]]:
    """Column names and types, without running the query."""
    try:
        con.execute(f"SELECT * FROM (\n{text}\n) LIMIT 0", params)  # noqa: S608  # examined
    except duckdb.InternalException:
        raise
    except duckdb.Error as error:
        raise InvalidInput(_with_line(error, lines_before=1), hint=hint_for(error)) from error
    description = con.description or []
    con.fetchall()
    return [str(column[0]) for column in description], [str(column[1]) for column in description]


def _projected(text: str, types: list[str], limit_rows: int, as_text: bool) -> str:
    columns = ", ".join(expression(f"c{n}", kind, as_text=as_text) for n, kind in enumerate(types))
    names = ", ".join(f"c{number}" for number in range(len(types)))
    return f"SELECT {columns} FROM (\n{text}\n) AS q({names}) LIMIT {limit_rows}"  # noqa: S608  # as above
