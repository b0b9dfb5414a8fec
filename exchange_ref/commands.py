"""`spyhop exchange run`, `history`, `scenario` and `audit`."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from exchange_ref.command_options import (
    CANCEL_SHARE,
    SEED,
    TRANSFER_SHARE,
    AsJson,
    Broker,
    CancelShare,
    ClientAttempts,
    ClientTimeout,
    Data,
    Database,
    ExchangeApi,
    Gateway,
    Otlp,
    Report,
    Seed,
    TraceUrl,
    Traders,
    TransferShare,
    find_population,
    override_settings,
    parse_seconds,
    retry_policy,
)

if TYPE_CHECKING:
    from exchange_ref.exchange import ExchangeConfig
    from exchange_ref.run import RunOptions
    from exchange_ref.services.wallet import RetryPolicy
    from exchange_ref.settings import Settings


class RunByDefault(TyperGroup):
    """`spyhop exchange --rate 50` is `spyhop exchange run --rate 50`.

    `--scenario NAME` and `--history LENGTH` were options once; scripts that give them go on working.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _with_subcommand(args))


def _with_subcommand(args: list[str]) -> list[str]:
    """
    >>> _with_subcommand(["--rate", "50"]), _with_subcommand(["--out", "x", "--scenario", "smoke"])
    (['run', '--rate', '50'], ['scenario', 'smoke', '--out', 'x'])
    """
    if args and (not args[0].startswith("-") or args[0] == "--help"):
        return args
    for name in ("scenario", "history"):
        if f"--{name}" in args:
            at = args.index(f"--{name}")
            return [name, *args[at + 1 : at + 2], *args[:at], *args[at + 2 :]]
    return ["run", *args]


def register(app: typer.Typer) -> None:
    """Add the exchange's commands."""
    group = typer.Typer(cls=RunByDefault, help="The reference crypto exchange, traced to an OTLP endpoint.")
    for command in (run, history, scenario, audit):
        group.command()(command)
    app.add_typer(group, name="exchange")


def run(
    *,
    otlp: Otlp = None,
    rate: Annotated[float | None, typer.Option(help="Mean orders per second.")] = None,
    transfer_share: TransferShare = TRANSFER_SHARE,
    cancel_share: CancelShare = CANCEL_SHARE,
    broker: Broker = None,
    faults: Annotated[Path | None, typer.Option(help="YAML schedule of faults.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Where the truth about each fault goes (JSON lines).")
    ] = None,
    report: Report = None,
    for_: Annotated[
        str | None, typer.Option("--for", help="Stop after this time: 60s, 2m. Default: never.")
    ] = None,
    seed: Seed = SEED,
    gateway: Gateway = None,
    exchange_api: ExchangeApi = None,
    data: Data = None,
    database: Database = "",
    trace_url: TraceUrl = "",
    rhythm: Annotated[
        str | None,
        typer.Option(help="Let the rate follow day and week; how long a day lasts: 24h, or 10m to see it."),
    ] = None,
    bursts: Annotated[
        str | None, typer.Option(help="Now and then 2.5 times as many orders for 3 s; mean time between.")
    ] = None,
    traders: Traders = "retail",
    customers: Annotated[
        float, typer.Option(min=0, max=200, help="What four people with accounts do in a second.")
    ] = 0.0,
    client_attempts: ClientAttempts = 1,
    client_timeout: ClientTimeout = None,
    as_json: AsJson = False,
) -> None:
    """Trade now, with seeded traders, until a time or a signal."""
    from exchange_ref.faults.schedule import Schedule, read_schedule
    from exchange_ref.load.arrivals import Mix
    from exchange_ref.load.tides import Tide

    settings = override_settings(
        otlp=otlp, rate=rate, broker=broker, gateway=gateway, api=exchange_api, data=data
    )
    options = _options(settings, seed, traders, retry_policy(client_attempts, client_timeout))
    options = replace(
        options,
        exchange=replace(options.exchange, database=database, trace_url=trace_url),
        mix=Mix(transfer_share, cancel_share),
        schedule=read_schedule(faults) if faults is not None else Schedule(0, ()),
        labels=labels,
        customers_per_s=customers,
        duration_s=parse_seconds("--for", for_),
        tide=Tide(
            day_s=parse_seconds("--rhythm", rhythm) or 0.0,
            burst_every_s=parse_seconds("--bursts", bursts) or 0.0,
        ),
    )
    _run_and_report(options, report, as_json=as_json)


