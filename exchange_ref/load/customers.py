"""People with accounts, as those of the trading page: they log in, look, pay in and out, ask where the price
goes, and read a stream.

Other than the traders of the load they have tokens, limits and sockets, so what goes wrong there is seen.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import websockets
from websockets.asyncio.client import connect

from exchange_ref.engine.instruments import PAIRS
from exchange_ref.exchange import Exchange
from exchange_ref.load.arrivals import wait_for_event
from exchange_ref.market.past import made_past
from exchange_ref.services.api.predict_routes import PREDICT_PATH
from exchange_ref.services.wallet import Call, Outcome

CUSTOMERS: Final = 4
PAIR: Final = "BTC/USD"
STREAM: Final = f"depth@{PAIR}"
# Shares of what they do; the rest is looking at their wallets.
LOGIN_SHARE: Final = 0.05
DEPOSIT_SHARE: Final = 0.25
WITHDRAWAL_SHARE: Final = 0.15
PREDICTION_SHARE: Final = 0.2
RECONNECT_S: Final = 0.05
MAX_KEPT: Final = 10_000
MAX_IN_FLIGHT: Final = 400
# On a machine without compiled modules, and busy.
FIRST_FIT_S: Final = 60.0


@dataclass(slots=True)
class Customer:
    """`messages` are when those of the stream came, `gaps` when one was missing; nanoseconds since 1970."""

    email: str
    password: str = field(default_factory=secrets.token_urlsafe, repr=False)
    token: str = field(default="", repr=False)
    messages: list[int] = field(default_factory=list)
    gaps: list[int] = field(default_factory=list)


class Customers:
    """
    Args:
        rate_per_s: what all of them do in a second.
    """

    def __init__(self, exchange: Exchange, rng: random.Random, rate_per_s: float) -> None:
        self._exchange = exchange
        self._wallet = exchange.wallet
        self._rng = rng
        self._rate_per_s = rate_per_s
        self.people = [Customer(f"customer-{secrets.token_hex(4)}@example.com") for _ in range(CUSTOMERS)]
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Register everybody, and begin. The predictor gets a past, since its own candles take an hour."""
        price = self._exchange.prices.newest(PAIR).price
        self._exchange.predictor.past = {PAIR: made_past(price, time.time_ns(), self._rng)}
        for customer in self.people:
            await self._enter(customer)
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_FIT_S):
                await self._exchange.predictor.warm(PAIRS[PAIR])
        for customer in self.people:
            self._follow(self._read(customer))

    async def run(self, stop: asyncio.Event) -> None:
        """Do things until `stop` is set."""
        loop = asyncio.get_running_loop()
        next_at_s = loop.time()
        while not stop.is_set():
            next_at_s += self._rng.expovariate(self._rate_per_s)
            await wait_for_event(stop, next_at_s - loop.time())
            if not stop.is_set():
                self._follow(self._act(self._rng.choice(self.people)))

    async def close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def pay_soon(self, customer: Customer, amount: int) -> None:
        """A deposit in the background, however many there are, up to `MAX_IN_FLIGHT`."""
        if len(self._tasks) < MAX_IN_FLIGHT:
            self._follow(self._pay(customer, "deposit", amount))

    async def _look(self, customer: Customer) -> Outcome:
        """A read of the wallet, as a page makes them."""
        call = Call("account", "account.refresh.client", "", "GET", "/api/v1/wallets", token=customer.token)
        return await self._wallet.perform(call, {})

    async def _act(self, customer: Customer) -> None:
        drawn = self._rng.random()
        if drawn < LOGIN_SHARE:
            await self._login(customer)
        elif drawn < LOGIN_SHARE + DEPOSIT_SHARE:
            await self._pay(customer, "deposit", self._rng.randint(20, 500))
        elif drawn < LOGIN_SHARE + DEPOSIT_SHARE + WITHDRAWAL_SHARE:
            await self._pay(customer, "withdrawal", self._rng.randint(1, 20))
        elif drawn < LOGIN_SHARE + DEPOSIT_SHARE + WITHDRAWAL_SHARE + PREDICTION_SHARE:
            await self._predict(customer)
        else:
            await self._look(customer)

    async def _predict(self, customer: Customer) -> None:
        body = json.dumps(self._question()).encode()
        names = ("prediction", "prediction.ask.client", "prediction.received")
        await self._wallet.perform(Call(*names, "POST", PREDICT_PATH, body=body, token=customer.token), {})

    def _question(self) -> dict[str, str | float]:
        price = self._exchange.prices.newest(PAIR).price
        return {
            "pair": PAIR,
            "current_price": price,
            "volume_24h": 1_000 * self._rng.random(),
            "rsi": self._rng.uniform(20, 80),
        }

    async def _enter(self, customer: Customer) -> None:
        """By the paths that everybody takes, but without a trace: it happens once, before there is a load."""
        body = {"email": customer.email, "password": customer.password}
        await self._ask("register", body)
        code = self._exchange.accounts.outbox.newest(customer.email).split()[0]
        await self._ask("verify", {"email": customer.email, "code": code})
        await self._login(customer)
        await self._pay(customer, "deposit", 10_000)

    async def _ask(self, path: str, body: dict[str, str]) -> None:
        headers = {"authorization": self._wallet.authorization, "content-type": "application/json"}
        content = json.dumps(body).encode()
        await self._exchange.front_client.request("POST", f"/api/v1/auth/{path}", headers, content)

    async def _login(self, customer: Customer) -> None:
        body = json.dumps({"email": customer.email, "password": customer.password}).encode()
        names = ("login", "login.submit.client", "login.response.received")
        outcome = await self._wallet.perform(Call(*names, "POST", "/api/v1/auth/login", body=body), {})
        customer.token = outcome.reply.get("access_token", customer.token)

    async def _pay(self, customer: Customer, kind: str, amount: int) -> None:
        """
        Args:
            kind: deposit or withdrawal.
            amount: in whole USD.
        """
        body = {"client_id": secrets.token_hex(8), "asset": "USD", "amount": amount}
        call = Call(
            kind,
            f"{kind}.submit.client",
            f"{kind}.response.received",
            "POST",
            f"/api/v1/{kind}s",
            body=json.dumps(body).encode(),
            id_field="payment_id",
            token=customer.token,
        )
        await self._wallet.perform(call, {"payment.asset": "USD", "payment.amount": float(amount)})

    async def _read(self, customer: Customer) -> None:
        """A socket that is opened again after a gap."""
        front = self._exchange.front
        url = f"ws://{front.host}:{front.port}/ws?streams={STREAM}"
        while True:
            with suppress(OSError, websockets.WebSocketException):
                async with connect(url) as socket:
                    await self._take(customer, socket)
            await asyncio.sleep(RECONNECT_S)

    async def _take(self, customer: Customer, socket: Any) -> None:
        last_id: int | None = None
        async for message in socket:
            data = json.loads(message)["data"]
            now_ns = time.time_ns()
            del customer.messages[:-MAX_KEPT]
            customer.messages.append(now_ns)
            if last_id is not None and data["first_update_id"] != last_id + 1:
                del customer.gaps[:-MAX_KEPT]
                customer.gaps.append(now_ns)
                return
            last_id = data["last_update_id"]

    def _follow(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
