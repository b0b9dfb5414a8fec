"""`spyhop sql`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    ARROW = "arrow"


def register(app: typer.Typer) -> None:
    """Add the collector's commands."""

    @app.command()
    def sql(
        query: Annotated[str | None, typer.Argument(help="One read-only statement; a shell without.")] = None,
        output: Annotated[Format, typer.Option("--format", help="How rows are printed.")] = Format.TABLE,
        api: Annotated[str | None, typer.Option(help="The server's URL; default SPYHOP_API.")] = None,
        data: Annotated[
            Path | None, typer.Option(help="Read this data folder directly; no server may own it.")
        ] = None,
        limit: Annotated[int | None, typer.Option(help="Most rows to print.", min=0)] = None,
    ) -> None:
        """Query traces, logs, metrics and anomalies with SQL, read-only."""
        from collector.errors import InvalidInput
        from collector.shell import open_source, print_result, run_shell

        if api is not None and data is not None:
            raise InvalidInput("--api and --data exclude each other", hint="give one of them")
        with open_source(api, data) as source:
            if query is not None:
                print_result(source.run(query, limit), output.value, sys.stdout)
            else:
                run_shell(source, output.value, limit, sys.stdout)