def history(
    length: Annotated[str, typer.Argument(help="How much of the past, until now: 24h, 168h.")],
    *,
    orders_per_hour: Annotated[
        float, typer.Option(min=1, help="Orders in an hour of a working day; nights and weekends have fewer.")
    ] = 60.0,
    otlp: Otlp = None,
    rate: Annotated[
        float | None, typer.Option(help="Orders executed per second, now, whatever they are dated.")
    ] = None,
    transfer_share: TransferShare = TRANSFER_SHARE,
    cancel_share: CancelShare = CANCEL_SHARE,
    broker: Broker = None,
    report: Report = None,
    seed: Seed = SEED,
    gateway: Gateway = None,
    exchange_api: ExchangeApi = None,
    data: Data = None,
    database: Database = "",
    traders: Traders = "retail",
    client_attempts: ClientAttempts = 1,
    client_timeout: ClientTimeout = None,
    as_json: AsJson = False,
) -> None:
    """Write a past that a baseline can be learned from: orders executed now, their spans dated back."""
    from exchange_ref.errors import InvalidUse
    from exchange_ref.load.arrivals import Mix
    from exchange_ref.run import History

    duration_s = parse_seconds("history", length)
    if duration_s is None:
        raise InvalidUse("history needs a length such as 24h")
    settings = override_settings(
        otlp=otlp, rate=rate, broker=broker, gateway=gateway, api=exchange_api, data=data
    )
    options = _options(settings, seed, traders, retry_policy(client_attempts, client_timeout))
    options = replace(
        options,
        exchange=replace(options.exchange, database=database),
        mix=Mix(transfer_share, cancel_share),
        history=History(duration_s, orders_per_hour),
    )
    _run_and_report(options, report, as_json=as_json)


def scenario(
    name: Annotated[str, typer.Argument(help="smoke, standard, accounts, hard, saturated or stopped.")],
    *,
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    split: Annotated[str, typer.Option(help="Which set: tune or judge.")] = "tune",
    seed: Annotated[int, typer.Option(help="Seed of plan and traders.")] = 0,
    parallel: Annotated[
        int, typer.Option(min=1, max=16, help="So many runs at the same time, a process each.")
    ] = 2,
    as_json: AsJson = False,
) -> None:
    """Write a folder of labelled incidents: ordinary traces, and each fault with its truth."""
    from exchange_ref.errors import ExchangeError, InvalidUse
    from exchange_ref.scenario.plan import SCENARIOS, Split
    from exchange_ref.scenario.run import play, say_on_stderr

    if name not in SCENARIOS:
        raise InvalidUse(f"scenario {name!r} is not known; choose one of {', '.join(SCENARIOS)}")
    if split not in tuple(Split):
        raise InvalidUse(f"--split {split!r} is not known; choose one of {', '.join(Split)}")
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


def audit(
    *,
    data: Data = None,
    user: Annotated[str | None, typer.Option(help="Of this user alone, such as trader-01.")] = None,
) -> None:
    """Print every change of every balance as JSON lines, from the journal; also while the exchange runs."""
    from exchange_ref.engine.audit import entries
    from exchange_ref.errors import InvalidUse

    path = override_settings(data=data).exchange_data / "journal.jsonl"
    if not path.exists():
        raise InvalidUse(f"{path} does not exist; give the exchange's folder with --data")
    for entry in entries(path):
        if user in (None, entry["user_id"]):
            print(json.dumps(entry))


def _config(settings: Settings, seed: int) -> ExchangeConfig:
    from exchange_ref.exchange import ExchangeConfig

    return ExchangeConfig(
        data=settings.exchange_data,
        gateway=settings.exchange_gateway,
        api=settings.exchange_api,
        broker=settings.exchange_broker,
        price_seed=seed,
        broker_command=settings.exchange_broker_command,
        admin_token=settings.exchange_admin_token,
    )


def _options(settings: Settings, seed: int, traders: str, retry: RetryPolicy) -> RunOptions:
    """What all runs have in common."""
    from exchange_ref.run import RunOptions

    return RunOptions(
        exchange=_config(settings, seed),
        otlp=settings.exchange_otlp,
        rate_per_s=settings.exchange_rate,
        seed=seed,
        admin_token=settings.exchange_admin_token,
        retry=retry,
        population=find_population(traders),
    )


def _run_and_report(options: RunOptions, report: Path | None, *, as_json: bool) -> None:
    from exchange_ref.run import prepare_report, run_exchange, write_report

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
