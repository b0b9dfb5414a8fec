"""The options that `spyhop exchange run` and `history` share, and the settings that they override."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from exchange_ref.load.population import Population
    from exchange_ref.services.wallet import RetryPolicy
    from exchange_ref.settings import Settings

Otlp = Annotated[str | None, typer.Option(help="OTLP/gRPC endpoint, http://HOST:PORT.")]
# Defaults of what is an option alone: trades of a shop that mostly sells.
SEED = 7
TRANSFER_SHARE = 0.05
CANCEL_SHARE = 0.02

TransferShare = Annotated[float, typer.Option(min=0, max=0.4, help="Share of arrivals that are transfers.")]
CancelShare = Annotated[
    float, typer.Option(min=0, max=0.4, help="Share of arrivals that cancel a resting order.")
]
Broker = Annotated[str | None, typer.Option(help="Message broker: memory or amqp://…")]
Report = Annotated[Path | None, typer.Option(help="Write the final report to this file.")]
Seed = Annotated[int, typer.Option(help="Seed of the traders.")]
Gateway = Annotated[str | None, typer.Option(help="Address of the gateway, HOST:PORT.")]
ExchangeApi = Annotated[str | None, typer.Option(help="Address of the exchange API, HOST:PORT.")]
Data = Annotated[Path | None, typer.Option(help="Folder for database, journal and accepted orders.")]
Database = Annotated[
    str,
    typer.Option(
        help="postgresql://USER@HOST:PORT/NAME for the API's rows, its password in PGPASSWORD or ~/.pgpass; "
        "empty: SQLite in the data folder."
    ),
]
TraceUrl = Annotated[
    str,
    typer.Option(
        help="Where a trace is looked at, with {trace_id} for its id: the trading page links what was done "
        "there, e.g. http://127.0.0.1:8501/trace?id={trace_id}."
    ),
]
Traders = Annotated[
    str,
    typer.Option(
        help="Who trades: retail; professional, with market makers and arbitrage too; "
        "mixed, with whales and CFD gamblers."
    ),
]
ClientAttempts = Annotated[
    int, typer.Option(min=1, max=20, help="How often a client asks before it gives up, with back-off.")
]
ClientTimeout = Annotated[
    str | None, typer.Option(help="How long a client waits for one answer. Default: 10s.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the final report as JSON.")]


def override_settings(**given: object) -> Settings:
    """The exchange's settings with what the command line gave, e.g. `rate=50.0`; None stands for not given.

    Raises:
        InvalidUse: a value is out of its range; it names the option or the environment variable.
    """
    from pydantic import ValidationError

    from exchange_ref.errors import InvalidUse
    from exchange_ref.settings import Settings

    changes = {f"exchange_{name}": value for name, value in given.items() if value is not None}
    try:
        return Settings.model_validate({**Settings().model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        option = (
            "exchange-api" if name == "exchange_api" else name.removeprefix("exchange_").replace("_", "-")
        )
        where = f"--{option}" if name in changes else f"SPYHOP_{name.upper()}"
        raise InvalidUse(f"{where} {first['input']!r}: {first['msg']}") from None


def parse_seconds(option: str, text: str | None) -> float | None:
    """Seconds in the duration that an option gave; None when it was not given.

    Raises:
        InvalidUse: not a duration; it names the option.
    """
    from exchange_ref.durations import parse_duration
    from exchange_ref.errors import InvalidUse

    try:
        return parse_duration(text) if text is not None else None
    except ValueError as error:
        raise InvalidUse(f"{option} {error}") from None


def find_population(name: str) -> Population:
    """
    Raises:
        InvalidUse: there is none of that name.
    """
    from exchange_ref.errors import InvalidUse
    from exchange_ref.load.population import POPULATIONS

    if name not in POPULATIONS:
        raise InvalidUse(f"--traders {name!r} is not known; choose one of {', '.join(POPULATIONS)}")
    return POPULATIONS[name]


def retry_policy(attempts: int, timeout: str | None) -> RetryPolicy:
    """How patient clients are, from `--client-attempts` and `--client-timeout`."""
    from exchange_ref.services.wallet import RetryPolicy

    return RetryPolicy(attempts, parse_seconds("--client-timeout", timeout))
