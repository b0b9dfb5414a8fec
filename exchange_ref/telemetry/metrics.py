"""Counters and histograms of the services, with exemplars that point to traces."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Final

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.trace import Span
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from exchange_ref.telemetry.tracing import EXCHANGE, GATEWAY, MATCHER, resource_of, under

# Seconds; from a book operation to a time-out.
DURATION_BOUNDS_S: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
NewReader = Callable[[], MetricReader]
Figures = Callable[[], Mapping[tuple[tuple[str, str], ...], float]]


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is looked at when metrics are collected. Keys are attributes.

    Args:
        queue_depth: messages that wait, by queue.
        resting_orders: by pair.
        balances: the sum over all users in whole assets, by asset and state.
        price_age: seconds since the newest reference price was one, by pair.
        open_trades: contracts for difference that are open, by asset.
        stream_age: seconds since the streams were last sent.
        snapshot_pause: seconds for which orders waited for the last snapshot.
        predictor_cpu: seconds of a processor that the price models took.
    """

    queue_depth: Figures
    resting_orders: Figures
    balances: Figures
    price_age: Figures = dict
    open_trades: Figures = dict
    stream_age: Figures = dict
    snapshot_pause: Figures = dict
    predictor_cpu: Figures = dict


class Metrics:
    """A provider for each of the services that measure.

    Args:
        new_reader: makes the reader of one provider; they cannot be shared.
    """

    def __init__(self, new_reader: NewReader | None, gauges: Gauges) -> None:
        services = (GATEWAY, EXCHANGE, MATCHER)
        self._registries = {service: CollectorRegistry() for service in services}
        self._providers = {
            service: MeterProvider(
                metric_readers=[
                    PrometheusMetricReader(registry=self._registries[service]),
                    *([new_reader()] if new_reader is not None else []),
                ],
                resource=resource_of(service),
                shutdown_on_exit=False,
            )
            for service in services
        }
        self._requests = self._meter(GATEWAY).create_histogram(
            "http.server.request.duration",
            unit="s",
            description="Duration of HTTP server requests.",
            explicit_bucket_boundaries_advisory=DURATION_BOUNDS_S,
        )
        self._orders = self._meter(EXCHANGE).create_counter(
            "kx.orders", unit="{order}", description="Orders by what became of them."
        )
        self._quantities = self._meter(EXCHANGE).create_counter(
            "kx.orders.quantity", description="Quantities ordered, in the pair's base asset."
        )
        self._fills = self._meter(EXCHANGE).create_counter(
            "kx.orders.filled", description="Of them, what was filled as the order came."
        )
        self._trades = self._meter(EXCHANGE).create_counter(
            "kx.matches", unit="{match}", description="Matches of two orders."
        )
        self._volume = self._meter(EXCHANGE).create_counter(
            "kx.volume", description="What was paid in matches, in the pair's quote asset."
        )
        self._matches = self._meter(MATCHER).create_histogram(
            "kx.match.duration",
            unit="s",
            description="From taking a command from the queue to its reply.",
            explicit_bucket_boundaries_advisory=DURATION_BOUNDS_S,
        )
        self._observe_process(self._meter(EXCHANGE))
        for service, name, unit, description, figures in (
            (MATCHER, "kx.queue.depth", "{message}", "Messages that wait in a queue.", gauges.queue_depth),
            (MATCHER, "kx.orders.resting", "{order}", "Orders in the books.", gauges.resting_orders),
            (MATCHER, "kx.balances", "{asset}", "Balances of all users together.", gauges.balances),
            (MATCHER, "kx.snapshot.pause", "s", "How long the last one held orders.", gauges.snapshot_pause),
            (EXCHANGE, "kx.price.age", "s", "Age of a pair's newest reference price.", gauges.price_age),
            (EXCHANGE, "kx.cfd.open", "{trade}", "Open contracts for difference.", gauges.open_trades),
            (
                EXCHANGE,
                "kx.predictor.cpu",
                "s",
                "CPU that price models took.",
                gauges.predictor_cpu,
            ),
            (GATEWAY, "kx.stream.age", "s", "How long ago the streams were sent.", gauges.stream_age),
        ):
            self._meter(service).create_observable_gauge(
                name, [_observer(figures)], unit=unit, description=description
            )

    def request(self, span: Span, duration_s: float, method: str, route: str, status: int) -> None:
        attributes: dict[str, str | int] = {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
        }
        self._requests.record(duration_s, attributes, context=under(span))

    def order(self, span: Span, pair: str, side: str, status: str) -> None:
        attributes = {"order.pair": pair, "order.side": side, "order.status": status}
        self._orders.add(1, attributes, context=under(span))

    def filled(self, pair: str, quantity: float, filled: float, *, paid: float, matches: int) -> None:
        """What an order asked for, and what it got as it came."""
        attributes = {"order.pair": pair}
        self._quantities.add(quantity, attributes)
        self._fills.add(filled, attributes)
        self._volume.add(paid, attributes)
        self._trades.add(matches, attributes)

    def scraped(self, service: str, accept: str) -> tuple[bytes, str]:
        """A service's figures as Prometheus reads them, and their content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registries[service]), content_type

    def match(self, span: Span, duration_s: float, operation: str) -> None:
        self._matches.record(duration_s, {"messaging.operation.name": operation}, context=under(span))

    def shutdown(self, timeout_ms: int) -> None:
        """Collect and send once more, all providers at the same time, and give up when the time is over.

        The SDK's `force_flush` would not do: its exporter retries an endpoint that is gone for 10 s, and
        only `shutdown` interrupts it.
        """
        closing = [
            Thread(target=provider.shutdown, args=(timeout_ms,), name="metrics-shutdown")
            for provider in self._providers.values()
        ]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()

    def _meter(self, service: str) -> Meter:
        return self._providers[service].get_meter("exchange_ref")

    def _observe_process(self, meter: Meter) -> None:
        meter.create_observable_counter(
            "process.cpu.time",
            [lambda _: [Observation(time.process_time())]],
            unit="s",
            description="CPU time of the process, user and system.",
        )
        meter.create_observable_gauge(
            "process.memory.usage",
            [lambda _: [Observation(resident_bytes())]],
            unit="By",
            description="Memory of the process that is in RAM.",
        )
        meter.create_observable_gauge(
            "system.cpu.utilization",
            [HostLoad()],
            unit="1",
            description="How busy all processors of the host are, whoever uses them.",
        )


class HostLoad:
    """How busy all processors of the host were since the last look, from 0 to 1."""

    def __init__(self, path: Path = Path("/proc/stat")) -> None:
        self._path = path
        self._before = self._read()

    def __call__(self, _: CallbackOptions) -> list[Observation]:
        now = self._read()
        if now is None or self._before is None:
            return []
        whole = sum(now) - sum(self._before)
        idle = sum(now[3:5]) - sum(self._before[3:5])
        self._before = now
        return [Observation(min(max(1 - idle / whole, 0.0), 1.0))] if whole > 0 else []

    def _read(self) -> list[int] | None:
        """Ticks as user, nice, system, idle, iowait, irq, softirq, steal; None where the system has none."""
        try:
            return [
                int(word) for word in self._path.read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
            ]
        except OSError:
            return None


def resident_bytes() -> int:
    """Memory of this process that is in RAM; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES
    except OSError:
        return 0


def cpu_s(pid: int) -> float:
    """CPU time of another process, user and system; 0 where the system does not say or it has ended."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / TICKS_PER_S


def _observer(figures: Figures) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _: [Observation(value, dict(attributes)) for attributes, value in figures().items()]
