"""`spyhop export-db`: copies the rows of a range of time into a new DuckDB file.

The file has DuckDB's oldest format (1.0), so that any DuckDB opens it. Attributes and other values of any
type are JSON there. Rows are read up to one landed batch, whatever lands meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import duckdb
import pyarrow as pa

from collector.errors import InvalidInput, TooLarge
from collector.search.times import Range
from collector.sql.query import QueryResult
from collector.store.lake import quoted

STORAGE_VERSION = "v1.0.0"
# A page of spans is then some 50 MB; what is larger than the server sends at once is asked for in halves.
_PAGE_ROWS = 100_000


class Table(NamedTuple):
    """A table, and the column by which rows belong to a range. `has_batches`: it grows by landing."""

    name: str
    time_column: str
    has_batches: bool


TABLES = (
    Table("spans", "start_time", True),
    Table("logs", "time", True),
    Table("metrics", "time", True),
    Table("anomalies", "detected_at", False),
    Table("incidents", "opened_at", False),
)


class Source(Protocol):
    def run(self, query: str, limit: int | None, *, as_text: bool = False) -> QueryResult: ...


def export_db(
    source: Source,
    out: Path,
    span: Range,
    tables: Sequence[Table] = TABLES,
    on_page: Callable[[str, int], None] = lambda table, rows: None,
) -> dict[str, int]:
    """
    Args:
        span: rows whose time lies in it.
        on_page: called with the table and its rows so far.

    Returns:
        Rows by table.

    Raises:
        InvalidInput: the file exists, or cannot be made.
        TooLarge: one row is larger than the server sends.
    """
    if out.exists():
        raise InvalidInput(f"{out} exists", hint="name a file that does not")
    unfinished = out.with_name(f"{out.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    counts: dict[str, int] = {}
    con = duckdb.connect()
    try:
        try:
            con.execute(f"ATTACH {quoted(unfinished)} AS copy (STORAGE_VERSION {quoted(STORAGE_VERSION)})")
        except duckdb.Error as error:
            raise InvalidInput(f"{out} cannot be made", hint=str(error).splitlines()[0]) from error
        batch_id = _only_number(source, "SELECT max(batch_id) FROM landing_position")
        for table in tables:
            counts[table.name] = 0
            for page in _pages(source, table, span, batch_id):
                _insert(con, table.name, page, is_first=not counts[table.name])
                counts[table.name] += page.table.num_rows
                on_page(table.name, counts[table.name])
            if not counts[table.name]:
                _insert(con, table.name, source.run(_select(table, Range(0, 0), batch_id), 1), is_first=True)
        con.execute("DETACH copy")
    except BaseException:
        con.close()
        unfinished.unlink(missing_ok=True)
        raise
    con.close()
    os.replace(unfinished, out)
    return counts


def _pages(source: Source, table: Table, span: Range, batch_id: int) -> Iterator[QueryResult]:
    bounds = source.run(
        "SELECT epoch_ns(min(t)), epoch_ns(max(t)), count(*)"  # noqa: S608  # constant names, numbers
        f' FROM (SELECT "{table.time_column}" AS t FROM {table.name} WHERE {_within(table, span, batch_id)})',
        1,
    ).table.to_pylist()[0]
    first_ns, last_ns, count = bounds.values()
    if not count:
        return
    piece_ns = max(1, (last_ns - first_ns + 1) * _PAGE_ROWS // count)
    start_ns = first_ns
    while start_ns <= last_ns:
        end_ns = min(start_ns + piece_ns, last_ns + 1)
        yield from _piece(source, table, Range(start_ns, end_ns), batch_id)
        start_ns = end_ns


def _piece(source: Source, table: Table, span: Range, batch_id: int) -> Iterator[QueryResult]:
    page = source.run(_select(table, span, batch_id), 2 * _PAGE_ROWS)
    if not page.truncated:
        if page.table.num_rows:
            yield page
        return
    if span.until_ns - span.from_ns < 2:
        raise TooLarge(
            f"{table.name} has more rows at one moment ({span.from_ns} ns) than the server sends at once",
            hint="raise SPYHOP_SQL_LIMIT_BYTES at the server",
        )
    middle_ns = (span.from_ns + span.until_ns) // 2
    yield from _piece(source, table, Range(span.from_ns, middle_ns), batch_id)
    yield from _piece(source, table, Range(middle_ns, span.until_ns), batch_id)


def _select(table: Table, span: Range, batch_id: int) -> str:
    return (
        f"SELECT * FROM {table.name} WHERE {_within(table, span, batch_id)}"  # noqa: S608  # constant names
        f' ORDER BY "{table.time_column}"'
    )


def _within(table: Table, span: Range, batch_id: int) -> str:
    landed = f"batch_id <= {batch_id} AND " if table.has_batches else ""
    return (
        f'{landed}"{table.time_column}" >= make_timestamp_ns({span.from_ns})'
        f' AND "{table.time_column}" < make_timestamp_ns({span.until_ns})'
    )


def _insert(con: duckdb.DuckDBPyConnection, name: str, page: QueryResult, *, is_first: bool) -> None:
    columns = [
        column.cast(pa.timestamp("ns")) if pa.types.is_timestamp(column.type) else column
        for column in page.table.columns
    ]
    rows = pa.Table.from_arrays(columns, names=page.table.column_names)
    shown = ", ".join(
        f'"{column}"::JSON AS "{column}"' if "VARIANT" in kind or kind == "JSON" else f'"{column}"'
        for column, kind in zip(rows.column_names, page.types, strict=True)
    )
    con.register("page", rows)
    into = f"CREATE TABLE copy.{name} AS" if is_first else f"INSERT INTO copy.{name} BY NAME"
    con.execute(f"{into} SELECT {shown} FROM page")  # noqa: S608  # names of the schema
    con.unregister("page")


def _only_number(source: Source, query: str) -> int:
    (row,) = source.run(query, 1).table.to_pylist()
    return int(next(iter(row.values())) or 0)
