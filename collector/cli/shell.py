"""`spyhop sql`: a source of rows, five formats to print them in, and a small shell."""

from __future__ import annotations

import io
import os
import pydoc
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from time import monotonic
from typing import IO, NamedTuple, Protocol

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from collector.cli.completion import line_editing
from collector.client import Client
from collector.errors import DataFolderInUse, DataFolderUnusable, InvalidInput, SpyhopError
from collector.http.address import parse_address
from collector.settings import Settings
from collector.sql import render
from collector.sql.columns import is_number
from collector.sql.query import TYPE_KEY, QueryResult, QueryRunner
from collector.sql.route import bounds_of
from collector.store.database_files import DATABASE_FILE_NAME
from collector.store.store import Store
from collector.visible import visible

BINARY = ("arrow", "parquet")
CELL_MAX_CHARS = 80  # a trace's attributes or an incident's causes would push every other column out of sight
_SHELL_HELP = (
    "End a statement with ; · TAB completes · \\d lists tables · \\d NAME describes one · \\q leaves"
)


class Source(Protocol):
    """Where rows come from."""

    def run(self, query: str, limit: int | None, *, as_text: bool = False) -> QueryResult: ...


class ServerSource(NamedTuple):
    """A running server."""

    client: Client
    settings: Settings

    def run(self, query: str, limit: int | None, *, as_text: bool = False) -> QueryResult:
        started_s = monotonic()
        limit_rows = self.settings.sql_max_rows if limit is None else limit
        content, is_truncated = self.client.sql_arrow(query, limit=limit_rows, as_text=as_text)
        with pa.ipc.open_stream(content) as reader:
            table = reader.read_all()
        types = [(field.metadata or {}).get(TYPE_KEY, b"").decode() for field in table.schema]
        return QueryResult(table, types, is_truncated, (monotonic() - started_s) * 1000)


class FolderSource(NamedTuple):
    """A data folder that no process owns."""

    queries: QueryRunner
    settings: Settings

    def run(self, query: str, limit: int | None, *, as_text: bool = False) -> QueryResult:
        limit_rows = self.settings.sql_max_rows if limit is None else limit
        return self.queries.run(query, limit_rows=limit_rows, as_text=as_text)


@contextmanager
def open_source(api: str | None, data: Path | None) -> Iterator[ServerSource | FolderSource]:
    """The server at `api`, or the folder `data` or its owner, or the server that the settings name.

    Raises:
        InvalidInput: both are given.
        DataFolderUnusable: `data` holds no database.
        DataFolderInUse: another process owns it and serves no API.
    """
    if api is not None and data is not None:
        raise InvalidInput("--api and --data exclude each other", hint="give one of them")
    settings = Settings()
    url = api or settings.api
    if data is not None:
        if not (data.expanduser() / DATABASE_FILE_NAME).exists():
            raise DataFolderUnusable(
                f"{data} holds no {DATABASE_FILE_NAME}", hint="name a folder that `spyhop serve --data` wrote"
            )
        try:
            store = Store.open(data)
        except DataFolderInUse as error:
            if not error.details.get("api"):
                raise
            url = str(error.details["api"])
        else:
            try:
                with QueryRunner(store, bounds_of(settings)) as queries:
                    yield FolderSource(queries, settings)
            finally:
                store.close()
            return
    with Client(
        url if "://" in url else parse_address(url).url, timeout_s=settings.sql_timeout_s + 5
    ) as client:
        yield ServerSource(client, settings)


def print_rows(source: Source, query: str, output: str, limit: int | None, out: IO[str]) -> QueryResult:
    """Run a statement and print its rows as `table`, `json`, `csv`, or for a pipe as `arrow` or `parquet`."""
    result = source.run(query, limit, as_text=output not in BINARY)
    match output:
        case "json":
            _write_text(render.json_objects(result), out)
        case "csv":
            _write_text(render.csv(result), out)
        case "arrow":
            _buffer(out).writelines(render.arrow_stream(result))
        case "parquet":
            _buffer(out).write(render.parquet(result))
        case _:
            _print_table(result, out)
    if result.truncated:
        sys.stderr.write(f"only the first {result.table.num_rows} rows; see more with --limit\n")
    return result


