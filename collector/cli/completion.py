"""Line editing of the SQL shell: history, and completion of tables, columns and keywords."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from collector.errors import SpyhopError

HISTORY_FILE = Path("~/.spyhop_history")
HISTORY_LINES = 1000
_WORD_ENDS = " \t\n,()=<>;+-*/'\"[]"
_KEYWORDS = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "BY",
    "ORDER",
    "LIMIT",
    "JOIN",
    "LEFT",
    "USING",
    "WITH",
    "HAVING",
    "DISTINCT",
    "COUNT",
    "QUANTILE_CONT",
    "DESCRIBE",
    "SUMMARIZE",
    "SHOW",
    "TABLES",
    "EXPLAIN",
    "AND",
    "OR",
    "NOT",
    "NULL",
    "INTERVAL",
    "BETWEEN",
    "ASC",
    "DESC",
]
_SCHEMA = "SELECT table_name, list(column_name ORDER BY column_index) AS columns FROM duckdb_columns()"
_SCHEMA += " WHERE NOT internal GROUP BY table_name ORDER BY table_name"

Schema = dict[str, list[str]]


class _Source(Protocol):
    def run(self, query: str, limit: int | None, *, as_text: bool = False) -> Any: ...


def complete(before: str, word: str, schema: Schema) -> list[str]:
    """What `word`, the last one of the statement so far, may become.

    Args:
        before: the statement up to `word`.
        schema: `{table: [column, …]}`.
    """
    if before.lstrip().startswith("\\d") or re.search(r"\b(from|join|describe|summarize)\s+$", before, re.I):
        return [table for table in schema if table.startswith(word.lower())]
    qualifier, dot, stem = word.rpartition(".")
    if dot:
        own = schema.get(_table_of(qualifier, before, schema), [])
        return [f"{qualifier}.{column}" for column in own if column.startswith(stem.lower())]
    named = [table for table in schema if re.search(rf"\b{re.escape(table)}\b", before)]
    columns = dict.fromkeys(column for table in named or schema for column in schema[table])
    found = [name for name in (*columns, *schema) if name.startswith(word.lower())]
    keywords = [key if word[:1].isupper() else key.lower() for key in _KEYWORDS]
    return [*found, *(key for key in keywords if word and key.lower().startswith(word.lower()))]


@contextmanager
def line_editing(source: _Source) -> Iterator[None]:
    """Readline for `input`, as long as the block runs."""
    import readline  # noqa: PLC0415  # missing on some systems, and only a terminal needs it

    path = HISTORY_FILE.expanduser()
    readline.set_history_length(HISTORY_LINES)
    with suppress(OSError):
        readline.read_history_file(path)
    readline.set_completer_delims(_WORD_ENDS)
    readline.set_completer(_completer(source, readline))
    readline.parse_and_bind(
        "bind ^I rl_complete" if "libedit" in (readline.__doc__ or "") else "tab: complete"
    )
    try:
        yield
    finally:
        readline.set_completer(None)
        with suppress(OSError):
            readline.write_history_file(path)


def _completer(source: _Source, readline: Any) -> Callable[[str, int], str | None]:
    @cache
    def schema() -> Schema:
        with suppress(SpyhopError):
            return {row["table_name"]: row["columns"] for row in source.run(_SCHEMA, None).table.to_pylist()}
        return {}

    def nth(word: str, number: int) -> str | None:
        found = complete(readline.get_line_buffer()[: readline.get_begidx()], word, schema())
        return found[number] if number < len(found) else None

    return nth


def _table_of(qualifier: str, statement: str, schema: Schema) -> str:
    """A table's own name, or what `FROM table AS qualifier` says."""
    if qualifier in schema:
        return qualifier
    aliased = re.search(rf"(\w+)\s+(?:as\s+)?{re.escape(qualifier)}\b", statement, re.I)
    return aliased.group(1) if aliased else ""
