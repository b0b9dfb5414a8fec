"""An empty copy of the store's tables and views in memory, with a vector of made-up rows in each.

A query that takes too much time or memory, or crashes, on a whole vector of rows does so here first, in a
process of its own.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from collector.sql.tree import CATALOG
from collector.store.lake import refresh_views
from collector.store.store import schema_texts

SAMPLE_ROWS = 2048  # one of DuckDB's vectors: functions are called with so many values at once
_MEMORY_LIMIT = "384MB"
_TABLES = """
SELECT table_name, list(column_name ORDER BY column_index), list(data_type ORDER BY column_index)
FROM duckdb_columns() WHERE NOT internal AND table_name IN (SELECT table_name FROM duckdb_tables())
GROUP BY table_name
"""


def sample_store() -> duckdb.DuckDBPyConnection:
    """A database in memory that answers as a store with few rows would, and can reach no file."""
    con = duckdb.connect(
        config={
            "python_enable_replacements": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "memory_limit": _MEMORY_LIMIT,
            "threads": 1,
            "temp_directory": "",
        }
    )
    con.execute("SET GLOBAL TimeZone = 'UTC'")
    con.execute(f"ATTACH ':memory:' AS {CATALOG}")  # a query cannot tell it from the store by its name
    con.execute(f"USE {CATALOG}")
    for text in schema_texts():
        con.execute(text)
    refresh_views(con, Path("/"))
    for table, columns, types in con.execute(_TABLES).fetchall():
        _fill(con, table, columns, types)
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")
    return con


def readable_names(con: duckdb.DuckDBPyConnection) -> frozenset[str]:
    """Lower-case names of all tables and views."""
    rows = con.execute(
        "SELECT table_name FROM duckdb_tables() WHERE NOT internal"
        " UNION SELECT view_name FROM duckdb_views() WHERE NOT internal"
    ).fetchall()
    return frozenset(name.lower() for (name,) in rows)


def _fill(con: duckdb.DuckDBPyConnection, table: str, columns: list[str], types: list[str]) -> None:
    if con.execute(f'SELECT count(*) FROM "{table}"').fetchall() != [(0,)]:  # noqa: S608  # our own names
        return  # a table of one row, which the schema made
    values = ", ".join(_value(name, kind) for name, kind in zip(columns, types, strict=True))
    con.execute(f'INSERT INTO "{table}" SELECT {values} FROM range({SAMPLE_ROWS}) AS rows(i)')  # noqa: S608  # names and values of the schema


def _value(name: str, kind: str) -> str:  # noqa: PLR0911  # one for each type
    """An SQL expression of `i` for a column; values differ from row to row, or DuckDB would compute once."""
    match kind:
        case "VARIANT":
            return "({'http.route': '/pay/' || i, 'amount': i * 1.5, 'retry': i % 2 = 0, 'n': i})::VARIANT"
        case "BLOB":  # a packed variant: no keys, and a text of four characters
            return "'\\x11\\x00\\x00\\x11'::BLOB || (1000 + i % 1000)::VARCHAR::BLOB"
        case "VARCHAR" | "JSON" if name in ("trace_id", "span_id", "parent_span_id"):
            return f"lpad(to_hex(i), {32 if name == 'trace_id' else 16}, '0')"
        case "JSON":
            return "('{\"a\": [' || i || ']}')::JSON"
        case "VARCHAR":
            return f"'{name[:8]}-' || i"
        case "TIMESTAMP_NS":
            return "make_timestamp_ns(1790000000000000000 + i * 1000000)"
        case "BOOLEAN":
            return "i % 2 = 0"
        case _ if kind.endswith("[]"):
            return f"[{_value(name, kind[:-2])}]"
        case _ if kind.startswith(("STRUCT", "MAP", "UNION", "ENUM")):
            return f"NULL::{kind}"
        case _:
            return f"(i % 100)::{kind}"