def _write_text(pieces: Iterable[bytes], out: IO[str]) -> None:
    """The text as it is stored for a pipe or a file; on a terminal without characters that steer it."""
    shown = out.isatty() or isinstance(out, _Page)
    for piece in pieces:
        text = piece.decode()
        out.write(visible(text, keep="\n\r\t") if shown else text)


def _buffer(out: IO[str]) -> IO[bytes]:
    return getattr(out, "buffer", None) or io.BytesIO()


def run_shell(source: Source, output: str, limit: int | None, out: IO[str]) -> None:
    """Read statements up to a `;` and print their rows, until end of input or `\\q`."""
    interactive = sys.stdin.isatty()
    with line_editing(source) if interactive else nullcontext():
        if interactive:
            out.write(_SHELL_HELP + "\n")
        for statement in _statements(interactive):
            started_s = monotonic()
            try:
                result = show(source, _expanded(statement), output, limit, out)
            except SpyhopError as error:
                out.write(f"{error}\n")
                continue
            except KeyboardInterrupt:
                if not interactive:
                    raise
                out.write("stopped\n")
                continue
            if interactive:
                out.write(f"{result.table.num_rows} rows, {(monotonic() - started_s) * 1000:.0f} ms\n")


def _statements(interactive: bool) -> Iterator[str]:
    lines: list[str] = []
    while True:
        try:
            line = input(("spyhop> " if not lines else "   ...> ") if interactive else "")
        except EOFError:
            break
        except KeyboardInterrupt:
            lines = []
            continue
        if not lines and line.strip() in ("\\q", "exit", "quit"):
            return
        if not lines and line.startswith("\\"):
            yield line.strip()
            continue
        lines.append(line)
        if line.rstrip().endswith(";"):
            yield "\n".join(lines)
            lines = []
    if any(line.strip() for line in lines):
        yield "\n".join(lines)


def _expanded(statement: str) -> str:
    if not statement.startswith("\\d"):
        return statement
    name = statement[2:].strip().strip(";")
    return f'DESCRIBE "{name}"' if name else "SHOW TABLES"


def show(source: Source, query: str, output: str, limit: int | None, out: IO[str]) -> QueryResult:
    """`print_rows`; through the pager ($PAGER, else less) where a terminal is too low for them."""
    if output in BINARY or not out.isatty():
        return print_rows(source, query, output, limit, out)
    size = shutil.get_terminal_size()
    text = _Page(size.columns)
    result = print_rows(source, query, output, limit, text)
    if text.getvalue().count("\n") < size.lines:
        out.write(text.getvalue())
    else:
        os.environ.setdefault("LESS", "-SFRX")  # long lines scroll sideways, what fits is not paged
        pydoc.pager(text.getvalue())
    return result


class _Page(io.StringIO):
    """Text that is laid out for a terminal."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.columns = columns


def _print_table(result: QueryResult, out: IO[str]) -> None:
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    for field, kind in zip(result.table.schema, result.types, strict=True):
        is_right = pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or is_number(kind)
        table.add_column(visible(field.name), justify="right" if is_right else "left", overflow="fold")
    cut_count = 0
    for row in render.texts(result):
        shown = ["" if text is None else visible(text) for text in row]
        cut_count += sum(len(text) > CELL_MAX_CHARS for text in shown)
        table.add_row(*(_cut(text) for text in shown))
    console = Console(
        file=out,
        width=out.columns if isinstance(out, _Page) else None if out.isatty() else 10_000,
        markup=False,
        highlight=False,
        soft_wrap=not (out.isatty() or isinstance(out, _Page)),
    )
    console.print(table)
    if cut_count:
        sys.stderr.write(f"{cut_count} long values are cut at …; --format json or csv shows them whole\n")


def _cut(text: str) -> str:
    return text if len(text) <= CELL_MAX_CHARS else text[: CELL_MAX_CHARS - 1] + "…"
