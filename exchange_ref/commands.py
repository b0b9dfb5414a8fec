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
    context: typer.Context = None,  # type: ignore[assignment]  # typer knows no optional one
    *,
    otlp: Annotated[str | None, typer.Option(help="OTLP/gRPC endpoint, http://HOST:PORT.")] = None,
    rate: Annotated[float | None, typer.Option(help="Mean orders per second.")] = None,
    transfer_share: Annotated[
        float | None, typer.Option(help="Share of arrivals that are transfers.")
    ] = None,
    cancel_share: Annotated[
        float | None, typer.Option(help="Share of arrivals that cancel an order.")
    ] = None,
    broker: Annotated[str | None, typer.Option(help="Message broker: memory or amqp://…")] = None,
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
    history: Annotated[
        str | None,
        typer.Option(help="Write so long a history until now instead (168h), at --rate orders a second."),
    ] = None,
    orders_per_hour: Annotated[
        float, typer.Option(min=1, help="Orders in an hour of --history; nights and weekends have fewer.")
    ] = 60.0,
    scenario: Annotated[
        str | None, typer.Option(help="Write a labelled incident folder instead: smoke, standard or hard.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The folder that --scenario writes.")] = None,
    split: Annotated[str, typer.Option(help="Which set of --scenario: tune or judge.")] = "tune",
    parallel: Annotated[
        int, typer.Option(min=1, max=16, help="So many runs of --scenario at the same time, a process each.")
    ] = 2,
    rhythm: Annotated[
        str | None,
        typer.Option(help="Let the rate follow day and week; how long a day lasts: 24h, or 10m to see it."),
    ] = None,
    bursts: Annotated[
        str | None, typer.Option(help="Now and then 2.5 times as many orders for 3 s; mean time between.")
    ] = None,
    traders: Annotated[
        str,
        typer.Option(
            help="Who trades: retail; professional, with market makers and arbitrage too; "
            "mixed, with whales and CFD gamblers."
        ),
    ] = "retail",
    client_attempts: Annotated[
        int, typer.Option(min=1, max=20, help="How often a client asks before it gives up, with back-off.")
    ] = 1,
    client_timeout: Annotated[
        str | None, typer.Option(help="How long a client waits for one answer. Default: 10s.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the final report as JSON.")] = False,
) -> None:
    """Run the reference crypto exchange with seeded traders, traced to an OTLP endpoint."""
    from pydantic import ValidationError

    from exchange_ref.errors import InvalidUse
    from exchange_ref.exchange import ExchangeConfig
    from exchange_ref.faults.schedule import Schedule, read_schedule
    from exchange_ref.load.arrivals import Mix
    from exchange_ref.load.population import POPULATIONS
    from exchange_ref.load.tides import Tide
    from exchange_ref.modes import check_options, given_options
    from exchange_ref.run import History, RunOptions, prepare_report, run_exchange, write_report
    from exchange_ref.services.wallet import RetryPolicy
    from exchange_ref.settings import Settings

    check_options(given_options(context))
    if traders not in POPULATIONS:
        raise InvalidUse(f"--traders {traders!r} is not known; choose one of {', '.join(POPULATIONS)}")
    if scenario is not None:
        _play_scenario(scenario, split, seed or 0, out, parallel=parallel, as_json=as_json)
        return
    given = {
        "exchange_otlp": otlp,
        "exchange_rate": rate,
        "exchange_transfer_share": transfer_share,
        "exchange_cancel_share": cancel_share,
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
        duration_s = _seconds("--for", for_)
        history_s = _seconds("--history", history)
        past = History(history_s, orders_per_hour) if history_s is not None else None
        tide = Tide(
            day_s=_seconds("--rhythm", rhythm) or 0.0, burst_every_s=_seconds("--bursts", bursts) or 0.0
        )
        retry = RetryPolicy(client_attempts, _seconds("--client-timeout", client_timeout))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        where = (
            f"--{name.removeprefix('exchange_').replace('_', '-')}"
            if given.get(name) is not None
            else f"SPYHOP_{name.upper()}"
        )
        raise InvalidUse(f"{where} {first['input']!r}: {first['msg']}") from None
    options = RunOptions(
        exchange=ExchangeConfig(
            data=settings.exchange_data,
            gateway=settings.exchange_gateway,
            api=settings.exchange_api,
            broker=settings.exchange_broker,
            order_ttl_s=settings.exchange_order_ttl_s,
            sampled_share=settings.exchange_sampled_share,
            price_seed=settings.exchange_seed,
            broker_command=settings.exchange_broker_command,
        ),
        otlp=settings.exchange_otlp,
        rate_per_s=settings.exchange_rate,
        seed=settings.exchange_seed,
        schedule=read_schedule(faults) if faults is not None else Schedule(0, ()),
        labels=labels,
        history=past,
        admin_token=settings.exchange_admin_token,
        mix=Mix(settings.exchange_transfer_share, settings.exchange_cancel_share),
        duration_s=duration_s,
        tide=tide,
        retry=retry,
        population=POPULATIONS[traders],
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


def _seconds(option: str, text: str | None) -> float | None:
    from exchange_ref.durations import parse_duration
    from exchange_ref.errors import InvalidUse

    try:
        return parse_duration(text) if text is not None else None
    except ValueError as error:
        raise InvalidUse(f"{option} {error}") from None


def _play_scenario(
    name: str, split: str, seed: int, out: Path | None, *, parallel: int, as_json: bool
) -> None:
    from exchange_ref.errors import ExchangeError, InvalidUse
    from exchange_ref.scenario.plan import SCENARIOS, Split
    from exchange_ref.scenario.run import play, say_on_stderr

    if name not in SCENARIOS:
        raise InvalidUse(f"--scenario {name!r} is not known; choose one of {', '.join(SCENARIOS)}")
    if split not in tuple(Split):
        raise InvalidUse(f"--split {split!r} is not known; choose one of {', '.join(Split)}")
    if out is None:
        raise InvalidUse("--scenario writes a folder; name it with --out DIR")
    summary = play(SCENARIOS[name], Split(split), seed, out, say_on_stderr, parallel=parallel)
    unverified = [str(label["fault_id"]) for label in summary["unverified"]]  # type: ignore[attr-defined]  # a list
    if as_json:
        print(json.dumps(summary))
    else:
        print(
            f"{out}: {summary['cases']} cases, {summary['traces']} traces, {summary['spans']} spans, "
            f"{summary['anomalous_traces']} anomalous traces"
        )
    disturbed = [str(label["fault_id"]) for label in summary["unclean"]]  # type: ignore[attr-defined]  # a list
    if unverified or disturbed:
        told = []
        if unverified:
            told.append(f"{', '.join(unverified)} had no measurable effect and are no cases")
        if disturbed:
            told.append(f"something else changed during {', '.join(disturbed)}: was the machine busy?")
        raise ExchangeError(f"{'; '.join(told)}; see {out / 'scenario.json'}")
