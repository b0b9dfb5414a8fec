"""Spyhop's command line: composes the packages' commands, and for `serve` each package's API and workers."""

from __future__ import annotations

import os
import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import collector.commands
import datasets.commands
import exchange_ref.commands
import llm.commands
import typer
from pydantic import ValidationError
from typer.core import TyperGroup

import dashboard.commands
from collector.errors import InvalidInput, SpyhopError
from collector.settings import check_names
from exchange_ref.durations import parse_duration
from exchange_ref.errors import ExchangeError

EXIT_FAILURE = 1
EXIT_WRONG_USE = 2


class Spyhop(TyperGroup):
    """Turns the packages' expected errors into one line on standard error and an exit code."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override] # typer's own context class is private
        try:
            return super().invoke(ctx)
        except ValidationError as error:
            first = error.errors()[0]
            name = "_".join(str(part) for part in first["loc"]).upper()
            _fail(f"setting SPYHOP_{name}={first['input']!r}: {first['msg']}", EXIT_WRONG_USE)
        except InvalidInput as error:
            _fail(str(error), EXIT_WRONG_USE)
        except (SpyhopError, ExchangeError) as error:
            _fail(str(error), EXIT_FAILURE)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"spyhop: {message}", err=True)
    raise typer.Exit(code)


app = typer.Typer(
    cls=Spyhop,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="DuckDB-native observability: OpenTelemetry in, explained anomalies and training data out.",
)


@app.callback()
def prepare(
    stop_with_parent: Annotated[
        bool, typer.Option("--stop-with-parent", hidden=True, help="End when standard input closes.")
    ] = False,
) -> None:
    check_names(os.environ)
    if stop_with_parent:
        threading.Thread(target=_terminate_at_end_of_input, name="parent-watch", daemon=True).start()


def _terminate_at_end_of_input() -> None:
    # The parent holds the other end and never writes: the read returns only when the parent is gone.
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


@app.command()
def demo(
    run_for: Annotated[
        str | None, typer.Option("--for", metavar="60s", help="How long to send load; until Ctrl-C without.")
    ] = None,
    headless: Annotated[bool, typer.Option("--headless", help="Do not open a browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder to create; spyhop-data/demo-<time> without.")
    ] = None,
    rate: Annotated[float, typer.Option("--rate", min=1, max=500, help="Orders per second.")] = 50.0,
) -> None:
    """Everything at once: a crypto exchange, its faults, their detection and explanation, the dashboard.

    Exits with 0 only if every injected fault was detected.
    """
    import json

    from rich.console import Console

    from dashboard.demo.progress import Progress
    from dashboard.demo.run import Demo

    run_s = None if run_for is None else _seconds(run_for)
    folder = data or Path("spyhop-data") / f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    console = Console(stderr=as_json)
    with Progress(console) as progress:
        report = Demo(
            folder.resolve(), run_s=run_s, headless=headless, progress=progress, rate_per_s=rate
        ).run()
    if as_json:
        typer.echo(json.dumps(report.as_dict()))
    else:
        for line in report.lines():
            typer.echo(line)
        typer.echo(f"Look closer: spyhop sql --data {folder} 'FROM incidents'")
    raise typer.Exit(0 if report.every_fault_detected else EXIT_FAILURE)


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise InvalidInput(f"--for {text}: {error}") from error


for package in (collector, exchange_ref, dashboard, llm, datasets):
    package.commands.register(app)


def main() -> None:
    app()


if __name__ == "__main__":
    main()
