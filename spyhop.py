"""Spyhop's command line: composes the packages' commands, and for `serve` their routers and workers."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from pydantic_settings import BaseSettings
from typer.core import TyperGroup

import collector.commands
import collector.settings
import dashboard.commands
import dashboard.settings
import datasets.commands
import datasets.export.settings
import detectors.settings
import exchange_ref.commands
import exchange_ref.settings
import llm.commands
import llm.settings
from collector.errors import InvalidInput, SpyhopError
from collector.setting_names import PREFIX, check_names, variables
from collector.visible import visible
from exchange_ref.durations import parse_duration
from exchange_ref.errors import ExchangeError

if TYPE_CHECKING:
    from fastapi import APIRouter

    from collector.server import Worker
    from collector.store.store import Store

EXIT_FAILURE = 1
EXIT_WRONG_USE = 2

SETTINGS: dict[str, type[BaseSettings]] = {
    "collector": collector.settings.Settings,
    "detectors": detectors.settings.Settings,
    "llm": llm.settings.Settings,
    "datasets": datasets.export.settings.Settings,
    "dashboard": dashboard.settings.Settings,
    "exchange": exchange_ref.settings.Settings,
}


class Spyhop(TyperGroup):
    """Turns the packages' expected errors into one line on standard error and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ValidationError as error:
            _fail(_setting_problem(error), EXIT_WRONG_USE)
        except InvalidInput as error:
            _fail(str(error), EXIT_WRONG_USE)
        except SpyhopError as error:
            _fail(str(error), EXIT_FAILURE)
        except ExchangeError as error:
            _fail(str(error), error.exit_code)


def _fail(message: str, code: int) -> NoReturn:
    shown = visible(message, keep="\n")
    typer.echo(f"spyhop: {shown}", err=True)
    raise typer.Exit(code)


def _setting_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    name = str(first["loc"][0]).upper().removeprefix(PREFIX)
    return f"{PREFIX}{name}={first['input']!r} cannot be used: {first['msg']}"


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
    # gRPC's C core writes lines of its own to standard error; what fails is said by us, once.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    check_names(os.environ, SETTINGS.values())
    if stop_with_parent:
        threading.Thread(target=_terminate_at_end_of_input, name="parent-watch", daemon=True).start()


def _terminate_at_end_of_input() -> None:
    # The parent holds the other end and never writes: the read returns only when the parent is gone.
    os.read(sys.stdin.fileno(), 1)
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
    with Progress(Console(stderr=as_json)) as progress:
        report = Demo(
            folder.resolve(), run_s=run_s, headless=headless, progress=progress, rate_per_s=rate
        ).run()
    if as_json:
        typer.echo(json.dumps(report.as_dict()))
    else:
        for line in report.lines():
            typer.echo(line)
        typer.echo(f"Ask in SQL:   spyhop sql --data {folder} 'FROM incidents'")
        typer.echo(f"Look again:   spyhop serve --data {folder}   and in another terminal: spyhop dashboard")
    raise typer.Exit(0 if report.every_fault_detected else EXIT_FAILURE)


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise InvalidInput(f"--for {text}", hint=str(error)) from error


@app.command()
def serve(
    *,
    data: Annotated[Path | None, typer.Option(help="Data folder; made when it is not there.")] = None,
    lake: Annotated[Path | None, typer.Option(help="Folder of Parquet files; servers may share it.")] = None,
    new_database: Annotated[
        bool, typer.Option("--new-database", help="Begin one beside the spool or lake of a lost one.")
    ] = False,
    otlp_grpc: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="OTLP/gRPC.")] = None,
    otlp_http: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="OTLP/HTTP.")] = None,
    api: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="HTTP API.")] = None,
) -> None:
    """Receive, store, detect and explain: the one process that owns the data folder."""
    # Modules make objects that stay: collecting among them takes 0.1 to 0.2 of 2.1 s until ready.
    gc.disable()
    import logging

    from collector.server import run

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    options = {"data": data, "lake": lake, "otlp_grpc": otlp_grpc, "otlp_http": otlp_http, "api": api}
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if new_database:
        given["new_database"] = True
    settings = collector.settings.Settings(**given)
    for group in ("detectors", "llm", "datasets"):
        SETTINGS[group]()  # a wrong value is refused before the database is opened
    try:
        run(settings, build_services, _say_addresses)
    finally:
        gc.enable()
    _leave()


def _leave() -> NoReturn:
    """End at once: all is closed, and DuckDB 2.0's binding calls its own module objects leaks at teardown."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def build_services(store: Store) -> tuple[Sequence[APIRouter], Sequence[Worker]]:
    import datasets.export.api
    import detectors.api.routes
    import llm.api
    from detectors.pipeline.worker import Pipeline
    from llm.automatic import AutomaticExplainer
    from llm.reviews.feedback import FeedbackBook
    from llm.service import Explainer

    gc.freeze()
    gc.enable()
    pipeline = Pipeline(store, detectors.settings.Settings())
    settings = llm.settings.Settings()
    explainer = Explainer(store, settings)
    routers = (
        detectors.api.routes.build_router(store, pipeline),
        llm.api.build_router(store, explainer, FeedbackBook(store), pipeline.expect_incident),
        datasets.export.api.build_router(store, datasets.export.settings.Settings()),
    )
    return routers, (pipeline, AutomaticExplainer(store, explainer, settings.llm_auto_severity))


def _say_addresses(addresses: dict[str, str]) -> None:
    typer.echo(f"OTLP/gRPC  {addresses['otlp_grpc']}")
    typer.echo(f"OTLP/HTTP  {addresses['otlp_http']}")
    typer.echo(f"HTTP API   {addresses['api']}")
    typer.echo("ready; stop with Ctrl-C")


@app.command("settings")
def list_settings() -> None:
    """Every setting, with its default and what it does; set them as environment variables."""
    from rich.console import Console
    from rich.table import Table

    table = Table("setting", "default", "what it does", box=None, header_style="bold")
    # The price list belongs to two groups: it stands in the last one that reads it.
    left = Counter(variable for model in SETTINGS.values() for variable in variables(model).values())
    for group, model in SETTINGS.items():
        table.add_section()
        table.add_row(f"[bold cyan]{group}[/]")
        for name, variable in variables(model).items():
            left[variable] -= 1
            if left[variable]:
                continue
            field = model.model_fields[name]
            default = field.get_default(call_default_factory=True)
            table.add_row(variable, "" if default is None else str(default), field.description)
    Console().print(table)


for package in (collector, exchange_ref, dashboard, llm, datasets):
    package.commands.register(app)


def main() -> None:
    app()


if __name__ == "__main__":
    main()
