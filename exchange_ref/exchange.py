"""The exchange as a whole: four services, one process, one event loop; HTTP and a broker between them."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import SpanProcessor

from exchange_ref.accounts.outbox import Outbox
from exchange_ref.accounts.service import SELECT_ENDED, AccountService
from exchange_ref.accounts.tokens import ACCESS_TTL_S, AccessTokens, load_key
from exchange_ref.broker.link import BrokerServer, Link
from exchange_ref.broker.message import REPLIES_QUEUE
from exchange_ref.broker.open import open_broker
from exchange_ref.broker.request_reply import Requester
from exchange_ref.broker.server import CommandServer
from exchange_ref.cfd.routes import TRADES_PATH
from exchange_ref.cfd.service import TradeService
from exchange_ref.cfd.watch import Watch
from exchange_ref.engine import journal
from exchange_ref.engine.engine import Engine
from exchange_ref.engine.instruments import PAIRS, UNITS_PER_ASSET
from exchange_ref.engine.ledger import HOUSE_ACCOUNT, INSURANCE_ACCOUNT
from exchange_ref.engine.matcher import Matcher
from exchange_ref.engine.orders import Result, Status
from exchange_ref.engine.snapshot import Snapshots
from exchange_ref.engine.supervisor import Supervisor
from exchange_ref.folder import lock_folder
from exchange_ref.load.population import RETAIL, SPECIALISTS, Population, View, opening_deposits
from exchange_ref.load.traders import USERS
from exchange_ref.market.predictor import Predictor
from exchange_ref.market.prices import PriceFeed, PriceSource, RandomWalk
from exchange_ref.services.accepted_log import AcceptedLog
from exchange_ref.services.api.app import build_app
from exchange_ref.services.api.backends import open_backend
from exchange_ref.services.api.database import Database
from exchange_ref.services.api.funds import FundsService
from exchange_ref.services.api.market_routes import Market
from exchange_ref.services.api.matcher_client import MatcherClient
from exchange_ref.services.api.orders import OrderService
from exchange_ref.services.api.pending import PendingWithdrawals
from exchange_ref.services.api.reconcile import Standing
from exchange_ref.services.api.traced_database import TracedDatabase
from exchange_ref.services.api.transfers import TransferService
from exchange_ref.services.api.wallets import Wallets
from exchange_ref.services.api_paths import api_routes
from exchange_ref.services.browser_spans import BrowserSpans
from exchange_ref.services.gateway import ORDERS_PATH, TRANSFERS_PATH, Gateway
from exchange_ref.services.http_client import HttpClient
from exchange_ref.services.identity import Doorman
from exchange_ref.services.page import Page
from exchange_ref.services.payments import PaymentClient, PaymentProvider
from exchange_ref.services.serving import HttpServer, bind
from exchange_ref.services.streams import Streams
from exchange_ref.services.wallet import Wallet
from exchange_ref.telemetry.log_export import ServiceLog
from exchange_ref.telemetry.metrics import Figures, Gauges, Metrics, NewReader
from exchange_ref.telemetry.span_witness import SpanWitness
from exchange_ref.telemetry.tracing import (
    EXCHANGE,
    GATEWAY,
    MATCHER,
    SERVICES,
    WALLET,
    Telemetry,
    resource_of,
)

# Enough of each asset for a day of orders.
OPENING_DEPOSITS = {"USD": 100_000_000, "BTC": 2_000, "ETH": 30_000, "SOL": 500_000}
# The money of the house for winners, and of the insurance for losses beyond a margin.
DESK_DEPOSITS = {HOUSE_ACCOUNT: {"USD": 1_000_000_000}, INSURANCE_ACCOUNT: {"USD": 100_000_000}}


@dataclass(frozen=True, slots=True)
class ExchangeConfig:
    """Where the exchange lives. Addresses are `host:port`; port 0 picks a free one. Who has the admin token
    may speak for any trader."""

    data: Path
    gateway: str = "127.0.0.1:0"
    api: str = "127.0.0.1:0"
    broker: str = "memory"
    sampled_share: float = 1.0
    broker_command: str = ""
    price_seed: int = 7
    admin_token: str = ""
    trace_url: str = ""
    database: str = ""


class Exchange:
    """Built ready to start; `await start()`, and `await stop()` once no order is in flight."""

    _is_up = False

    def __init__(
        self,
        config: ExchangeConfig,
        processor: SpanProcessor,
        log_processor: LogRecordProcessor | None = None,
        new_metric_reader: NewReader | None = None,
        watching: Sequence[SpanProcessor] = (),
        *,
        broker_server: BrokerServer | None = None,
    ) -> None:
        self.folder = config.data
        with ExitStack() as undo:
            broker = self.link = Link(open_broker(config.broker))
            if broker_server is None and config.broker_command:
                broker_server = CommandServer(config.broker_command)
            # Without a server of its own to stop, the way to the broker is what goes down.
            self.broker_server: BrokerServer = broker_server or self.link
            self._lock = lock_folder(config.data)
            undo.callback(self._lock.close)
            gateway_listener = undo.enter_context(bind(config.gateway, "--gateway"))
            api_listener = undo.enter_context(bind(config.api, "--exchange-api"))
            self.witness = SpanWitness()
            telemetry = self.telemetry = Telemetry(
                processor, self.witness, *watching, sampled_share=config.sampled_share
            )
            logs = {service: ServiceLog(resource_of(service), log_processor) for service in SERVICES}
            self.engine = Engine()
            self.metrics = Metrics(new_metric_reader, self._gauges())
            self._journal_path = config.data / "journal.jsonl"
            last_sequence = self._recover()
            self.database = Database(open_backend(config.database, config.data / "exchange.db"))
            undo.callback(self.database.close)
            self.accepted = {
                ORDERS_PATH: AcceptedLog(config.data / "accepted.jsonl", "order_id"),
                TRANSFERS_PATH: AcceptedLog(config.data / "transfers.jsonl", "transfer_id"),
                TRADES_PATH: AcceptedLog(config.data / "trades.jsonl", "trade_id"),
            }
            for log in self.accepted.values():
                undo.callback(log.close)
            self.statements = TracedDatabase(self.database, telemetry.tracer(EXCHANGE))
            self._requester = Requester(broker, REPLIES_QUEUE, lambda: uuid.uuid4().hex)
            self.matcher_client = MatcherClient(
                broker, self._requester, telemetry.tracer(EXCHANGE), logs[EXCHANGE]
            )
            self.wallets = Wallets(self.database, self.statements, self.matcher_client)
            self.price_source = PriceSource(
                RandomWalk(random.Random(config.price_seed)),  # noqa: S311 - repeatable, not secret
                time.time_ns,
            )
            self.prices = PriceFeed(self.price_source)
            self.service = OrderService(
                self.wallets,
                self.prices,
                log=logs[EXCHANGE],
                metrics=self.metrics,
                new_id=lambda: uuid.uuid4().hex,
                now_ns=time.time_ns,
            )
            self.payments = PaymentProvider()
            self._payment_client = PaymentClient(self.payments, telemetry.tracer(EXCHANGE))
            self.funds = FundsService(
                self.wallets, self._payment_client, lambda: uuid.uuid4().hex, time.time_ns
            )
            self.pending = PendingWithdrawals(
                self.funds, self.database, telemetry.tracer(EXCHANGE), logs[EXCHANGE], time.time_ns
            )
            self.trades = TradeService(self.wallets, self.prices, lambda: uuid.uuid4().hex, time.time_ns)
            self.watch = Watch(self.trades, self.prices, telemetry.tracer(EXCHANGE), logs[EXCHANGE])
            self.accounts = AccountService(
                self.wallets,
                AccessTokens(load_key(config.data / "tokens.key"), time.time_ns),
                Outbox(config.data / "outbox.jsonl"),
                tracer=telemetry.tracer(EXCHANGE),
                now_ns=time.time_ns,
            )
            # Of this start: for the wallets of the load, and from the gateway to the API.
            self.load_token = secrets.token_urlsafe()
            self.market = Market(self.engine, self.prices, lambda: self.matcher.is_here)
            self.predictor = Predictor(self.engine.tapes, telemetry.tracer(EXCHANGE), time.time_ns)
            self.api = HttpServer(
                build_app(
                    self.service,
                    TransferService(self.wallets, lambda: uuid.uuid4().hex, time.time_ns),
                    self.wallets,
                    self.trades,
                    funds=self.funds,
                    market=self.market,
                    predictor=self.predictor,
                    accounts=self.accounts,
                    gateway_token=self.load_token,
                    tracer=telemetry.tracer(EXCHANGE),
                    log=logs[EXCHANGE],
                    metrics=self.metrics,
                ),
                api_listener,
            )
            self.upstream = HttpClient(self.api.host, self.api.port)
            doorman = Doorman(self.accounts.tokens, [self.load_token, config.admin_token])
            self.gateway = Gateway(
                api_routes(self.upstream),
                telemetry.tracer(GATEWAY),
                self.accepted,
                logs[GATEWAY],
                self.metrics,
                doorman=doorman,
                token=self.load_token,
                page=Page(config.trace_url),
                browser_spans=BrowserSpans(processor.on_end),
            )
            self.streams = Streams(
                self.market, self.engine.tapes, doorman, tracer=telemetry.tracer(GATEWAY), log=logs[GATEWAY]
            )
            self.gateway.streams = self.streams.serve
            self.front = HttpServer(self.gateway, gateway_listener)
            self.front_client = HttpClient(self.front.host, self.front.port)
            self.wallet = Wallet(self.front_client, telemetry.tracer(WALLET), self.load_token)
            self._journal = journal.Journal(self._journal_path, last_sequence=last_sequence)
            self.matcher = Matcher(
                broker,
                self.engine,
                self._journal,
                tracer=telemetry.tracer(MATCHER),
                log=logs[MATCHER],
                metrics=self.metrics,
            )
            undo.pop_all()

    def _recover(self) -> int:
        """Bring the engine to the journal's end; returns the sequence number of its last command."""
        self._standing = Standing()
        self.snapshots = Snapshots(self.folder / "snapshots")
        after, from_byte = self.snapshots.load(self._journal_path, self.engine)
        last_sequence = journal.replay(
            self._journal_path, self.engine, after=after, from_byte=from_byte, applied=self._standing.take
        )
        self._standing.take_open(self.engine)
        self._replayed_from = from_byte
        return last_sequence

    async def start(self) -> None:
        """Serve, bring the database to the ledger's state, and fund traders who have nothing."""
        await self.link.connect()
        await self.price_source.start()
        await self.prices.start()
        # Before anything is executed: later rows are written by the request that makes them.
        all_known = await self._standing.reconcile(self.database)
        if self._replayed_from and not all_known:
            # Rows older than the snapshot, or that no journal knows: all of it tells.
            standing = Standing()
            await asyncio.to_thread(
                journal.replay, self._journal_path, Engine(), complete=False, applied=standing.take
            )
            await standing.reconcile(self.database)
        self._standing = Standing()  # of a long journal it is large
        since_ns = time.time_ns() - ACCESS_TTL_S * 10**9
        await self.accounts.start(await self.database.read(SELECT_ENDED, (since_ns,)))
        self.matcher.start()
        self._requester.start()
        await asyncio.gather(self.payments.server.start(), self.api.start(), self.front.start())
        known = {*USERS, *SPECIALISTS}
        balances = tuple(row for row in self.engine.ledger.all_balances() if row.user_id in known)
        await self.wallets.store(Result("", Status.NEW, balances=balances))
        await self.trades.restore(self.engine.desk.trades(), self.engine.ended_trades(), self.database)
        await self.fund({**dict.fromkeys(USERS, OPENING_DEPOSITS), **DESK_DEPOSITS})
        self.watch.start()
        self.pending.start()
        self.streams.start()
        self.snapshots.start(self.matcher, self.engine, self._journal, self.telemetry.tracer(MATCHER))
        self._is_up = True

    async def warm(self) -> None:
        """Build what the web framework leaves to the first requests, which would stop every order meanwhile:
        what their routes need (17 ms of the first order's 20) and the OpenAPI document (90 ms)."""
        await self.upstream.request("GET", "/openapi.json", {})

    async def fund(self, deposits: Mapping[str, Mapping[str, int]]) -> None:
        """Give each user so much of each asset who never had any of it.

        Args:
            deposits: by user and asset, in whole assets.
        """
        await asyncio.gather(
            *(
                self.wallets.deposit(user_id, asset, amount * UNITS_PER_ASSET)
                for user_id, amounts in deposits.items()
                for asset, amount in amounts.items()
                if not self.engine.ledger.balance(user_id, asset).version
            )
        )

    async def admit(self, population: Population) -> View | None:
        """Fund those who trade besides retail; returns what they can know, None without them."""
        if population == RETAIL:
            return None
        deposits = opening_deposits(OPENING_DEPOSITS)
        await self.fund(deposits)

        def gained(user_id: str, symbol: str) -> float:
            asset = PAIRS[symbol].base
            held = self.engine.ledger.balance(user_id, asset)
            return (held.available_units + held.locked_units) / UNITS_PER_ASSET - deposits[user_id][asset]

        return View(lambda symbol: self.prices.newest(symbol).price, self.service.last_price, gained)

    async def stop(self) -> None:
        await self.watch.stop()
        await self.pending.stop()
        await self.streams.stop()
        await self.snapshots.stop()
        await asyncio.gather(self.front_client.close(), self.upstream.close(), self._payment_client.close())
        await asyncio.gather(self.front.stop(), self.api.stop(), self.payments.server.stop())
        await self.predictor.close()
        await self.link.close()
        await self._requester.stop()
        await self.matcher.stop()
        await self.prices.stop()
        await self.price_source.stop()
        self.accounts.close()
        self.database.close()
        for log in self.accepted.values():
            log.close()
        self._lock.close()

    def matcher_supervisor(self) -> Supervisor:
        """For a matcher in a process of its own, over this exchange's journal."""
        return Supervisor(
            self._journal_path,
            system=self.link.system,
            publish=self.link.publish,
            take_span=self.telemetry.take,
        )

    def resting_orders(self) -> int:
        return sum(len(self.engine.books[symbol]) for symbol in PAIRS)

    def _gauges(self) -> Gauges:
        def of_all(figures: Figures) -> Figures:
            """Metrics may be collected before all parts of a slow start are there."""
            return lambda: figures() if self._is_up else {}

        return Gauges(
            queue_depth=of_all(
                lambda: {
                    (("messaging.destination.name", queue),): depth
                    for queue, depth in self.link.depths().items()
                }
            ),
            resting_orders=of_all(
                lambda: {(("order.pair", symbol),): len(book) for symbol, book in self.engine.books.items()}
            ),
            balances=of_all(self._balances),
            open_trades=of_all(
                lambda: {(("cfd.asset", asset),): count for asset, count in self.trades.counts().items()}
            ),
            stream_age=of_all(lambda: {(): time.monotonic() - self.streams.sent_s}),
            snapshot_pause=of_all(lambda: {(): self.snapshots.pause_s}),
            predictor_cpu=of_all(lambda: {(): self.predictor.cpu_s}),
            price_age=of_all(
                lambda: {
                    (("order.pair", symbol),): age_s
                    for symbol, age_s in self.prices.ages_s(time.time_ns()).items()
                }
            ),
        )

    def _balances(self) -> dict[tuple[tuple[str, str], ...], float]:
        sums: dict[tuple[tuple[str, str], ...], float] = {}
        for row in self.engine.ledger.all_balances():
            for state, units in (("available", row.available_units), ("locked", row.locked_units)):
                key = (("asset", row.asset), ("state", state))
                sums[key] = sums.get(key, 0.0) + units / UNITS_PER_ASSET
        return sums
