"""The exchange as a whole: four services, one process, one event loop; HTTP and a broker between them."""

from __future__ import annotations

import asyncio
import os
import sys
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

from opentelemetry.sdk.trace import SpanProcessor

from exchange_ref.api.app import build_app
from exchange_ref.api.database import Database
from exchange_ref.api.orders import OrderService
from exchange_ref.api.traced_database import TracedDatabase
from exchange_ref.broker.memory import open_broker
from exchange_ref.broker.message import REPLIES_QUEUE
from exchange_ref.broker.request_reply import Requester
from exchange_ref.engine import journal
from exchange_ref.engine.instruments import PAIRS, UNITS_PER_ASSET
from exchange_ref.engine.matcher import Matcher
from exchange_ref.engine.matching import Engine
from exchange_ref.engine.orders import Result, Status
from exchange_ref.errors import FolderUnusable
from exchange_ref.gateway import ORDERS_PATH, AcceptedLog, Gateway, Route
from exchange_ref.http_client import HttpClient
from exchange_ref.serving import HttpServer, bind
from exchange_ref.telemetry import EXCHANGE, GATEWAY, MATCHER, WALLET, Telemetry
from exchange_ref.traders import USERS
from exchange_ref.wallet import Wallet

# So much of each asset that a day of orders leaves nobody without funds.
OPENING_DEPOSITS = {"USD": 100_000_000, "BTC": 2_000, "ETH": 30_000, "SOL": 500_000}


@dataclass(frozen=True, slots=True)
class ExchangeConfig:
    """Where the exchange lives. Addresses are `host:port`; port 0 picks a free one."""

    data: Path
    gateway: str = "127.0.0.1:0"
    api: str = "127.0.0.1:0"
    broker: str = "memory"
    order_ttl_s: float = 30.0


class Exchange:
    """Built ready to start; `await start()`, and `await stop()` once no order is in flight."""

    def __init__(self, config: ExchangeConfig, processor: SpanProcessor) -> None:
        with ExitStack() as undo:
            broker = open_broker(config.broker)
            self._lock = lock_folder(config.data)
            undo.callback(self._lock.close)
            gateway_listener = undo.enter_context(bind(config.gateway, "--gateway"))
            api_listener = undo.enter_context(bind(config.api, "--exchange-api"))
            telemetry = Telemetry(processor)
            self.engine = Engine(order_ttl_s=config.order_ttl_s)
            journal_path = config.data / "journal.jsonl"
            last_sequence = journal.replay(journal_path, self.engine)
            self.database = Database(config.data / "exchange.db")
            undo.callback(self.database.close)
            self.accepted = AcceptedLog(config.data / "accepted.jsonl")
            undo.callback(self.accepted.close)
            self.statements = TracedDatabase(self.database, telemetry.tracer(EXCHANGE))
            self._broker = broker
            self._requester = Requester(broker, REPLIES_QUEUE, lambda: uuid.uuid4().hex)
            self.service = OrderService(
                database=self.database,
                traced=self.statements,
                broker=broker,
                requester=self._requester,
                tracer=telemetry.tracer(EXCHANGE),
                new_id=lambda: uuid.uuid4().hex,
                now_ns=time.time_ns,
            )
            self.api = HttpServer(build_app(self.service, telemetry.tracer(EXCHANGE)), api_listener)
            self._upstream = HttpClient(self.api.host, self.api.port)
            routes = [
                Route("orders", ORDERS_PATH, frozenset({"GET", "POST"}), self._upstream),
                Route("wallets", "/api/v1/wallets", frozenset({"GET"}), self._upstream),
            ]
            self.gateway = Gateway(routes, telemetry.tracer(GATEWAY), self.accepted)
            self.front = HttpServer(self.gateway, gateway_listener)
            self._front_client = HttpClient(self.front.host, self.front.port)
            self.wallet = Wallet(self._front_client, telemetry.tracer(WALLET))
            self._matcher = Matcher(
                broker,
                self.engine,
                journal.Journal(journal_path, last_sequence=last_sequence),
                telemetry.tracer(MATCHER),
            )
            undo.pop_all()

    async def start(self) -> None:
        """Serve, bring the wallets to the ledger's state, and fund traders who have nothing."""
        self._matcher.start()
        self._requester.start()
        await asyncio.gather(self.api.start(), self.front.start())
        balances = tuple(row for row in self.engine.ledger.all_balances() if row.user_id in USERS)
        await self.service.store_balances(Result("", Status.NEW, balances=balances))
        await asyncio.gather(
            *(
                self.service.deposit(user_id, asset, amount * UNITS_PER_ASSET)
                for user_id in USERS
                for asset, amount in OPENING_DEPOSITS.items()
                if not self.engine.ledger.balance(user_id, asset).version
            )
        )

    async def stop(self) -> None:
        await asyncio.gather(self._front_client.close(), self._upstream.close())
        await asyncio.gather(self.front.stop(), self.api.stop())
        await self._broker.close()
        await self._requester.stop()
        await self._matcher.stop()
        self.database.close()
        self.accepted.close()
        self._lock.close()

    def resting_orders(self) -> int:
        return sum(len(self.engine.books[symbol]) for symbol in PAIRS)


def lock_folder(folder: Path) -> TextIOWrapper:
    """Make `folder` and take it for this process, until the returned file is closed.

    Raises:
        FolderUnusable: it cannot be written, or another exchange has it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "owner").open("a+", encoding="utf-8")
    except OSError as error:
        raise FolderUnusable(
            f"cannot write to {folder}: {error.strerror}; choose another --data folder"
        ) from None
    if sys.platform != "win32":
        import fcntl  # noqa: PLC0415 - not on Windows

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            file.close()
            raise FolderUnusable(
                f"{folder} belongs to another exchange (process {owner}); stop it or choose another --data"
            ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
