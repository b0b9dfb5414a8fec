"""`spyhop exchange`: start, wait for the OTLP endpoint, load and faults, drain, report."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from exchange_ref.errors import InvalidUse
from exchange_ref.exchange import Exchange, ExchangeConfig
from exchange_ref.faults.fault import Target
from exchange_ref.faults.labels import LabelFile
from exchange_ref.faults.runner import FaultRunner
from exchange_ref.faults.schedule import Schedule
from exchange_ref.load.arrivals import ORDERS_ONLY, Load, Mix, wait_for_event
from exchange_ref.load.customers import Customers
from exchange_ref.load.history import play_back
from exchange_ref.load.population import RETAIL, Population
from exchange_ref.load.rhythm import arrivals as busy_arrivals
from exchange_ref.load.tides import MONDAY_UNIX_NANO, NO_TIDE, REAL_DAY_S, Tide, follow
from exchange_ref.load.traders import Traders
from exchange_ref.services.admin import Admin
from exchange_ref.services.market_data import market_data
from exchange_ref.services.wallet import ONE_ATTEMPT, RetryPolicy
from exchange_ref.telemetry.otlp_bytes import BytesSpanExporter
from exchange_ref.telemetry.outputs import Exporters, Outputs

logger = logging.getLogger(__name__)

OTLP_WAIT_S = 15.0
OTLP_POLL_S = 0.1
METRIC_INTERVAL_MS = 5_000
# A person who stopped the exchange waits for this; one who gave it a time does not mind a little longer.
SIGNAL_DRAIN_S = 0.7
TIMED_DRAIN_S = 10.0


@dataclass(frozen=True, slots=True)
class History:
    """So many seconds until now, with so many orders in an hour of a working day."""

    duration_s: float
    orders_per_hour: float


@dataclass(frozen=True, slots=True)
class RunOptions:
    """
    Args:
        otlp: the endpoint to wait for; None when spans go elsewhere.
        history: days to write instead of a load of the present.
        admin_token: opens `/admin/` at the gateway; empty for not.
        duration_s: how long the load lasts; None until a signal.
        labels: where fault labels go; None for `labels.jsonl` in the data folder.
        tide: how the load changes by itself; a history has a rhythm of its own.
        retry: how patient the clients are.
        population: who trades besides retail.
        beside: begins with the load and is awaited after it; the event says that the load ends.
        customers_per_s: what people with accounts do in a second; 0 for nobody.
    """

    exchange: ExchangeConfig
    otlp: str | None
    rate_per_s: float
    seed: int
    schedule: Schedule = field(default_factory=lambda: Schedule(0, ()))
    labels: Path | None = None
    duration_s: float | None = None
    span_queue: int = 20_000
    export_delay_ms: int = 200
    otlp_wait_s: float = OTLP_WAIT_S
    mix: Mix = ORDERS_ONLY
    admin_token: str = ""
    history: History | None = None
    tide: Tide = NO_TIDE
    retry: RetryPolicy = ONE_ATTEMPT
    population: Population = RETAIL
    beside: Callable[[asyncio.Event], Awaitable[None]] | None = None
    customers_per_s: float = 0.0


def run_exchange(options: RunOptions, say: Callable[[str], None]) -> dict[str, object]:
    """Run until the time is over or a signal comes; returns the report."""
    # The exporter's own retries log a line each; what is lost is counted and warned of once.
    for name in ("opentelemetry", "aio_pika", "aiormq"):  # the same for connections that come back
        logging.getLogger(name).setLevel(logging.CRITICAL)
    assert options.otlp is not None
    parse_otlp(options.otlp)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(run_until(options, _otlp_exporters(options), say))


def _otlp_exporters(options: RunOptions) -> Exporters:
    """A history is spans alone: its logs and metrics would be dated now."""
    endpoint = options.otlp
    if options.history is not None:
        return Exporters(BytesSpanExporter(endpoint))
    return Exporters(
        BytesSpanExporter(endpoint),
        OTLPLogExporter(endpoint=endpoint),
        lambda: PeriodicExportingMetricReader(
            OTLPMetricExporter(endpoint=endpoint), export_interval_millis=METRIC_INTERVAL_MS
        ),
    )


def new_event_loop() -> asyncio.AbstractEventLoop:
    """The fastest that the system has."""
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop  # noqa: PLC0415 - not on Windows

    return uvloop.new_event_loop()


async def run_until(
    options: RunOptions,
    exporters: Exporters,
    say: Callable[[str], None],
    stop: asyncio.Event | None = None,
) -> dict[str, object]:
    """Run until the time is over, a signal comes or the caller sets `stop`; returns the report."""
    outputs = Outputs(
        exporters,
        span_queue=options.span_queue,
        export_delay_ms=options.export_delay_ms,
        back_dated=options.history is not None,
    )
    try:
        exchange = Exchange(
            options.exchange,
            outputs.spans,
            outputs.logs,
            outputs.new_metric_reader,
            outputs.watching,
        )
        labels = LabelFile(options.labels or options.exchange.data / "labels.jsonl")
        await exchange.start()
    except BaseException:
        outputs.close()
        raise
    exchange.gateway.more_status = lambda: {
        "spans_exported": outputs.spans.exported_spans,
        "spans_dropped": outputs.spans.dropped_spans,
    }
    stop = stop or asyncio.Event()
    signalled = _stop_on_signals(stop)
    say(f"gateway {exchange.front.url}  exchange API {exchange.api.url}  spans to {options.otlp}")
    await _wait_for_otlp(options, stop)
    await exchange.warm()
    # What lives until now lives for good; collections that skip it keep pauses out of the orders.
    gc.collect()
    gc.freeze()
    view = await exchange.admit(options.population)
    traders = Traders(
        random.Random(options.seed),  # noqa: S311 - repeatable, not secret
        f"{time.time_ns():x}",
        options.population,
        view,
    )
    arrivals = random.Random(f"{options.seed}/arrivals")  # noqa: S311 - repeatable, not secret
    load = Load(exchange.wallet, traders, arrivals, options.rate_per_s, options.mix)
    faults = FaultRunner(options.schedule, Target(exchange, load, time.time_ns), labels, stop)
    exchange.gateway.market = lambda: market_data(exchange, load)
    if options.admin_token:
        exchange.gateway.admin = Admin(options.admin_token, faults, load).answer
    exchange.wallet.retry = options.retry
    visits = await _customers(options, exchange, load, stop)
    started_s = time.monotonic()
    faults.start()
    tide = asyncio.create_task(_tide(options, exchange, load, stop))
    beside = asyncio.ensure_future(options.beside(stop)) if options.beside is not None else None
    if options.duration_s is not None:
        asyncio.get_running_loop().call_later(options.duration_s, stop.set)
    await _send(load, options.history, arrivals, stop)
    await tide
    await visits
    if beside is not None:
        await beside
    load_s = time.monotonic() - started_s
    drain_s = SIGNAL_DRAIN_S if signalled() else TIMED_DRAIN_S
    await _drain(load, faults, drain_s)
    flushed, _ = await asyncio.gather(outputs.flush(drain_s), exchange.stop())
    if flushed and outputs.spans.exported_spans:  # the endpoint answers: what came of the last answers can go
        await outputs.flush_all(drain_s)
    await asyncio.to_thread(exchange.metrics.shutdown, int(drain_s * 1000))
    outputs.close()
    labels.close()
    counters = exchange.gateway.counters
    return {
        "orders_submitted": counters.orders_submitted,
        "orders_accepted": counters.orders_accepted,
        "orders_rejected": counters.orders_rejected,
        "transfers": load.counters.transfers,
        "cancels": load.counters.cancels,
        "trades": load.counters.trades,
        **outputs.counts(),
        "faults": [label.summary() for label in labels.labels],
        "seconds": round(load_s, 3),
    }


async def _send(load: Load, history: History | None, rng: random.Random, stop: asyncio.Event) -> None:
    """The load of the present until `stop` is set, or of a history until its end."""
    if history is None:
        await load.run(stop)
        return
    now_ns = time.time_ns()
    start_ns = now_ns - int(history.duration_s * 1e9)
    per_hour = history.orders_per_hour * load.arrivals_per_s / load.rate_per_s
    await play_back(load, busy_arrivals(rng, start_ns, now_ns, per_hour), rng, stop)
    stop.set()


async def _tide(options: RunOptions, exchange: Exchange, load: Load, stop: asyncio.Event) -> None:
    """A short day begins on a Monday at midnight, so that one seed gives one load; a real one begins now."""
    tide = options.tide
    start_unix_nano = time.time_ns() if tide.day_s in (0, REAL_DAY_S) else MONDAY_UNIX_NANO
    rng = random.Random(f"{options.seed}/tide")  # noqa: S311 - repeatable, not secret
    await follow(tide, exchange, load, rng=rng, start_unix_nano=start_unix_nano, stop=stop)


async def _customers(
    options: RunOptions, exchange: Exchange, load: Load, stop: asyncio.Event
) -> asyncio.Task[None]:
    """People with accounts, who have come in; what they do is the task."""
    if not options.customers_per_s:
        return asyncio.create_task(asyncio.sleep(0))
    rng = random.Random(f"{options.seed}/customers")  # noqa: S311 - repeatable, not secret
    load.customers = Customers(exchange, rng, options.customers_per_s)
    await load.customers.start()
    return asyncio.create_task(load.customers.run(stop))


async def _drain(load: Load, faults: FaultRunner, drain_s: float) -> None:
    """Let running faults end and orders in flight finish; after `drain_s` give up on them."""
    try:
        async with asyncio.timeout(drain_s):
            await faults.finish()
            await load.settle(drain_s)
    except TimeoutError:
        logger.warning("some orders were still in flight after %g s and were given up", drain_s)
    await load.abandon()
    if load.customers is not None:
        await load.customers.close()


def _stop_on_signals(stop: asyncio.Event) -> Callable[[], bool]:
    """Set `stop` on SIGTERM and SIGINT; returns whether one came."""
    came: list[int] = []

    def on_signal(number: int) -> None:
        came.append(number)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, on_signal, number)
        except (NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread
            logger.debug("signal %d cannot be handled here", number)
    return lambda: bool(came)


def parse_otlp(url: str) -> tuple[str, int]:
    """Host and port of an OTLP/gRPC endpoint such as `http://127.0.0.1:4317`.

    Raises:
        InvalidUse: not such a URL.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 4317
    except ValueError:
        host, port = None, 0
    if host is None or parts.scheme not in ("http", "https"):
        raise InvalidUse(f"{url!r} is not an OTLP endpoint; write a URL such as http://127.0.0.1:4317")
    return host, port


async def _wait_for_otlp(options: RunOptions, stop: asyncio.Event) -> None:
    if options.otlp is None:
        return
    host, port = parse_otlp(options.otlp)
    deadline_s = time.monotonic() + options.otlp_wait_s
    while not stop.is_set():
        try:
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            return
        except OSError:
            if time.monotonic() >= deadline_s:
                logger.warning(
                    "nothing listens at %s; going on, and spans are dropped until it does", options.otlp
                )
                return
        await wait_for_event(stop, OTLP_POLL_S)


def prepare_report(path: Path) -> None:
    """Make sure at the start that the report can be written at the end.

    Raises:
        InvalidUse: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise InvalidUse(
            f"cannot write the report to {path}: {error.strerror}; choose another --report"
        ) from None


def write_report(path: Path, report: dict[str, object]) -> None:
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
