"""`spyhop sql`, `search`, `export-db` and `replay`."""

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
    PARQUET = "parquet"


Api = Annotated[str | None, typer.Option(help="The server's URL; default SPYHOP_API.")]
DataFolder = Annotated[
    Path | None, typer.Option(help="Read this data folder directly; no server may own it.")
]
Start = Annotated[str | None, typer.Option(help="Instead of --since: a time, ISO 8601.")]


def register(app: typer.Typer) -> None:
    """Add the collector's commands."""

    @app.command()
    def sql(
        query: Annotated[str | None, typer.Argument(help="One read-only statement; a shell without.")] = None,
        output: Annotated[Format, typer.Option("--format", help="How rows are printed.")] = Format.TABLE,
        api: Api = None,
        data: DataFolder = None,
        limit: Annotated[int | None, typer.Option(help="Most rows to print.", min=0)] = None,
    ) -> None:
        """Query traces, logs, metrics and anomalies with SQL, read-only."""
        from collector.cli.shell import open_source, print_rows, run_shell

        with open_source(api, data) as source:
            if query is not None:
                print_rows(source, query, output.value, limit, sys.stdout)
            else:
                run_shell(source, output.value, limit, sys.stdout)

    @app.command()
    def search(
        query: Annotated[
            str, typer.Argument(help="""e.g. '{ resource.service.name = "shop" && duration > 500ms }'.""")
        ],
        *,
        since: Annotated[str | None, typer.Option(help="So long back: 15m, 2h, 7d; an hour without.")] = None,
        start: Start = None,
        end: Annotated[str | None, typer.Option(help="A time, ISO 8601; now without.")] = None,
        limit: Annotated[int, typer.Option(help="Most traces.", min=1, max=1000)] = 20,
        as_json: Annotated[bool, typer.Option("--json", help="Print the API's answer.")] = False,
        api: Api = None,
        data: DataFolder = None,
    ) -> None:
        """Find traces, newest first, in a subset of TraceQL (docs/search.md)."""
        from collector.cli.search import run_search

        asked = {"q": query, "since": since, "start": start, "end": end, "limit": limit}
        run_search(asked, api=api, data=data, as_json=as_json, out=sys.stdout)

    @app.command("export-db")
    def export_db(
        out: Annotated[Path, typer.Argument(metavar="FILE", help="DuckDB file to make.")],
        *,
        since: Annotated[str | None, typer.Option(help="So long back: 15m, 2h, 7d; all without.")] = None,
        start: Start = None,
        end: Annotated[str | None, typer.Option(help="A time, ISO 8601; whatever there is without.")] = None,
        api: Api = None,
        data: DataFolder = None,
    ) -> None:
        """Copy spans, logs, metrics, anomalies and incidents into a file that any DuckDB opens."""
        import time

        from collector.cli.export_db import export_db as copy
        from collector.cli.shell import open_source
        from collector.search.times import LAST_NS, Range, range_of

        now_ns = time.time_ns()
        span = range_of(start or (None if since else "0"), end, since, now_ns=now_ns)
        if end is None:
            span = Range(span.from_ns, LAST_NS)
        with open_source(api, data) as source:
            counts = copy(source, out, span)
        rows = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        print(f"{out}: {rows}")

    @app.command()
    def replay(
        paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Files, or folders of files.")],
        to: Annotated[
            str | None,
            typer.Option("--to", metavar="URL", help="OTLP/HTTP address; SPYHOP_OTLP_HTTP without."),
        ] = None,
    ) -> None:
        """Send files of telemetry again: OTLP JSON lines, OTLP protobuf, Jaeger, Tempo and Zipkin JSON.

        Exits with 1 if anything in them was refused, or nothing was sent; the rest is sent all the same.
        """
        from collector.replay.command import run_replay

        report = run_replay(paths, to)
        if report.refused or not report.sent.total():
            raise typer.Exit(1)
