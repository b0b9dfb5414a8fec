"""Registration, login and sessions over the API's database.

A refresh token works once. One that comes a second time was stolen or copied, and ends its session.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from opentelemetry.trace import Span, Tracer

from exchange_ref.accounts.outbox import Outbox
from exchange_ref.accounts.second_factor import SecondFactor
from exchange_ref.accounts.tokens import AccessTokens, Identity
from exchange_ref.engine.orders import OrderRejected
from exchange_ref.services.addresses import address_of
from exchange_ref.services.api.statements import Statement, load_sql
from exchange_ref.services.api.wallets import Wallets
from exchange_ref.telemetry.tracing import under

SECOND_NS: Final = 10**9
CODE_TTL_S: Final = 600
# With one code a minute and five guesses each, a code of six digits is guessed in 70 days on average.
CODE_EVERY_S: Final = 60
MAX_GUESSES: Final = 5
MAX_FAILED_LOGINS: Final = 5
LOCKOUT_S: Final = 900
SESSION_TTL_S: Final = 30 * 86_400
# Argon2id with OWASP's parameters (Password Storage Cheat Sheet): 19 MiB and some 20 ms of one core. The
# library's own default takes 64 MiB and all cores, from which orders would suffer.
HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
MAX_HASHING: Final = 2
T = TypeVar("T")


def _statement(operation: str, name: str, table: str = "users") -> Statement:
    return Statement(operation, table, load_sql(f"accounts/{name}"))


INSERT_USER = _statement("INSERT", "insert_user")
GUESS_CODE = _statement("UPDATE", "guess_code")
VERIFY_USER = _statement("UPDATE", "verify_user")
TRY_LOGIN = _statement("UPDATE", "try_login")
LOGGED_IN = _statement("UPDATE", "logged_in")
SELECT_USER = _statement("SELECT", "select_user")
INSERT_SESSION = _statement("INSERT", "insert_session", "sessions")
ROTATE_SESSION = _statement("UPDATE", "rotate_session", "sessions")
END_SESSION = _statement("UPDATE", "end_session", "sessions")
SELECT_ENDED = _statement("SELECT", "select_ended", "sessions")


@dataclass(frozen=True, slots=True)
class Tokens:
    access_token: str
    refresh_token: str


@dataclass(frozen=True, slots=True)
class Account:
    user_id: str
    email: str
    address: str
    sessions: int


class AccountService:
    """All methods raise `OrderRejected`, whose message says what to do.

    Args:
        now_ns: the clock, nanoseconds since 1970.
    """

    def __init__(
        self,
        wallets: Wallets,
        tokens: AccessTokens,
        outbox: Outbox,
        *,
        tracer: Tracer,
        now_ns: Callable[[], int],
    ) -> None:
        self._wallets = wallets
        self._traced = wallets.traced
        self.tokens = tokens
        self.outbox = outbox
        self._tracer = tracer
        self._now_ns = now_ns
        self._hashing = ThreadPoolExecutor(MAX_HASHING, thread_name_prefix="argon2")
        self._nobodys_hash = ""
        self.factor = SecondFactor(wallets.traced, now_ns)

    def close(self) -> None:
        self._hashing.shutdown()

    async def start(self, ended: list[tuple[Any, ...]]) -> None:
        """
        Args:
            ended: rows of `SELECT_ENDED`, so that a restart lets no ended session go on.
        """
        for (session_id,) in ended:
            self.tokens.end(session_id)

    async def register(self, email: str, password: str, server: Span) -> None:
        """Send a code to `email`. Before it was used, the same address may register anew."""
        hashed = await self._slowly("argon2.hash", lambda: HASHER.hash(password), server)
        code = f"{secrets.randbelow(10**6):06}"
        now_ns = self._now_ns()
        row = (
            f"user-{secrets.token_hex(8)}",
            email,
            hashed,
            _digest(f"{email}/{code}"),
            now_ns + CODE_TTL_S * SECOND_NS,
            now_ns,
            now_ns - CODE_EVERY_S * SECOND_NS,
        )
        if not await self._traced.read(INSERT_USER, row, server):
            if (await self._traced.read(SELECT_USER, (email,), server))[0][2]:
                raise OrderRejected("conflict", f"{email} has an account; log in: POST /api/auth/login")
            raise OrderRejected(
                "too_many_attempts", f"a code was sent to {email} a moment ago; wait {CODE_EVERY_S} s"
            )
        self.outbox.send(
            email, "Your code", f"{code} is your code; it is good for {CODE_TTL_S // 60} minutes"
        )

    async def verify(self, email: str, code: str, server: Span) -> Account:
        """Make the account usable, and somebody who can be paid."""
        rows = await self._traced.read(GUESS_CODE, (email, self._now_ns(), MAX_GUESSES), server)
        if not rows:
            raise OrderRejected(
                "unauthorized", f"no code for {email} is open; register again: POST /api/auth/register"
            )
        user_id, code_hash = rows[0]
        if not hmac.compare_digest(code_hash, _digest(f"{email}/{code}")):
            raise OrderRejected("unauthorized", f"the code is wrong; after {MAX_GUESSES} it is good no more")
        await self._wallets.create(user_id, server)
        await self._traced.write(VERIFY_USER, [(user_id,)], server)
        server.set_attribute("user.id", user_id)
        return Account(user_id, email, address_of(user_id), 0)

    async def login(self, email: str, password: str, totp: str, server: Span) -> Tokens:
        """
        Args:
            totp: the code of the second factor; empty for one without.
        """
        user_id = await self._authenticate(email, password, totp, server)
        session_id, refresh = secrets.token_hex(16), secrets.token_urlsafe(32)
        now_ns = self._now_ns()
        row = (session_id, user_id, _digest(refresh), now_ns, now_ns + SESSION_TTL_S * SECOND_NS)
        await self._traced.write(INSERT_SESSION, [row], server)
        return self._issue(Identity(user_id, session_id), refresh)

    async def offer_factor(self, user_id: str, password: str, server: Span) -> tuple[str, str]:
        """Secret and address of a second factor, for who knows the password too."""
        email = (await self.account(user_id, server)).email
        await self._authenticate(email, password, "", server)
        return await self.factor.offer(user_id, email, server)

    async def end_factor(self, user_id: str, password: str, totp: str, server: Span) -> None:
        await self._authenticate((await self.account(user_id, server)).email, password, totp, server)
        await self.factor.end(user_id, server)

    async def _authenticate(self, email: str, password: str, totp: str, server: Span) -> str:
        """The user, by all factors. An attempt is counted before they are looked at, so that many at once are
        as many."""
        now_ns = self._now_ns()
        until_ns = now_ns + LOCKOUT_S * SECOND_NS
        rows = await self._traced.read(TRY_LOGIN, (email, now_ns, MAX_FAILED_LOGINS, until_ns), server)
        user_id, hashed, verified = rows[0] if rows else ("", await self._nobody(server), 0)
        if not rows and await self._traced.read(SELECT_USER, (email,), server):
            raise OrderRejected(
                "too_many_attempts",
                f"{MAX_FAILED_LOGINS} logins have failed; wait {LOCKOUT_S // 60} minutes and try again",
            )
        right = await self._slowly("argon2.verify", lambda: self._verifies(hashed, password), server)
        if not right or not rows:
            raise OrderRejected("unauthorized", "e-mail or password is wrong")
        if not verified:
            raise OrderRejected("forbidden", "the account waits for its code: POST /api/auth/verify")
        await self.factor.check(user_id, totp, server)
        await self._traced.write(LOGGED_IN, [(user_id,)], server)
        server.set_attribute("user.id", user_id)
        return str(user_id)

    async def refresh(self, refresh_token: str, server: Span) -> Tokens:
        """New tokens for a refresh token, which works no more."""
        session_id, _, secret = refresh_token.partition(".")
        fresh = secrets.token_urlsafe(32)
        row = (session_id, _digest(secret), _digest(fresh), self._now_ns())
        rows = await self._traced.read(ROTATE_SESSION, row, server)
        if not rows:
            if await self.logout(session_id, server):
                raise OrderRejected(
                    "unauthorized",
                    "the refresh token was used before, so its session has been ended: somebody else may have"
                    " it; log in again",
                )
            raise OrderRejected("unauthorized", "the session has ended; log in again: POST /api/auth/login")
        server.set_attribute("user.id", rows[0][0])
        return self._issue(Identity(rows[0][0], session_id), fresh)

    async def logout(self, session_id: str, server: Span) -> bool:
        """End a session; returns whether there was one."""
        ended = await self._traced.read(END_SESSION, (session_id, self._now_ns()), server)
        if ended:
            self.tokens.end(session_id)
        return bool(ended)

    async def account(self, user_id: str, server: Span) -> Account:
        rows = await self._traced.read(SELECT_USER, (user_id,), server)
        if not rows:
            raise OrderRejected("not_found", f"{user_id} trades without an account")
        return Account(user_id, rows[0][1], address_of(user_id), rows[0][3])

    def _issue(self, identity: Identity, secret: str) -> Tokens:
        return Tokens(self.tokens.issue(identity), f"{identity.session_id}.{secret}")

    def _verifies(self, hashed: str, password: str) -> bool:
        try:
            return HASHER.verify(hashed, password)
        except VerificationError:
            return False

    async def _nobody(self, server: Span) -> str:
        """A hash that is looked at in the place of an unknown user's: both take the same time."""
        if not self._nobodys_hash:
            self._nobodys_hash = await self._slowly("argon2.hash", lambda: HASHER.hash("-"), server)
        return self._nobodys_hash

    async def _slowly(self, name: str, work: Callable[[], T], server: Span) -> T:
        with self._tracer.start_as_current_span(name, context=under(server)):
            return await asyncio.get_running_loop().run_in_executor(self._hashing, work)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
