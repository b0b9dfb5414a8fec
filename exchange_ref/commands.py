"""`spyhop exchange`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command("exchange")(exchange)


def exchange(
    *,
    otlp: Annotated[str | None, typer.Option(help="OTLP/gRPC endpoint, http://HOST:PORT.")] = None,
    rate: Annotated[float | None, typer.Option(help="Mean orders per second.")] = None,
    broker: Annotated[str | None, typer.Option(help="Message broker: memory.")] = None,
    faults: Annotated[Path | None, typer.Option(help="YAML schedule of faults.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Where the truth about each fault goes (JSON lines).")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write the final report to this file.")] = None,
    for_: Annotated[
        str | None, typer.Option("--for", help="Stop after this time: 60s, 2m. Default: never.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the traders.")] = None,
    gateway: Annotated[str | None, typer.Option(help="Address of the gateway, HOST:PORT.")] = None,
    exchange_api: Annotated[str | None, typer.Option(help="Address of the exchange API, HOST:PORT.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder for database, journal and accepted orders.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the final report as JSON.")] = False,
) -> None:
    """Run the reference crypto exchange with seeded traders, traced to an OTLP endpoint."""
    from pydantic import ValidationError

    from exchange_ref.durations import parse_duration
    from exchange_ref.errors import InvalidUse
    from exchange_ref.exchange import ExchangeConfig
    from exchange_ref.faults.schedule import Schedule, read_schedule
    from exchange_ref.run import RunOptions, prepare_report, run_exchange, write_report
    from exchange_ref.settings import Settings

    given = {
        "exchange_otlp": otlp,
        "exchange_rate": rate,
        "exchange_broker": broker,
        "exchange_seed": seed,
        "exchange_gateway": gateway,
        "exchange_api": exchange_api,
        "exchange_data": data,
    }
    try:
        settings = Settings.model_validate(
            {**Settings().model_dump(), **{name: value for name, value in given.items() if value is not None}}
        )
        duration_s = parse_duration(for_) if for_ is not None else None
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        where = (
            f"--{name.removeprefix('exchange_')}" if given.get(name) is not None else f"SPYHOP_{name.upper()}"
        )
        raise InvalidUse(f"{where} {first['input']!r}: {first['msg']}") from None
    except ValueError as error:
        raise InvalidUse(f"--for {error}") from None
    options = RunOptions(
        exchange=ExchangeConfig(
            data=settings.exchange_data,
            gateway=settings.exchange_gateway,
            api=settings.exchange_api,
            broker=settings.exchange_broker,
            order_ttl_s=settings.exchange_order_ttl_s,
        ),
        otlp=settings.exchange_otlp,
        rate_per_s=settings.exchange_rate,
        seed=settings.exchange_seed,
        schedule=read_schedule(faults) if faults is not None else Schedule(0, ()),
        labels=labels,
        duration_s=duration_s,
        span_queue=settings.exchange_span_queue,
        export_delay_ms=settings.exchange_export_delay_ms,
    )
    if report is not None:
        prepare_report(report)
    result = run_exchange(options, lambda line: print(line, file=sys.stderr, flush=True))
    if report is not None:
        write_report(report, result)
    if as_json:
        print(json.dumps(result))
    else:
        print(
            f"{result['orders_accepted']} of {result['orders_submitted']} orders accepted "
            f"in {result['seconds']} s, {result['spans_exported']} spans exported, "
            f"{result['spans_dropped']} dropped"
        )
