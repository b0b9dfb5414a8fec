"""The server: receivers, spool, landing, workers and the HTTP API around one store, in one process."""

from __future__ import annotations

import gc
import logging
import os
import queue
import signal
import socket
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

from fastapi import APIRouter

from collector.api import create_app, senders_router
from collector.errors import DatabaseStopped
from collector.http.address import Address, listen, parse_address
from collector.http.asgi import AsgiThread
from collector.http.connections import (
    connections_max,
    descriptors_max,
    http_protocol,
    raise_descriptor_limit,
)
from collector.http.red import Red
from collector.http.telemetry import exposition, own_figures
from collector.lake.sealer import Policy, Sealer
from collector.landing.land import Lander, read_position
from collector.receive.access import TokenCheck, load_tls
from collector.receive.cors import Origins, with_cors
from collector.receive.either_port import either_protocol
from collector.receive.grpc_server import GrpcReceiver
from collector.receive.http_app import HttpReceiver
from collector.receive.intake import Intake
from collector.receive.limits import Limits
from collector.receive.times import TimeLimits
from collector.settings import Settings
from collector.sql.query import QueryRunner
from collector.sql.route import bounds_of
from collector.sql.watch import Spill
from collector.store.prices import save_prices
from collector.store.store import Store
from collector.wal.disk import DiskWatch
from collector.wal.spool import Spool
from collector.watch import FolderWatch

RECEIVER_GRACE_S = 0.5

log = logging.getLogger(__name__)


class Worker(Protocol):
    """Background work over landed batches, e.g. detection."""

    name: str

    def start(self) -> None: ...

    def stop(self, timeout_s: float) -> None:
        """Finish what has landed if the time allows, then return."""

    def status(self) -> dict[str, object]:
        """Shown under `name` on /readyz."""


Build = Callable[[Store], tuple[Sequence[APIRouter], Sequence[Worker]]]


