"""Forms of spans in the store: rows that add up."""

from __future__ import annotations

from collections.abc import Iterable

import duckdb
import pyarrow as pa

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.baseline.forms import FormBook, FormRow
from detectors.model.operation import Operation

_QUERIES = "detectors.baseline.queries"
_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("service_name", "operation", "span_kind")),
        *((name, pa.string()) for name in ("aspect", "callee", "form")),
        ("sample_count", pa.int64()),
    ]
)


def load_forms(store: Store) -> FormBook:
    """All forms that were ever learned."""
    book = FormBook()
    for row in store.read(load_sql(_QUERIES, "read_forms")).to_pylist():
        operation = Operation.of(row)
        book.add(FormRow(operation, row["aspect"], row["callee"], row["form"], row["sample_count"]))
    return book


def append_forms(con: duckdb.DuckDBPyConnection, rows: Iterable[FormRow]) -> None:
    columns = [(*row.operation, *row[1:]) for row in rows]
    if not columns:
        return
    table = pa.table(dict(zip(_SCHEMA.names, map(list, zip(*columns, strict=True)), strict=True)), _SCHEMA)
    con.register("learned_forms", table)
    con.execute(load_sql(_QUERIES, "append_forms"))
    con.unregister("learned_forms")


def compact_forms(con: duckdb.DuckDBPyConnection) -> None:
    for statement in con.extract_statements(load_sql(_QUERIES, "compact_forms")):
        con.execute(statement)