def run(
    settings: Settings,
    build: Build = lambda _: ((), ()),
    on_ready: Callable[[dict[str, str]], None] = lambda _: None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain: stop receiving, land all, let workers finish, close.

    Args:
        build: makes the routers and workers of the packages above, once the store is open.
        on_ready: called with `{"otlp_grpc", "otlp_http", "api"}` when all of them answer.

    Raises:
        StartupError: a port or the data folder cannot be had; the message says what to do.
        DatabaseStopped: DuckDB met a fatal error.
    """
    raise_descriptor_limit()
    # Not an Event: a handler that runs while this thread holds the Event's own lock would wait for ever.
    stop: queue.SimpleQueue[int | str] = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: stop.put(number))
    server = Server(settings, build, on_stopped=stop.put)
    stopped: DatabaseStopped | None = None
    try:
        addresses = server.start()
        # What the imports left lives as long as the process: the collector need not walk it again and again.
        gc.collect()
        gc.freeze()
        on_ready(addresses)
        reason = _wait_for(stop)
        if isinstance(reason, str):
            stopped = DatabaseStopped(
                reason,
                hint="nothing acknowledged is lost, since the spool holds what has not landed; make room on"
                " the disk or in SPYHOP_DUCKDB_MEMORY_LIMIT, then start the server again",
            )
    finally:
        server.stop()
        if server.is_busy:
            # Inside a statement that cannot be interrupted, e.g. a checkpoint. The interpreter's end aborts
            # there; an end at once is what a kill is: spool and database know what is left to do.
            log.warning("ending within a statement; what the spool holds lands at the next start")
            if stopped is not None:
                log.critical("%s", stopped)
            logging.shutdown()
            os._exit(0 if stopped is None else 1)
    if stopped is not None:
        raise stopped


def _wait_for(stop: queue.SimpleQueue[int | str]) -> int | str:
    """The signal that came, or why DuckDB stopped. A signal may have been delivered to another thread, which
    does not wake this one."""
    while True:
        with suppress(queue.Empty):
            return stop.get(timeout=1.0)


class Server:
    """The parts and the order in which they start and stop."""

    def __init__(
        self,
        settings: Settings,
        build: Build = lambda _: ((), ()),
        on_stopped: Callable[[str], None] = lambda _: None,
    ) -> None:
        """
        Args:
            on_stopped: called from another thread when DuckDB can do nothing more.
        """
        self.settings = settings
        self._on_stopped = on_stopped
        self._build = build
        self._exits = ExitStack()
        self._workers: Sequence[Worker] = ()
        self._api: AsgiThread | None = None
        self._writers: list[Lander | Sealer] = []

    def start(self) -> dict[str, str]:
        """Start all; returns the addresses as URLs (gRPC as `host:port`)."""
        try:
            return self._start()
        except BaseException:
            self._exits.close()
            raise

    def stop(self) -> None:
        """Drain and close, in about `drain_timeout_s` at most."""
        self._deadline_s = monotonic() + self.settings.drain_timeout_s
        if self._api is not None:
            self._api.begin_stop()  # together with the receivers: each takes 0.15 s
        self._exits.close()

    @property
    def is_busy(self) -> bool:
        """Whether landing or sealing did not end in time."""
        return any(part.is_busy for part in self._writers)

    def _start(self) -> dict[str, str]:
        settings = self.settings
        self._deadline_s = monotonic() + settings.drain_timeout_s
        # Ports first: they cost nothing, and a taken one should not touch the data folder.
        api_address = parse_address(settings.api)
        http_address = parse_address(settings.otlp_http)
        grpc_address = parse_address(settings.otlp_grpc)
        tls = load_tls(settings.otlp_tls_cert, settings.otlp_tls_key, settings.otlp_tls_client_ca)
        api_socket = self._exits.enter_context(listen(api_address, "the HTTP API", "--api"))
        http_socket = self._exits.enter_context(listen(http_address, "OTLP/HTTP", "--otlp-http"))
        grpc_socket = self._exits.enter_context(listen(grpc_address, "OTLP/gRPC", "--otlp-grpc"))

        self.store = store = self._open_store()
        routers, self._workers = self._build(store)
        for worker in self._workers:
            worker.start()
            self._exits.callback(self._stop_part, worker)

        self._sealer = Sealer(store, seal_policy(settings))
        self._sealer.start()
        self._writers.append(self._sealer)
        self._exits.callback(self._stop_part, self._sealer)

        self.spool = Spool(
            store.folder / "spool",
            landed=read_position(store)[0],
            max_bytes=settings.spool_max_bytes,
            segment_bytes=settings.spool_segment_bytes,
            torn_folder=store.folder / "quarantine",
        )
        self.lander = Lander(
            store,
            self.spool,
            interval_ms=settings.land_interval_ms,
            max_bytes=settings.land_max_bytes,
            hot_bytes=settings.land_hot_bytes if settings.seal_after_min else 0,  # only sealing merges them
        )
        self.lander.start()
        self._writers.append(self.lander)
        self._exits.callback(self._stop_part, self.lander)
        self._exits.callback(self.spool.close)
        self._watch = FolderWatch(store, self.spool, on_stopped=self._on_stopped)
        self._watch.start()
        self._exits.callback(self._stop_part, self._watch)

        token = TokenCheck(settings.otlp_token.get_secret_value())
        self._disk = DiskWatch(store.folder, reserve_bytes=settings.disk_reserve_bytes)
        limits = Limits(settings.otlp_max_value_bytes, settings.otlp_max_name_chars)
        times = TimeLimits(settings.otlp_max_age_days, settings.otlp_max_ahead_s)
        self.intake = Intake(self.spool, self._disk, limits, times=times)
        timeout_s = settings.otlp_http_timeout_s
        origins = Origins(settings.otlp_http_cors_origins)
        http_receiver: Any = HttpReceiver(
            self.intake,
            max_body_bytes=settings.otlp_max_body_bytes,
            body_timeout_s=timeout_s,
            token=token,
            origins=origins,
        )
        if settings.otlp_http_cors_origins:
            http_receiver = with_cors(http_receiver, origins)
        routers = [*routers, senders_router(self.intake.senders)]
        queries = self._query_runner(store)
        app = create_app(
            store,
            routers,
            settings=settings,
            queries=queries,
            readiness=self._readiness,
            metrics=self._prometheus,
        )
        self._api = self._exits.enter_context(
            AsgiThread("api", app, [api_socket], http_protocol(settings.api_timeout_s, connections_max()))
        )
        # A short path, which Unix sockets need, in a folder of this user alone.
        inner_folder = Path(self._exits.enter_context(tempfile.TemporaryDirectory(prefix="spyhop-")))
        grpc_receiver = GrpcReceiver(
            self.intake,
            inner_folder / "grpc",
            max_body_bytes=settings.otlp_max_body_bytes,
            threads=settings.otlp_grpc_threads,
            message_timeout_s=4 * timeout_s,
            token=token,
        )
        grpc_receiver.start()
        http = http_protocol(timeout_s, connections_max())
        self._exits.enter_context(
            AsgiThread(
                "otlp",
                http_receiver,
                [http_socket, grpc_socket],
                # A tunnel has three descriptors.
                either_protocol(http, inner_folder / "grpc", max(1, descriptors_max() // 6)),
                tls,
            )
        )
        # Stops first, while the connections of its senders still are.
        self._exits.callback(grpc_receiver.stop, RECEIVER_GRACE_S)

        addresses = {
            "otlp_grpc": str(Address(grpc_address.host, grpc_socket.getsockname()[1])),
            "otlp_http": _url(http_address, http_socket, "https" if tls else "http"),
            "api": _url(api_address, api_socket),
        }
        store.describe_owner(addresses)
        return addresses

    def _open_store(self) -> Store:
        settings = self.settings
        store = Store.open(
            settings.data,
            lake=settings.lake,
            memory_limit=settings.duckdb_memory_limit,
            new_database=settings.new_database,
        )
        self._exits.callback(store.close)
        save_prices(store, settings.genai_prices)
        self._red = Red(store, settings.metrics_operations)
        return store

    def _query_runner(self, store: Store) -> QueryRunner:
        spill = Spill(store.folder, self.settings.disk_reserve_bytes)
        queries = self._exits.enter_context(QueryRunner(store, bounds_of(self.settings), spill=spill))
        queries.warm_up()
        return queries

    def _stop_part(self, part: Worker) -> None:
        part.stop(max(0.1, self._deadline_s - monotonic()))

    def _readiness(self) -> tuple[bool, dict[str, object]]:
        spool, landing = self.spool.status(), self.lander.status()
        disk = self._disk.status()
        folder = self._watch.status()
        checks: dict[str, object] = {"spool": spool, "landing": landing, "disk": disk, "folder": folder}
        checks["senders"] = self.intake.senders.summary()
        checks["lake"] = self._sealer.status()
        checks |= {worker.name: worker.status() for worker in self._workers}
        is_ready = not any(check["failure"] for check in (spool, landing, disk, folder))
        return is_ready, checks

    def _prometheus(self, is_open: bool) -> bytes:
        own = own_figures(
            self.intake.counts(),
            self.lander.totals,
            replaced_spans=self.lander.replaced_spans,
            spool=self.spool.status(),
            landing=self.lander.status(),
            lake=self._sealer.status(),
            disk=self._disk.status(),
            folder=self._watch.status(),
        )
        return exposition([*own, *self._red.families()], is_open=is_open)


def seal_policy(settings: Settings) -> Policy:
    """Minutes and hours of the settings as seconds."""
    return Policy(
        seal_after_s=settings.seal_after_min * 60,
        settle_s=settings.seal_settle_min * 60,
        interval_s=settings.seal_interval_s,
        retention_s=settings.retention_hours * 3600,
        retention_max_bytes=settings.retention_max_bytes,
    )


def _url(address: Address, sock: socket.socket, scheme: str = "http") -> str:
    return Address(address.host, sock.getsockname()[1]).url.replace("http", scheme, 1)
